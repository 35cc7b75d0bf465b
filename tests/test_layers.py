"""The package reads from top to bottom: no import runs upwards; old names say the new."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

from mmssp._moved import MOVED

PACKAGE = Path(__file__).parents[1] / 'mmssp'
# Each may import those before it, and itself.
LAYERS = (
    'utils',
    'protocols',
    'arguments',
    'runtime',
    'visualization',
    'datasets',
    'models',
    'evaluation',
    'engine',
    'apis',
)
FILES = sorted(
    path
    for path in PACKAGE.rglob('*.py')
    if '.mim' not in path.parts and path.parent != PACKAGE
) + [PACKAGE / 'protocols.py']


def imported(path: Path) -> set[str]:
    """Layers that a file imports from, anywhere in it."""
    inside = ('mmssp', *path.relative_to(PACKAGE).with_suffix('').parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = '.'.join(inside[: -node.level]) if node.level else ''
            module = '.'.join(filter(None, [start, node.module]))
            names = [f'{module}.{alias.name}' for alias in node.names]
        else:
            continue
        found |= {name.split('.')[1] for name in names if name.startswith('mmssp.')}
    return found & set(LAYERS)


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_runs_upwards(path):
    own = path.relative_to(PACKAGE).with_suffix('').parts[0]
    allowed = LAYERS[: LAYERS.index(own) + 1]
    assert imported(path) - set(allowed) == set()


def test_every_folder_has_a_layer():
    folders = {p.name for p in PACKAGE.iterdir() if (p / '__init__.py').is_file()}
    assert folders | {'protocols'} == set(LAYERS)


def test_no_two_files_have_one_name():
    names = [path.name for path in FILES if path.name != '__init__.py']
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize('old', MOVED)
def test_an_old_name_gives_the_module_and_says_the_new_one(old, monkeypatch):
    module = importlib.import_module(f'mmssp.{MOVED[old]}')
    monkeypatch.delitem(sys.modules, f'mmssp.{old}', raising=False)
    with pytest.warns(FutureWarning, match=f'mmssp.{MOVED[old]} now'):
        found = importlib.import_module(f'mmssp.{old}')
    assert found is module
    assert module.__name__ == module.__spec__.name == f'mmssp.{MOVED[old]}'


def test_a_name_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module('mmssp.apis.support_filez')

"""The reference has every public module, class and function, and builds without a word."""

import importlib
import inspect
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from guide import ROOT

import mmssp

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(mmssp.__path__, 'mmssp.')
    if not found.name.rpartition('.')[2].startswith('_')
    and found.name != 'mmssp.version'
)


def public_members(module: ModuleType) -> dict[str, object]:
    """Classes and functions that a module itself defines for others."""
    return {
        f'{module.__name__}.{name}': value
        for name, value in vars(module).items()
        if not name.startswith('_')
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }


@pytest.mark.parametrize('name', MODULES)
def test_everything_public_is_described(name):
    module = importlib.import_module(name)
    described = {name: module, **public_members(module)}
    assert [name for name, value in described.items() if not value.__doc__] == []


@pytest.fixture(scope='module')
def built(tmp_path_factory) -> tuple[Path, str]:
    """The folder of the pages, and what Sphinx said."""
    pytest.importorskip('sphinx')
    pytest.importorskip('furo')
    folder = tmp_path_factory.mktemp('pages')
    # a copy, since the build writes pages beside those it reads
    generated = shutil.ignore_patterns('_build', 'generated')
    shutil.copytree(ROOT / 'docs', folder / 'docs', ignore=generated)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
        elif path.name != 'docs':
            (folder / path.name).symlink_to(path)
    done = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-q', '-b', 'html', 'docs', 'html'],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return folder / 'html', done.stdout


@pytest.mark.slow
def test_pages_are_built_without_a_warning(built):
    assert built[1].strip() == ''


@pytest.mark.slow
def test_reference_has_everything_public(built):
    from sphinx.util.inventory import InventoryFile

    with open(built[0] / 'objects.inv', 'rb') as file:
        inventory = InventoryFile.load(file, '', lambda base, path: path)
    listed = {
        name
        for kind in ('py:module', 'py:class', 'py:exception', 'py:function')
        for name in inventory.get(kind, {})
    }
    expected = set(MODULES)
    for name in MODULES:
        expected |= set(public_members(importlib.import_module(name)))
    assert expected - listed == set()


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(built):
    loads = re.compile(
        r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//'
    )
    pages = list(built[0].rglob('*.html'))
    assert len(pages) > len(MODULES)
    assert [str(p) for p in pages if loads.search(p.read_text())] == []

"""Missing, old or mixed parts of the stack give a sentence with a command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmssp.utils.dependencies import find_mixture, find_problem

ROOT = Path(__file__).parents[2]
MAINTAINED = dict(torch='2.13.0', mmcv='2.3.6', mmengine='0.10.12', mmseg='1.4.2')
OFFICIAL = dict(torch='2.13.0', mmcv='2.1.0', mmengine='0.10.7', mmseg='1.2.2')


@pytest.mark.parametrize('versions', [MAINTAINED, OFFICIAL])
def test_both_stacks_are_accepted(versions):
    assert find_problem(versions) is None


@pytest.mark.parametrize(
    ('versions', 'found'),
    [
        (dict(MAINTAINED, mmengine='0.10.7'), r'mmengine 0\.10\.7 \(needs 0\.10\.12'),
        (dict(OFFICIAL, mmcv='2.0.1'), r'mmcv 2\.0\.1 \(needs 2\.1\.0'),
        (dict(OFFICIAL, mmseg='0.30.0'), r'mmseg 0\.30\.0'),
        (dict(MAINTAINED, mmseg='1.2.2'), r'maintained stack.*mmseg 1\.2\.2'),
    ],
)
def test_problems_are_named(versions, found):
    assert re.search(found, find_problem(versions))


def names(mmengine: str, mmcv: str, mmseg: str) -> dict[str, list[str]]:
    """Owners of the modules, several parted by a plus."""
    return dict(
        mmengine=mmengine.split('+'), mmcv=mmcv.split('+'), mmseg=mmseg.split('+')
    )


@pytest.mark.parametrize(
    'owners',
    [
        names('mmengine', 'mmcv', 'mmsegmentation'),
        names('mmengine-lite', 'mmcv-lite', 'mmsegmentation'),
        names('onedl-mmengine', 'onedl-mmcv', 'onedl-mmsegmentation'),
        {},
        dict(mmengine=[], mmcv=['mmcv'], mmseg=[]),
    ],
)
def test_one_stack_is_no_mixture(owners):
    assert find_mixture(owners) is None


@pytest.mark.parametrize(
    ('owners', 'found'),
    [
        (
            names('mmengine', 'mmcv', 'onedl-mmsegmentation'),
            r'both stacks are mixed: mmengine, mmcv \(official\); onedl-mmsegmentation',
        ),
        (
            names('onedl-mmengine', 'mmcv', 'onedl-mmsegmentation'),
            'pip uninstall -y onedl-mmengine mmcv onedl-mmsegmentation',
        ),
        (
            names('onedl-mmengine', 'mmcv+onedl-mmcv', 'onedl-mmsegmentation'),
            'mmcv: several packages bring it.*pip uninstall -y .*mmcv onedl-mmcv',
        ),
        (
            names('mmengine', 'mmcv+mmcv-lite', 'mmsegmentation'),
            'mmcv: several packages bring it',
        ),
    ],
)
def test_mixed_stacks_are_named_with_what_to_remove(owners, found):
    assert re.search(found, find_mixture(owners))


def install(
    folder: Path, name: str, module: str, code: str = "__version__ = '9.0.0'"
) -> None:
    """What pip leaves of a package, as small as can be."""
    package = folder / module
    package.mkdir(parents=True, exist_ok=True)
    (package / '__init__.py').write_text(code)
    info = folder / f'{name.replace("-", "_")}-9.0.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 9\n')


def install_official(folder: Path, mmcv_code: str) -> None:
    """An official stack whose mmcv runs this at import."""
    install(folder, 'mmcv', 'mmcv', mmcv_code)
    install(folder, 'mmengine', 'mmengine')
    install(folder, 'mmsegmentation', 'mmseg')


def import_mmssp(*folders: Path, **environment: str) -> subprocess.CompletedProcess:
    """Import mmssp with these folders first on the path."""
    path = os.pathsep.join(map(str, (*folders, ROOT, os.environ.get('PYTHONPATH', ''))))
    return subprocess.run(
        [sys.executable, '-c', 'import mmssp'],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': path, **environment},
    )


def test_two_packages_over_each_other_are_seen_before_they_are_imported(tmp_path):
    install(tmp_path, 'mmcv', 'mmcv', 'raise AssertionError("half of each")')
    install(tmp_path, 'onedl-mmcv', 'mmcv', 'raise AssertionError("half of each")')
    done = import_mmssp(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith('error: mmcv: several packages bring it')
    assert 'half of each' not in done.stderr


def test_a_package_hidden_by_another_folder_is_no_mixture(tmp_path):
    for folder, prefix in (('first', ''), ('second', 'onedl-')):
        install(tmp_path / folder, f'{prefix}mmengine', 'mmengine')
        install(tmp_path / folder, f'{prefix}mmcv', 'mmcv')
        install(tmp_path / folder, f'{prefix}mmsegmentation', 'mmseg')
    done = import_mmssp(tmp_path / 'first', tmp_path / 'second')
    assert 'several packages' not in done.stderr
    assert 'mixed' not in done.stderr
    assert done.stderr.startswith('error: mmseg.models cannot be imported')


@pytest.mark.parametrize(
    ('code', 'found'),
    [
        (
            'raise ModuleNotFoundError("No module named \'mmcv._ext\'")',
            'without its compiled ops',
        ),
        (
            "raise ImportError('mmcv/_ext.so: undefined symbol: _ZN3c10')",
            'compiled for another PyTorch than',
        ),
        ("raise AttributeError('torch has no such thing')", 'has no such thing'),
        ("raise AssertionError('MMCV==2.3.6 is incompatible.')", 'MMCV==2.3.6'),
    ],
)
def test_what_fails_at_import_is_one_sentence(tmp_path, code, found):
    install_official(tmp_path, code)
    done = import_mmssp(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith('error: mmcv cannot be imported')
    assert found in done.stderr
    assert 'Install one stack' in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_traceback_can_be_asked_for(tmp_path):
    install_official(tmp_path, 'raise OSError("libtorch.so")')
    done = import_mmssp(tmp_path, MMSSP_TRACEBACK='1')
    assert 'Traceback' in done.stderr
    assert 'libtorch.so' in done.stderr


@pytest.mark.parametrize(
    ('tool', 'words'),
    [
        ('train', ['gone.py', '--cfg-options', 'a=1']),
        ('test', ['gone.py', 'none']),
        ('predict', ['--support', 'gone', '--input', 'gone', '--output', 'gone']),
    ],
)
def test_tools_end_with_the_same_sentence(tmp_path, tool, words):
    install_official(tmp_path, 'raise OSError("libtorch.so")')
    path = os.pathsep.join(map(str, (tmp_path, ROOT, os.environ.get('PYTHONPATH', ''))))
    done = subprocess.run(
        [sys.executable, ROOT / 'tools' / f'{tool}.py', *words],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': path},
    )
    assert done.returncode == 1
    assert done.stderr.startswith('error: mmcv cannot be imported')
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize('module', ['torch', 'mmcv', 'mmengine', 'mmseg'])
def test_import_without_a_part_names_the_command(module):
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == {module!r}:
            raise ModuleNotFoundError('No module named ' + repr(name), name=name)
sys.meta_path.insert(0, Missing())
try:
    import mmssp
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert f'{module}' in done.stdout
    assert 'pip install onedl-mmcv' in done.stdout
    assert 'Traceback' not in done.stderr

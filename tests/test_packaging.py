"""A wheel has what MIM and the inferencer look for, and works away from the checkout."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ('configs', 'tools', 'model-index.yml')

pytestmark = pytest.mark.slow


def pip(*arguments: str | Path) -> None:
    """Run pip without a network."""
    command = [sys.executable, '-m', 'pip', *map(str, arguments)]
    done = subprocess.run(
        [*command, '--disable-pip-version-check', '--no-deps', '--no-build-isolation'],
        capture_output=True,
        text=True,
        env={**os.environ, 'PIP_NO_INDEX': '1'},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def tracked(*names: str) -> list[str]:
    """Files of the checkout, as git names them."""
    done = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard', *names],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.returncode:
        pytest.skip('not a checkout of git')
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """A copy of the checkout: what builds write stays out of it."""
    if importlib.util.find_spec('setuptools') is None:
        pytest.skip('setuptools is not installed, and there is no network to fetch it')
    folder = tmp_path_factory.mktemp('source')
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
        target.chmod((ROOT / name).stat().st_mode)
    return folder


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('dist')
    pip('wheel', '--wheel-dir', folder, source)
    (found,) = folder.glob('mmssp-*.whl')
    return found


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel's files."""
    folder = tmp_path_factory.mktemp('target')
    pip('install', '--target', folder, wheel)
    return folder


def run_installed(installed: Path, cwd: Path, *arguments: str | Path) -> str:
    """Run Python on the installed package, from elsewhere."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': f'{installed}{os.pathsep}{other_paths()}'},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def other_paths() -> str:
    """PYTHONPATH without this checkout: a stack may be on it."""
    paths = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    return os.pathsep.join(p for p in paths if p and Path(p).resolve() != ROOT)


def test_wheel_has_the_package_and_what_mim_looks_for(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    package = tracked('mmssp')
    assert set(package) - names == set()
    beside = {f'mmssp/.mim/{name}' for name in tracked(*PARTS)}
    assert beside - names == set()
    in_wheel = {name for name in names if '.dist-info/' not in name}
    assert in_wheel == set(package) | beside


def test_shell_scripts_can_be_run_from_the_wheel(wheel):
    for entry in zipfile.ZipFile(wheel).infolist():
        if entry.filename.endswith('.sh'):
            assert entry.external_attr >> 16 & 0o111, entry.filename


def test_extras_name_one_stack_each(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (n for n in archive.namelist() if n.endswith('.dist-info/METADATA'))
    metadata = Parser().parsestr(archive.read(name).decode())
    requires = metadata.get_all('Requires-Dist')
    extras = {
        extra: {
            r.split(';')[0].split('>')[0].split('<')[0].strip()
            for r in requires
            if f'extra == "{extra}"' in r
        }
        for extra in ('onedl', 'mim')
    }
    assert extras['onedl'] == {'onedl-mmcv', 'onedl-mmengine', 'onedl-mmsegmentation'}
    assert {'mmcv', 'mmengine', 'mmsegmentation', 'setuptools'} <= extras['mim']
    stack = ('torch', 'mmcv', 'mmengine', 'mmseg', 'onedl')
    assert [r for r in requires if r.startswith(stack) and 'extra' not in r] == []


def test_a_model_is_found_by_name_away_from_the_checkout(installed, tmp_path):
    code = (
        'from mmssp.apis.models import find_config\n'
        'for name in ("ssp_r50", "ssp_efficientnet-lite0_coco20i_1shot"):\n'
        '    print(find_config(name).resolve())'
    )
    found = run_installed(installed, tmp_path, '-c', code).split()
    configs = installed.resolve() / 'mmssp' / '.mim' / 'configs'
    assert found == [
        str(configs / '_base_' / 'models' / 'ssp_r50.py'),
        str(configs / 'ssp_efficientnet-lite0_coco20i_1shot.py'),
    ]


@pytest.mark.parametrize(
    'tool', ['train', 'test', 'predict', 'test_folds', 'dataset_converters/shapes5i']
)
def test_a_tool_runs_away_from_the_checkout(installed, tmp_path, tool):
    path = installed / 'mmssp' / '.mim' / 'tools' / f'{tool}.py'
    assert 'usage: ' in run_installed(installed, tmp_path, path, '--help')


def test_an_installed_config_is_whole(installed, tmp_path):
    config = installed / 'mmssp/.mim/configs/ssp_r101_coco20i_5shot.py'
    code = (
        'import sys\n'
        'from mmengine.config import Config\n'
        'print(Config.fromfile(sys.argv[1]).train_dataloader.dataset.shots)'
    )
    assert run_installed(installed, tmp_path, '-c', code, config).strip() == '5'


def test_an_editable_install_links_to_the_checkout(source, tmp_path):
    pip('install', '--target', tmp_path, '--editable', source)
    for name in PARTS:
        link = source / 'mmssp' / '.mim' / name
        assert link.resolve() == (source / name).resolve()


def test_a_wheel_is_the_same_after_an_editable_install(source, wheel, tmp_path):
    pip('install', '--target', tmp_path / 'target', '--editable', source)
    pip('wheel', '--wheel-dir', tmp_path, source)
    (again,) = tmp_path.glob('mmssp-*.whl')
    names = [sorted(zipfile.ZipFile(w).namelist()) for w in (wheel, again)]
    assert names[0] == names[1]
    assert not any(e.is_dir() for e in zipfile.ZipFile(again).infolist())

"""Commands find a place for caches where the user has no home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmssp._home import settle_caches

ROOT = Path(__file__).parents[1]
# the user database, as a container's user of a number alone finds it
NOBODY = """
import pwd, runpy, sys

def unknown(uid):
    raise KeyError(f'getpwuid(): uid not found: {uid}')

pwd.getpwuid = unknown
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    return tmp_path


def test_a_user_with_a_home_is_left_alone(home, capsys):
    environment = {}
    settle_caches(environment)
    assert environment == {}
    assert capsys.readouterr().err == ''


def test_a_tilde_in_the_variable_is_the_home(home):
    environment = dict(XDG_CACHE_HOME='~/x')
    settle_caches(environment)
    assert environment == dict(XDG_CACHE_HOME=str(home / 'x'))


@pytest.mark.parametrize('given', [{}, dict(XDG_CACHE_HOME='~/x')])
def test_without_a_home_there_is_a_folder_and_a_word(monkeypatch, capsys, given):
    monkeypatch.setattr('mmssp._home.os.path.expanduser', lambda path: path)
    environment = dict(given)
    settle_caches(environment)
    assert Path(environment['XDG_CACHE_HOME']).is_absolute()
    assert f'caches go to {environment["XDG_CACHE_HOME"]}' in capsys.readouterr().err


def test_what_the_user_has_named_is_taken(monkeypatch, capsys):
    monkeypatch.setattr('mmssp._home.os.path.expanduser', lambda path: path)
    environment = dict(XDG_CACHE_HOME='/else/where')
    settle_caches(environment)
    assert environment == dict(XDG_CACHE_HOME='/else/where')
    assert capsys.readouterr().err == ''


@pytest.mark.slow
def test_a_training_without_a_home_comes_to_its_data(tmp_path):
    """It prints its config first, by a package that asks for the home."""
    environment = {k: v for k, v in os.environ.items() if k in ('PATH', 'PYTHONPATH')}
    config = ROOT / 'configs' / 'ssp_efficientnet-lite0_shapes5i_1shot.py'
    done = subprocess.run(
        [sys.executable, '-c', NOBODY, ROOT / 'tools' / 'train.py', config],
        cwd=tmp_path,
        env={
            **environment,
            'PYTHONPATH': os.pathsep.join(
                [str(ROOT), environment.get('PYTHONPATH', '')]
            ),
            'TMPDIR': str(tmp_path),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('error: Shapes5iDataset: expected')
    assert 'this user has no home folder' in done.stderr

"""How commands end."""

import errno
import sys
from pathlib import Path

import pytest
from commands import exit_code

from mmssp.utils.cli import run

SCRIPT = """
from mmssp.utils.cli import run
from helper import fail

def main():
    fail()

run(main)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A script whose helper, beside it, fails as told."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(statement: str) -> Path:
        (tmp_path / 'helper.py').write_text(f'def fail():\n    {statement}\n')
        (tmp_path / 'script.py').write_text(SCRIPT)
        return tmp_path / 'script.py'

    yield write
    sys.modules.pop('helper', None)


def test_an_error_explained_beside_the_script_is_one_sentence(script, capsys):
    assert exit_code(script("raise ValueError('a bad word')")) == 1
    assert capsys.readouterr().err == 'error: a bad word\n'


def test_an_error_of_another_package_keeps_its_traceback(script):
    with pytest.raises(ValueError, match='Invalid literal'):
        exit_code(script("__import__('fractions').Fraction('x/y')"))


def test_a_full_disk_is_the_systems_sentence(capsys):
    def main():
        raise OSError(errno.ENOSPC, 'No space left on device', 'work/epoch.pth')

    assert exit_code(lambda: run(main)) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: work/epoch.pth: No space left on device; make room')


def test_interruption_ends_with_its_code(capsys):
    def main():
        raise KeyboardInterrupt

    assert exit_code(lambda: run(main)) == 130
    assert 'interrupted' in capsys.readouterr().err


def test_tracebacks_can_be_had(monkeypatch, script):
    monkeypatch.setenv('MMSSP_TRACEBACK', '1')
    with pytest.raises(ValueError, match='a bad word'):
        exit_code(script("raise ValueError('a bad word')"))

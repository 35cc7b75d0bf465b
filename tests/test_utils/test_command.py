"""How commands end."""

import errno
import os
import signal
import sys
from pathlib import Path

import pytest
from commands import exit_code
from torch.utils.data import DataLoader

from mmssp.utils.command import (
    cleaning_up_on_sigterm,
    explanation,
    lost_process,
    run,
)
from mmssp.utils.image_io import read_image

GLOO = '[/pytorch/third_party/gloo/pair.cc:534] Connection closed by peer [::1]:5'
SCRIPT = """
from mmssp.utils.command import run
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


def test_an_interrupt_that_was_made_another_error_is_one(capsys):
    def main() -> None:
        try:
            raise KeyboardInterrupt
        except BaseException:
            raise SyntaxError('failed to format the config') from None

    assert exit_code(lambda: run(main)) == 130
    assert capsys.readouterr().err.strip() == 'interrupted'


def test_sigterm_lets_a_command_clean_up_and_is_given_back():
    before = signal.getsignal(signal.SIGTERM)
    cleaned = []

    def main() -> None:
        with cleaning_up_on_sigterm():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                cleaned.append(True)

    assert exit_code(main) == 143
    assert cleaned
    assert signal.getsignal(signal.SIGTERM) is before


def test_tracebacks_can_be_had(monkeypatch, script):
    monkeypatch.setenv('MMSSP_TRACEBACK', '1')
    with pytest.raises(ValueError, match='a bad word'):
        exit_code(script("raise ValueError('a bad word')"))


def own_error(paths: list[str]) -> None:
    read_image(paths[0])


def another_error(paths: list[str]) -> None:
    raise ValueError(paths[0])


@pytest.mark.parametrize(
    ('fail', 'expected'),
    [(own_error, 'nowhere.png does not exist'), (another_error, '')],
)
def test_of_workers_errors_the_sentence_is_shown_if_it_is_mmssps(fail, expected):
    loader = DataLoader(['nowhere.png'], collate_fn=fail, num_workers=1)
    with pytest.raises((FileNotFoundError, ValueError), match='Traceback') as caught:
        list(loader)
    found = explanation(caught.value)
    assert found is None if not expected else found.startswith(expected)


class DistBackendError(RuntimeError):
    """Named as torch.distributed's."""


REMOTE = 'NCCL error: remote process exiting prematurely'


@pytest.mark.parametrize('error', [RuntimeError(GLOO), DistBackendError(REMOTE)])
def test_a_lost_process_is_said_in_one_sentence(error, monkeypatch):
    monkeypatch.setenv('RANK', '3')
    message = lost_process(error)
    assert message.startswith('rank 3: another process of the job ended')
    assert str(error) in message


def test_other_errors_and_other_jobs_are_left_alone(monkeypatch):
    monkeypatch.setenv('RANK', '3')
    assert lost_process(RuntimeError('out of memory')) is None
    # the cause is on other lines, so all of them are to be seen
    duplicate = DistBackendError('NCCL error: invalid usage\nDuplicate GPU detected')
    assert lost_process(duplicate) is None
    monkeypatch.delenv('RANK')
    assert lost_process(RuntimeError(GLOO)) is None

"""The sandbox sees what it is there for."""

import ctypes
import time

import numpy as np
import pytest
from sandbox import Sandbox

from mmssp.protocols import get_protocol


def raise_error(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ('function', 'seen'),
    [
        (lambda: ctypes.string_at(0), 'crashed: exit code -11'),
        (lambda: time.sleep(60), 'no answer'),
        (lambda: np.ones(2**30), 'MemoryError'),
        (lambda: raise_error(KeyError('x')), 'not documented'),
        (lambda: int('x'), 'not explained'),
        (lambda: raise_error(AssertionError('wrong')), 'wrong'),
    ],
    ids=['crash', 'hang', 'memory', 'undocumented', 'unexplained', 'wrong answer'],
)
def test_what_is_wrong_fails(function, seen):
    with (
        Sandbox(function, deadline=2.0) as sandbox,
        pytest.raises(AssertionError, match=seen),
    ):
        sandbox()


def test_after_a_crash_it_goes_on():
    def crash_if(wanted: bool) -> None:
        if wanted:
            ctypes.string_at(0)

    with Sandbox(crash_if) as sandbox:
        with pytest.raises(AssertionError):
            sandbox(True)
        assert sandbox(False) is None


def test_an_explained_refusal_gives_its_message():
    with Sandbox(get_protocol) as sandbox:
        assert "protocol='x'" in sandbox('x')

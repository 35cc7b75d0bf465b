"""Chance that depends on given numbers alone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def generator(*key: int) -> np.random.Generator:
    """A generator that is a pure function of ``key`` (integers ≥ 0)."""
    return np.random.default_rng(np.random.SeedSequence(key))


@contextmanager
def fixed_random_state(*key: int) -> Iterator[None]:
    """Set the global generators from ``key`` inside, and put them back after.

    mmcv's and mmseg's transforms draw from the global generators of ``numpy`` and
    ``random``; inside this context what they draw is a pure function of ``key``.

    Args:
        *key: Integers ≥ 0.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    torch_state = torch.random.get_rng_state()
    words = np.random.SeedSequence(key).generate_state(2)
    np.random.seed(words)
    random.seed(int(words[0]))
    torch.default_generator.manual_seed(int(words[1]))
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        torch.random.set_rng_state(torch_state)


def seed_generators(*key: int) -> None:
    """Set the global generators from ``key``, those of all GPUs included.

    Args:
        *key: Integers ≥ 0.
    """
    words = np.random.SeedSequence(key).generate_state(2)
    np.random.seed(words)
    random.seed(int(words[0]))
    torch.manual_seed(int(words[1]))


def random_state() -> tuple[Any, ...]:
    """The state of the three global generators, to be compared with another."""
    state: Any = np.random.get_state()
    _, keys, *rest = state
    return (
        keys.tobytes(),
        *rest,
        random.getstate(),
        torch.random.get_rng_state().numpy().tobytes(),
    )

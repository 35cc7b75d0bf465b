"""Arguments from configs: of the right kind and range, or a sentence."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def whole_number(name: str, value: Any, least: int) -> int:
    """An integer of ``least`` or more.

    Raises:
        ValueError: It is something else; a bool too.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f'{name}={value!r}: expected an integer of {least} or more')
    return int(value)


def number(name: str, value: Any, low: float, high: float) -> float:
    """A number in [``low``, ``high``].

    Raises:
        ValueError: It is something else; NaN or a bool too.
    """
    numeric = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not numeric or not low <= value <= high:
        raise ValueError(f'{name}={value!r}: expected a number of {low} to {high}')
    return float(value)


def flag(name: str, value: Any) -> bool:
    """True or False.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f'{name}={value!r}: expected True or False')
    return bool(value)


def texts(name: str, value: Any) -> list[str]:
    """A list of strings; one string alone is none.

    Raises:
        ValueError: It is something else.
    """
    if (
        not isinstance(value, Sequence)
        or isinstance(value, str)
        or not all(isinstance(text, str) for text in value)
    ):
        raise ValueError(f'{name}={value!r}: expected a list of names')
    return list(value)

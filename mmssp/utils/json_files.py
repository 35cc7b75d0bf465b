"""JSON from elsewhere: parsed, or a sentence that names the file."""

import json
import os
from collections.abc import Callable
from typing import Any


def read_json(
    path: str | os.PathLike[str],
    expected: str,
    *,
    object_hook: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """Parse a file.

    Args:
        path: The file, UTF-8 with or without a mark.
        expected: For messages: what it should be, as a sentence without a full stop.
        object_hook: As for :func:`json.load`.

    Returns:
        What it holds.

    Raises:
        FileNotFoundError: There is no such file, or it cannot be read.
        ValueError: It is no JSON: cut off, not UTF-8, nested too deeply, or with a number
            of thousands of digits.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            return json.load(file, object_hook=object_hook)
    except OSError as error:
        raise FileNotFoundError(
            f'{os.fspath(path)} cannot be read ({error.strerror}): {expected}'
        ) from error
    except RecursionError as error:
        raise ValueError(
            f'{os.fspath(path)} is not valid JSON for use here (nested too deeply): '
            f'{expected}'
        ) from error
    except ValueError as error:
        raise ValueError(
            f'{os.fspath(path)} is not valid JSON ({error}): {expected}'
        ) from error

"""Which of several images and annotations a message is about."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def naming(image: Any, annotation: Any, index: int, total: int) -> Iterator[None]:
    """Let a ValueError name the file it is about, or the number of what is no file.

    Args:
        image: An image as users give it.
        annotation: Its annotation; the file of it is named first.
        index: Which of them it is, from 0.
        total: How many there are; one alone needs no number.
    """
    try:
        yield
    except ValueError as error:
        paths = [
            os.fspath(part)
            for part in (annotation, image)
            if isinstance(part, str | os.PathLike)
        ]
        said = str(error)
        if any(str(path) in said for path in paths):
            raise
        if paths:
            raise ValueError(f'{paths[0]}: {said}') from error
        if total > 1:
            raise ValueError(f'support image {index + 1} of {total}: {said}') from error
        raise

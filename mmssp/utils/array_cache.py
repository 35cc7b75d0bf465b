"""Arrays computed once and kept in a file: checked, locked, written whole."""

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .archives import check_archive
from .files import atomic_path, locked

T = TypeVar('T')
CHECKSUM = 'checksum'


def cached(
    path: str | os.PathLike[str],
    compute: Callable[[], Mapping[str, np.ndarray]],
    make: Callable[..., T],
) -> T:
    """``make(**arrays)`` of the arrays in a file, or of freshly computed ones.

    A file that is damaged, or that ``make`` refuses, is replaced, with a warning. Of
    several processes that start together one computes, the others wait and load. Where
    nothing can be written, each computes, with a warning.

    Args:
        path: The ``.npz`` file; its name must tell all that the arrays depend on.
        compute: Gives the arrays, by name.
        make: What to make of them; any exception says that they are not usable.

    Returns:
        What ``make`` returned.

    Raises:
        Exception: What ``compute`` raised, or ``make`` for freshly computed arrays.
    """
    path = Path(path)
    made = _load(path, make, quiet=True)
    if made is None:
        with locked(path, f'makes {path}', optional=True):
            # Another process may have been first; if not, tell what is wrong.
            made = _load(path, make)
            if made is None:
                arrays = compute()
                made = make(**arrays)
                _save(path, arrays)
    return made


def _load(path: Path, make: Callable[..., T], quiet: bool = False) -> T | None:
    try:
        # Opened here, as np.load leaves a file that it can't read open.
        with path.open('rb') as stream:
            check_archive(stream, os.fstat(stream.fileno()).st_size)
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        if arrays.pop(CHECKSUM).tobytes() != _checksum(path.stem, arrays):
            raise ValueError('its checksum is wrong')
        return make(**arrays)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # random bytes make zip and NumPy raise nearly anything
        if not quiet:
            warnings.warn(
                f'{path} is damaged ({type(error).__name__}: {error}): made anew.',
                stacklevel=3,
            )
        return None


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    checksum = np.frombuffer(_checksum(path.stem, arrays), np.uint8)
    named: dict[str, Any] = {**arrays, CHECKSUM: checksum}
    try:
        with atomic_path(path) as temporary:
            np.savez(temporary, **named)
    except OSError as error:
        warnings.warn(
            f'{path} cannot be written ({error}), so this work is done again at every '
            'start. Name a folder that can be written by cache_dir= or the environment '
            'variable $MMSSP_CACHE.',
            stacklevel=3,
        )


def _checksum(key: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    digest = hashlib.sha256(key.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f'{name} {array.dtype.str} {array.shape}'.encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()

"""Files that appear whole or not at all, one writer at a time, and where caches live."""

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unicodedata import normalize

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from .._home import VARIABLE, named_cache, substitute_cache

_STEM_BYTES = 64
"""Of a file's name in that of its temporary one."""


@contextmanager
def atomic_path(path: str | os.PathLike[str], durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``.

    A reader sees the old file or the whole new one, never a part. On any exception,
    ``KeyboardInterrupt`` included, the temporary file is removed and ``path`` stays
    as it was.

    Args:
        path: Where the finished file shall be. Missing folders are made.
        durable: Wait for the disk before the file takes its place, so that this holds
            when the machine itself stops too; a process that is killed never needs it.

    Yields:
        A path in the same folder with the same suffix, to be written by the caller.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(path)
    try:
        yield temporary
        # mkstemp makes private files; a finished file gets the user's usual mode. Network
        # and bucket mounts may refuse that, and have a mode of their own
        with suppress(OSError, NotImplementedError):
            temporary.chmod(0o666 & ~_umask())
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable and os.name == 'posix':
            with suppress(OSError):  # some mounts cannot flush folders
                _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Fail now rather than after the work whose result shall go into a file.

    Args:
        path: The file; its folder is made.

    Raises:
        OSError: If it cannot be written; the message says why.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary_beside(path)
    except (OSError, ValueError) as error:  # or a name that no system can have
        raise OSError(unwritable(path, error)) from error
    temporary.unlink()
    if path.is_dir():
        raise OSError(f'{path} is a folder: name a file to write in it')


def check_folder_writable(path: str | os.PathLike[str]) -> None:
    """The same for a folder that files shall go into; it is made.

    Raises:
        OSError: If it is none, or nothing can be written into it; the message says why.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except (OSError, ValueError) as error:
        raise OSError(unwritable(path, error)) from error


def unwritable(path: str | os.PathLike[str], error: Exception) -> str:
    """What to say of a place that cannot be written."""
    reason = getattr(error, 'strerror', None) or error
    return f'{str(path)[:300]} cannot be written ({reason}): choose another place'


def _temporary_beside(path: Path) -> Path:
    """A new empty file in the folder, of the same suffix; its name is short.

    Raises:
        OSError: It cannot be made, or the name of the file itself is too long there.
    """
    with suppress(FileNotFoundError):
        os.lstat(path)  # a name that is too long shows now, not when the work is done
    # a legal long name must not become an illegal one
    stem = os.fsdecode(os.fsencode(path.stem)[:_STEM_BYTES])
    handle, name = tempfile.mkstemp(
        prefix=f'.{stem}.', suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    return Path(name)


def _flush(path: Path) -> None:
    """Have the disk hold what was written to a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def locked(path: Path, waiting_for: str, optional: bool = False) -> Iterator[None]:
    """Let one process at a time make ``path``; the others wait and say so.

    Args:
        path: What is being made. The lock is a file beside it, in a folder that is made.
        waiting_for: Words for what another process does, printed to stderr.
        optional: Go on without a lock where none can be had: nothing can be written
            there either.

    Raises:
        OSError: If the lock file cannot be written, and the lock is not optional.
    """
    lock = FileLock(path.with_suffix('.lock'))
    with suppress(*((OSError, NotImplementedError) if optional else ())):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f'Another process {waiting_for}: waiting ...', file=sys.stderr)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def file_name(path: str) -> str:
    """The last part of a path written on any system."""
    return re.split(r'[\\/]', path)[-1]


def any_system_path(path: str) -> str:
    """A relative path written on any system, with slashes, as every system reads it.

    A back-slash may be part of a name on Linux; in files that programs exchange it is
    Windows' slash.
    """
    return path.replace('\\', '/')


def found_path(folder: Path, name: str) -> Path:
    """The file of a name in a folder, however the name's path and letters are written.

    Args:
        folder: Where it starts.
        name: Relative, with slashes or back-slashes, in any of Unicode's forms.

    Returns:
        The file by its own name if there is one; else that which reads the same; else
        the path as it would be on this system.

    Raises:
        OSError: What no system can name.
        ValueError: Likewise.
    """
    plain = any_system_path(name)
    ways = [name, plain, *(normalize(form, plain) for form in ('NFC', 'NFD'))]
    for way in ways:
        if (folder / way).is_file():
            return folder / way
    return folder / plain


def cache_root() -> Path:
    """The folder for everything that can be made again.

    ``$MMSSP_CACHE``, in which ``~`` is the home, else the platform's place for caches: on
    Linux ``$XDG_CACHE_HOME/mmssp`` (``~`` in it too) or ``~/.cache/mmssp``. Without a
    home (a container's user of a number alone) a folder of that user's in the system's
    temporary one, with a warning.
    """
    try:
        if os.environ.get('MMSSP_CACHE'):
            return Path(os.environ['MMSSP_CACHE']).expanduser()
        # the platform's own rules, in which a tilde may be a name like others
        with_tilde = os.environ.get(VARIABLE, '').startswith('~')
        named = named_cache() if with_tilde else None
        found = named / 'mmssp' if named else user_cache_path('mmssp', appauthor=False)
        if found.is_absolute() and '~' not in found.parts:
            return found
    except RuntimeError:  # no home
        pass
    found = substitute_cache()
    warnings.warn(
        f'this user has no home folder: caches go to {found}; name a folder that stays by '
        'the variable MMSSP_CACHE',
        stacklevel=2,
    )
    return found

"""How a command ends: with a sentence where we know what is wrong."""

import errno
import inspect
import os
import re
import signal
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from .._components import load_components
from .._home import settle_caches

PACKAGE = Path(__file__).resolve().parents[1]
EXPECTED = (ValueError, OSError, ImportError)
REGISTRY = Path('mmengine', 'registry', 'build_functions.py').parts
UNBUILDABLE = (
    *(TypeError, KeyError, AttributeError, AssertionError, ValueError, IndexError),
    RuntimeError,
)
"""What constructors raise for arguments that they do not expect."""
# of torch.distributed, by name: importing torch takes seconds
DISTRIBUTED_ERRORS = ('DistBackendError', 'DistNetworkError', 'DistStoreError')
LOST = re.compile(
    'closed by peer|reset by peer|broken pipe|connection refused|connection was likely '
    'closed|failed to recv|remote process exit|timed out',
    re.IGNORECASE,
)
"""How they say that the other end is gone; they have many other reasons."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def run(
    main: Callable[..., None], parse_args: Callable[[], Namespace] | None = None
) -> None:
    """Run a command; exit with one sentence on an error that mmssp itself explains.

    Options come first: what takes seconds to import is imported when they are known.

    Errors raised inside mmssp, or beside the command, with a message for the user end the
    command with exit code 1 and that message, and so do those of a config of which
    something cannot be built; those of the operating system: a full disk, a folder without
    permission; and that another process of a distributed job is gone. Others keep their
    traceback. Ctrl-C ends with exit code 130. Set
    ``MMSSP_TRACEBACK=1`` to see every traceback.

    Args:
        main: The command, a function of the script. With ``parse_args`` it gets the
            options, and mmssp's components are registered when it is called.
        parse_args: Reads the options; ends the program by itself if they are wrong.
    """
    settle_caches()
    try:
        if parse_args is None:
            main()
        else:
            options = parse_args()
            load_components()
            main(options)
    except KeyboardInterrupt:
        _interrupted()
    except Exception as error:
        if was_interrupt(error):
            _interrupted()
        folders = (PACKAGE, Path(inspect.getfile(main)).resolve().parent)
        lost = lost_process(error)
        message = lost or _system_error(error) or explanation(error, folders)
        if message is None or os.environ.get('MMSSP_TRACEBACK'):
            raise
        sys.stdout.flush()  # so that the error comes last where both go into one file
        print(f'error: {message}', file=sys.stderr)
        if lost:
            # a group that lost a process may wait for it when Python takes it down
            sys.stderr.flush()
            os._exit(1)
        sys.exit(1)


@contextmanager
def cleaning_up_on_sigterm() -> Iterator[None]:
    """Let SIGTERM run what is to be cleaned up, in a command that starts others.

    By default the signal ends a process at once, and what it started goes on. Here it is
    a ``SystemExit`` with code 143, so that ``finally`` blocks end them.
    """

    def leave(number: int, frame: object) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted() -> NoReturn:
    print('\ninterrupted', file=sys.stderr)
    sys.exit(130)


def was_interrupt(error: BaseException) -> bool:
    """Whether an error was Ctrl-C before somebody caught it.

    MMEngine does, for example: while it formats a config, whatever happens becomes a
    SyntaxError about that config.

    Args:
        error: What ended the command.
    """
    link: BaseException | None = error
    while link is not None and not isinstance(link, KeyboardInterrupt):
        link = link.__cause__ or link.__context__
    return link is not None


def lost_process(error: BaseException) -> str | None:
    """What to say where another process of a distributed job is gone.

    Args:
        error: What ended the command.

    Returns:
        A sentence, or None if the error is about something else.
    """
    rank = os.environ.get('RANK')
    by_name = type(error).__name__ in DISTRIBUTED_ERRORS
    by_text = isinstance(error, RuntimeError) and 'gloo' in str(error)
    if rank is None or not (by_name or by_text) or not LOST.search(str(error)):
        return None
    first = str(error).strip().splitlines()[0]
    return (
        f'rank {rank}: another process of the job ended or cannot be reached; see what '
        f'it printed, or the system log if it was killed ({first})'
    )


def explanation(
    error: BaseException, folders: Iterable[Path] = (PACKAGE,)
) -> str | None:
    """What a command says of an error instead of a traceback, if anything.

    Args:
        error: What ended the command.
        folders: As for :func:`own_message`.

    Returns:
        That of :func:`own_message`; else, what could not be built from a config, and why;
        else None.
    """
    return own_message(error, folders) or _unbuildable(error)


def own_message(
    error: BaseException | None, folders: Iterable[Path] = (PACKAGE,)
) -> str | None:
    """The message of the error in the chain that can be explained, if there is one.

    That is one that mmssp raised itself, or a full disk. Registries catch errors of
    constructors and raise them again with a prefix, so the chain is searched.

    Args:
        error: Any.
        folders: Errors raised by code in or below these are mmssp's own.

    Returns:
        The message, or None.
    """
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        if isinstance(error, EXPECTED):
            message = _from_worker(str(error))
            if message is not None:
                return message
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                return _system_error(error)
            frames = traceback.extract_tb(error.__traceback__)
            if frames and _is_in(folders, frames[-1].filename):
                return str(error)
        error = error.__cause__ or error.__context__
    return None


def _unbuildable(error: BaseException) -> str | None:
    """What the innermost registry that the error came through was to build."""
    if not isinstance(error, UNBUILDABLE):
        return None
    built = []
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if Path(frame.f_code.co_filename).parts[-3:] == REGISTRY:
            obj_type = frame.f_locals.get('obj_type')
            built.append(
                obj_type if isinstance(obj_type, str) else f'type={obj_type!r}'
            )
    if not built:
        return None
    reason = str(error).strip().partition('\n')[0]
    return (
        f'{built[-1][:80]} cannot be built from its config ({type(error).__name__}: '
        f'{reason[:300]}): check its options; MMSSP_TRACEBACK=1 shows where'
    )


def _system_error(error: BaseException) -> str | None:
    """The operating system's own words, and the file they are about."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    said = error.strerror or str(error)
    if error.errno in NO_SPACE:
        said += '; make room, and call the command again'
    return f'{error.filename}: {said}' if error.filename else said


def _is_in(folders: Iterable[Path], file: str) -> bool:
    parents = Path(file).resolve().parents
    return any(folder in parents for folder in folders)


def _from_worker(text: str) -> str | None:
    """The message in what a data loader's worker sent, if mmssp raised it there.

    PyTorch raises such an error anew, with the worker's traceback as its text.
    """
    if 'in DataLoader worker process' not in text:
        return None
    files = list(re.finditer(r'^  File "(.+)", line \d+, in .+$', text, re.MULTILINE))
    if not files or not _is_in((PACKAGE,), files[-1][1]):
        return None
    message = re.search(
        r'^\w+(?:Error|Exception): (.*)', text[files[-1].end() :], re.M | re.S
    )
    return message[1].strip() if message else None

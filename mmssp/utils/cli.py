"""How a command ends: with a sentence where we know what is wrong."""

import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
EXPECTED = (ValueError, OSError, ImportError)
REGISTRY = Path('mmengine', 'registry', 'build_functions.py').parts
UNBUILDABLE = (
    *(TypeError, KeyError, AttributeError, AssertionError, ValueError, IndexError),
    RuntimeError,
)
"""What constructors raise for arguments that they do not expect."""


def run(main: Callable[[], None]) -> None:
    """Run a command; exit with one sentence on an error that mmssp itself explains.

    Errors raised inside mmssp with a message for the user end the command with exit code
    1 and that message, and so do those of a config of which something cannot be built;
    others keep their traceback. Ctrl-C ends with exit code 130. Set
    ``MMSSP_TRACEBACK=1`` to see every traceback.

    Args:
        main: The command.
    """
    try:
        main()
    except KeyboardInterrupt:
        print('\ninterrupted', file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = explanation(error)
        if message is None or os.environ.get('MMSSP_TRACEBACK'):
            raise
        print(f'error: {message}', file=sys.stderr)
        sys.exit(1)


def explanation(error: BaseException) -> str | None:
    """What a command says of an error instead of a traceback, if anything.

    Args:
        error: What ended the command.

    Returns:
        The message that mmssp raised itself; else, what could not be built from a config,
        and why; else None.
    """
    return own_message(error) or _unbuildable(error)


def own_message(error: BaseException) -> str | None:
    """The message of the error in the chain that mmssp raised itself, if there is one.

    Registries catch errors of constructors and raise them again with a prefix, so the
    chain is searched.

    Args:
        error: Any.

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
            frames = traceback.extract_tb(error.__traceback__)
            if frames and PACKAGE in Path(frames[-1].filename).resolve().parents:
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


def _from_worker(text: str) -> str | None:
    """The message in what a data loader's worker sent, if mmssp raised it there.

    PyTorch raises such an error anew, with the worker's traceback as its text.
    """
    if 'in DataLoader worker process' not in text:
        return None
    files = list(re.finditer(r'^  File "(.+)", line \d+, in .+$', text, re.MULTILINE))
    if not files or PACKAGE not in Path(files[-1][1]).resolve().parents:
        return None
    message = re.search(
        r'^\w+(?:Error|Exception): (.*)', text[files[-1].end() :], re.M | re.S
    )
    return message[1].strip() if message else None

"""How a command ends: with a sentence where we know what is wrong."""

import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
EXPECTED = (ValueError, OSError, ImportError)


def run(main: Callable[[], None]) -> None:
    """Run a command; exit with one sentence on an error that mmssp itself explains.

    Errors raised inside mmssp with a message for the user end the command with exit code
    1 and that message; others keep their traceback. Ctrl-C ends with exit code 130. Set
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
    """The message of the error in the chain that mmssp raised itself, if there is one.

    Registries catch errors of constructors and raise them again with a prefix, so the
    chain is searched.

    Args:
        error: What ended the command.

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

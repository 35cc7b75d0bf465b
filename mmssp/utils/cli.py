"""How a command ends: with a sentence where we know what is wrong."""

import os
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
        frames = traceback.extract_tb(error.__traceback__)
        if (
            isinstance(error, EXPECTED)
            and frames
            and PACKAGE in Path(frames[-1].filename).resolve().parents
        ):
            return str(error)
        error = error.__cause__ or error.__context__
    return None

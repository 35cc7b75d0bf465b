"""Running a command in the test's own process, as a user sees it end."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock


def exit_code(command: Path | Callable[[], None], *arguments: object) -> int:
    """Run a script, or the function behind one, with arguments.

    Args:
        command: The script, or what takes its words from ``sys.argv``.
        *arguments: Its words; turned into text.

    Returns:
        The code that the process would have ended with; a message given to
        ``sys.exit`` is printed to stderr, as the interpreter does.
    """
    name = command.name if isinstance(command, Path) else 'command'
    with mock.patch.object(sys, 'argv', [name, *map(str, arguments)]):
        try:
            if isinstance(command, Path):
                # where the interpreter looks first, too
                with mock.patch.object(sys, 'path', [str(command.parent), *sys.path]):
                    runpy.run_path(str(command), run_name='__main__')
            else:
                command()
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
                return 1
            return end.code or 0
    return 0

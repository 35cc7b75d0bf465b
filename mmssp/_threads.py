"""How PyTorch's threads wait, where mmssp's own commands run."""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
COMMANDS = (
    PACKAGE / '.mim' / 'tools',
    *(PACKAGE.parent / name for name in ('tools', 'demo', 'examples')),
)
VARIABLE = 'OMP_WAIT_POLICY'


def wait_passively(
    program: str | None = None,
    located: bool | None = None,
    environment: MutableMapping[str, str] = os.environ,
) -> None:
    """Let threads that have nothing to do give their core away, in commands of mmssp.

    By default they spin, which on a machine that does anything else takes up to sixty
    times as long. It has to be said before PyTorch is imported. A program that imports
    mmssp as a library is left alone, and so is whoever set the variable.

    Args:
        program: File that runs; by default this process's.
        located: Whether ``python -m`` looks for mmssp at this moment; by default, whether
            it does in this process.
        environment: Where the variable is set.
    """
    if program is None:
        program = getattr(sys.modules.get('__main__'), '__file__', None)
    if located is None:
        located = being_located()
    is_script = program is not None and any(
        folder in Path(program).resolve().parents
        for folder in (folder.resolve() for folder in COMMANDS)
    )
    if is_script or located:
        environment.setdefault(VARIABLE, 'PASSIVE')


def being_located() -> bool:
    """Whether ``python -m`` looks for mmssp at this moment, to run it."""
    # what Python documents: '-m' stands there while the module is being located
    words = sys.orig_argv
    return sys.argv[:1] == ['-m'] and words[words.index('-m') + 1] == 'mmssp'

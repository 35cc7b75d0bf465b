"""mmssp's components: registered at ``import mmssp``, later in mmssp's own commands.

What is below them (PyTorch, MMEngine, MMSegmentation) takes seconds to import, and a
command that is asked for its help, or given a wrong option, should answer at once.
"""

import sys
from functools import cache
from importlib import import_module

from ._threads import being_located
from .utils.dependencies import check_dependencies, quiet_imports

COMPONENTS = (
    'datasets',
    'engine',
    'evaluation',
    'models',
    'protocols',
    'runtime',
    'visualization',
)
MARK = '__options_first__'
"""A script that sets this calls :func:`load_components` itself, options in hand."""


def options_first() -> bool:
    """Whether the program that runs is a command which loads components by itself."""
    return hasattr(sys.modules.get('__main__'), MARK) or being_located()


@cache
def load_components() -> None:
    """Check what is below mmssp, and register all components; once is enough.

    Raises:
        StackError: See :func:`mmssp.utils.dependencies.check_dependencies`.
    """
    with quiet_imports():
        check_dependencies()
        for name in COMPONENTS:
            import_module(f'mmssp.{name}')

"""mmssp: few-shot semantic segmentation for MMSegmentation.

Importing the package registers all its components in mmseg's registries; mmssp's own
commands do it when they know their options.
"""

import sys
from typing import TYPE_CHECKING

from ._components import load_components, options_first
from ._moved import MovedFinder
from ._threads import wait_passively
from .version import __version__

if TYPE_CHECKING:
    from . import (
        datasets,
        engine,
        evaluation,
        models,
        protocols,
        runtime,
        visualization,
    )

wait_passively()
if not options_first():
    load_components()

sys.meta_path.append(MovedFinder())

__all__ = [
    '__version__',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'protocols',
    'runtime',
    'visualization',
]

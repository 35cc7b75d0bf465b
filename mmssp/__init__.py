"""mmssp: few-shot semantic segmentation for MMSegmentation.

Importing the package registers all its components in mmseg's registries.
"""

import sys

from ._moved import MovedFinder
from ._threads import wait_passively
from .utils.dependencies import check_dependencies, quiet_imports
from .version import __version__

wait_passively()
with quiet_imports():
    check_dependencies()
    from . import (
        datasets,
        engine,
        evaluation,
        models,
        protocols,
        runtime,
        visualization,
    )

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

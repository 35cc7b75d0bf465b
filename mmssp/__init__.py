"""mmssp: few-shot semantic segmentation for MMSegmentation.

Importing the package registers all its components in mmseg's registries.
"""

import sys

from ._moved import MovedFinder
from .utils.dependencies import check_dependencies, quiet_imports

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

from .version import __version__

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

from . import datasets, evaluation, models  # noqa: F401
from .version import __version__  # noqa: F401

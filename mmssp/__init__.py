from . import models  # noqa: F401
from .version import __version__  # noqa: F401

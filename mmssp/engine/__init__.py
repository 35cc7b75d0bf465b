"""What runs training and testing, and around them: loops and hooks."""

from .hooks import *  # noqa: F403
from .loops import *  # noqa: F403

"""What runs training and testing, and around them: loops, hooks, schedules."""

from .hooks import *  # noqa: F403
from .loops import *  # noqa: F403
from .quiet_runner import QuietRunner as QuietRunner
from .schedulers import *  # noqa: F403

"""What runs around training and testing: hooks."""

from .hooks import *  # noqa: F403

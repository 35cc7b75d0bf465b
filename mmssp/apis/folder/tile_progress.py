"""The bar of a folder moves by tiles, where single images take long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def moving_by_tiles(
    inferencer: Any, done: int, count: int, show: Callable[[float], None]
) -> Iterator[None]:
    """Show parts of images as they are predicted.

    Args:
        inferencer: Whose ``on_share`` is called with the share of an image that is done,
            if it has one.
        done: Images before these.
        count: How many are predicted meanwhile, one after the other.
        show: Called with the number of images that are done, a part of one included; it
            never falls, and stays at most ``done + count``.
    """
    before = getattr(inferencer, 'on_share', None)
    finished, last = 0, 0.0

    def moved(share: float) -> None:
        nonlocal finished, last
        if share <= last:  # the next image has begun
            finished += 1
        last = share
        show(done + min(finished + share, count))

    inferencer.on_share = moved
    try:
        yield
    finally:
        inferencer.on_share = before

"""Which images of a folder would help most if they were labelled, too."""

from collections.abc import Iterable
from typing import Any

MOST = 3
"""Images that are named: each label changes what the others' masks are."""
LEAST_IMAGES = 4
"""Of fewer there is nothing to choose."""


def label_next(records: Iterable[dict[str, Any]]) -> list[str]:
    """Names of the images whose masks are in most doubt, the greatest doubt first.

    Args:
        records: Of the images, ``file`` and ``doubt`` in [0, 1] in each.

    Returns:
        :data:`MOST` names at most; none of fewer than :data:`LEAST_IMAGES` images.
    """
    doubts = [(record['doubt'], record['file']) for record in records]
    if len(doubts) < LEAST_IMAGES:
        return []
    order = sorted(doubts, key=lambda own: (-own[0], own[1]))
    return [name for doubt, name in order[:MOST] if doubt > 0]

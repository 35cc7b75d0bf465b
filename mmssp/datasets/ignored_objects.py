"""Masks of 0 and 255: what was drawn white is ignored, as 255 is in index masks."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset

from .class_index import ClassIndex
from .mask_scan import IGNORE

LOOKED_AT = 20
"""Masks that are read again to find out why no class is in them."""


def check_not_ignored(
    index: ClassIndex,
    labels: Sequence[int],
    dataset: BaseSegDataset,
    reader: Callable[[dict[str, Any]], dict[str, Any]],
) -> None:
    """Refuse a data set of black-and-white masks, whose objects are all ignored.

    Args:
        index: Of the data set.
        labels: Classes that can be found.
        dataset: Gives ``get_data_info(i)``.
        reader: Adds ``gt_seg_map`` (H,W) to such an info.

    Raises:
        ValueError: No class is in any mask, but 255 is.
    """
    # with one class that is 0, the rest being ignored may be meant
    alone = list(labels) == [0]
    if hasattr(dataset, 'class_mask') or not (
        alone or not index.shows_any(labels).any()
    ):
        return
    found: set[int] = set()
    for i in range(min(len(dataset), LOOKED_AT)):
        loaded = reader(dataset.get_data_info(i))
        found |= set(np.unique(loaded['gt_seg_map']).tolist())
    if IGNORE not in found:
        return
    name = type(dataset).__name__
    if not alone:
        raise ValueError(
            f'{name}: no mask shows a class, but masks hold {IGNORE}, which is ignored '
            f'(values found: {sorted(found)}); expected the number of the class, 1 for '
            'the first after the background. Turn white into it, e.g. '
            'mask[mask == 255] = 1'
        )
    if found == {0, IGNORE}:
        warnings.warn(
            f'{name}: its only class is the value 0 of its masks, and all else in them '
            f'is {IGNORE}, ignored. If the object is what is white, store it as 1 and '
            "name two classes: ('background', …)",
            stacklevel=3,
        )

"""What may make results better, said before a long run, in a sentence."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ...utils.image_io import image_size as read_size
from ..encoding import FINER
from ..support.support_files import SupportClass

SMALL = 24
"""Pixels of an object's side, once its image is resized, below which a backbone with cells
of 16 or 32 pixels sees little of it."""
LARGE = 2
"""How many times smaller an image has to become before tiles can help."""
TILE = 1024


def hint_of_small_objects(
    inferencer: Any, classes: Sequence[SupportClass], tile: int = TILE
) -> str | None:
    """Whether ``--tile`` would show the model more of the objects.

    Args:
        inferencer: With the support set.
        classes: Where that came from: files, whose sizes are read.
        tile: Side to recommend, pixels.

    Returns:
        A sentence; None where objects are large enough, or images are tiled or not
        resized.
    """
    if inferencer.tile is not None or inferencer.image_size is None:
        return None
    sides, factors = [], []
    labelled = getattr(inferencer, 'support_annotations', {})
    for own in classes:
        for image, annotation in zip(
            own.images, labelled.get(own.name, ()), strict=False
        ):
            height, width = read_size(image)
            factors.append(math.sqrt(height * width) / inferencer.image_size)
            sides += [side / FINER for side in object_sides(annotation == 1)]
    if not sides or np.median(sides) >= SMALL or np.median(factors) < LARGE:
        return None
    return (
        f'hint: the labelled objects are about {np.median(sides):.0f} pixels wide once '
        f'images are resized ({np.median(factors):.1f} times smaller); --tile {tile} looks '
        'at large images in parts of their own size, which takes longer'
    )


def object_sides(region: np.ndarray) -> list[float]:
    """Sides, in pixels, of squares as large as each connected part of a region (H,W)."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    return [math.sqrt(area) for area in stats[1:, cv2.CC_STAT_AREA]]

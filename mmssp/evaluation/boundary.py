"""How well the outlines of masks agree: boundary IoU."""

import cv2
import numpy as np

WIDTH = 0.02
"""Of the band, as a share of the image's diagonal."""


def boundary(region: np.ndarray, width: float = WIDTH) -> np.ndarray:
    """The pixels of a region that are near its outline.

    Source: Cheng, Girshick, Dollár, Berg, Kirillov, "Boundary IoU" (CVPR 2021). The
    border of the image is an outline, too.

    Args:
        region: (H,W) bool.
        width: Of the band inside the outline, as a share of the image's diagonal.

    Returns:
        (H,W) bool, part of the region.
    """
    height, columns = region.shape
    distance = max(1, round(width * float(np.hypot(height, columns))))
    padded = np.pad(region.astype(np.uint8), 1)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)
    return region & (inner[1:-1, 1:-1] == 0)


def boundary_overlap(
    found: np.ndarray, truth: np.ndarray, width: float = WIDTH
) -> tuple[int, int]:
    """Pixels of intersection and union of two outlines' bands.

    Args:
        found: (H,W) bool.
        truth: (H,W) uint8 in {0, 1, 255}; pixels of 255 count for nothing.
        width: See :func:`boundary`.
    """
    valid = truth != 255
    ours = boundary(found & valid, width) & valid
    theirs = boundary(truth == 1, width) & valid
    return int((ours & theirs).sum()), int((ours | theirs).sum())

"""OpenCV's GrabCut as a pure function: from a rough mark to the object's edge."""

import math

import cv2
import numpy as np


def grab_cut(
    image: np.ndarray,
    hints: np.ndarray,
    *,
    iterations: int = 5,
    max_side: int = 600,
    seed: int = 0,
) -> np.ndarray:
    """Cut the object out by colour (Rother et al., "GrabCut", SIGGRAPH 2004).

    Args:
        image: (H,W,3) uint8, of any colour order.
        hints: (H,W) uint8 of ``cv2.GC_BGD``, ``GC_FGD``, ``GC_PR_BGD``, ``GC_PR_FGD``.
        iterations: Of estimating colours and cutting.
        max_side: Larger images are cut at this length of the longer side, pixels.
        seed: Of OpenCV's random numbers, for the first clusters of colours.

    Returns:
        (H,W) bool; sure pixels are as in ``hints``. Nothing but sure foreground where
        there is no cut: ``hints`` without any background, or too few pixels.
    """
    height, width = hints.shape
    sure = hints == cv2.GC_FGD
    scale = min(1.0, max_side / max(height, width))
    small_image, small_hints = image, hints.copy()
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small_image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        small_hints = _shrink(hints, size, scale)
    foreground = np.isin(small_hints, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if foreground.all() or not foreground.any():
        return sure
    cv2.setRNGSeed(seed)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        cv2.grabCut(
            np.ascontiguousarray(small_image),
            small_hints,
            (0, 0, 0, 0),  # the mask says it all
            *models,
            iterations,
            cv2.GC_INIT_WITH_MASK,
        )
    except cv2.error:  # colours of a handful of pixels have no clusters
        return sure
    cut: np.ndarray = np.isin(small_hints, (cv2.GC_FGD, cv2.GC_PR_FGD))
    cut = cut.astype(np.uint8)
    if scale < 1:
        cut = cv2.resize(cut, (width, height), interpolation=cv2.INTER_NEAREST)
    return (cut.astype(bool) | sure) & (hints != cv2.GC_BGD)


def _shrink(hints: np.ndarray, size: tuple[int, int], scale: float) -> np.ndarray:
    """Nearest neighbours, but thin strokes of the foreground don't fall through."""
    small = cv2.resize(hints, size, interpolation=cv2.INTER_NEAREST)
    side = math.ceil(1 / scale) | 1
    kernel = np.ones((side, side), np.uint8)
    for code in (cv2.GC_PR_FGD, cv2.GC_FGD):
        if not (hints == code).any() or (
            code == cv2.GC_PR_FGD and (small == code).any()
        ):
            continue
        thick = cv2.dilate((hints == code).astype(np.uint8), kernel)
        small[cv2.resize(thick, size, interpolation=cv2.INTER_NEAREST) > 0] = code
    return small

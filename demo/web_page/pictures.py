"""Pictures for the page: overlays, heat maps, and the pixels that the model trusts."""

import cv2
import numpy as np

from mmssp.apis.explanation import Explanation
from mmssp.visualization.overlay import (
    fit_size,
    inner_outline,
    overlay_mask,
    resize_image,
    resize_mask,
)
from mmssp.visualization.style import PanelStyle

STYLE = PanelStyle()
HEAT = 0.72
"""Opacity of a heat map over its image in grey."""
OBJECT, BACKGROUND = (86, 180, 233), (230, 159, 0)
"""Trusted pixels, RGB: from the colour-blind-safe Okabe-Ito set, as all colours here."""
LINE = (255, 255, 255)


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """An image (H,W,3) uint8 that fits into a square; smaller ones stay as they are."""
    if max(image.shape[:2]) <= side:
        return image
    return resize_image(image, fit_size(image.shape, side, side))


def draw_shot(image: np.ndarray, mask: np.ndarray, side: int) -> np.ndarray:
    """A support image with its mask.

    Args:
        image: (H,W,3) uint8 RGB.
        mask: (H,W) uint8 in {0, 1, 255}.
        side: Longest side of the picture, in pixels.

    Returns:
        (h,w,3) uint8 RGB.
    """
    image = shrunk(image, side)
    return overlay_mask(
        image,
        resize_mask(mask, image.shape[:2]),
        color=STYLE.mask_color,
        rim_color=STYLE.rim_color,
        ignore_color=STYLE.ignore_color,
        opacity=STYLE.opacity,
        line_width=_line(image),
    )


def draw_heat(
    image: np.ndarray, probability: np.ndarray, threshold: float, side: int
) -> np.ndarray:
    """A probability map: dark blue is 0, yellow 1, the white line is the threshold.

    Args:
        image: (H,W,3) uint8 RGB.
        probability: (H,W) float32 in [0, 1].
        threshold: In [0, 1].
        side: Longest side of the picture, in pixels.

    Returns:
        (h,w,3) uint8 RGB.
    """
    image = shrunk(image, side)
    values = cv2.resize(
        probability, image.shape[1::-1], interpolation=cv2.INTER_LINEAR
    ).clip(0, 1)
    heat = cv2.applyColorMap(
        np.rint(255 * values).astype(np.uint8), cv2.COLORMAP_VIRIDIS
    )
    picture = np.rint(HEAT * heat[..., ::-1] + (1 - HEAT) * _grey(image))
    picture = picture.astype(np.uint8)
    picture[inner_outline(values > threshold, _line(image))] = LINE
    return picture


def draw_trusted(image: np.ndarray, explanation: Explanation, side: int) -> np.ndarray:
    """The pixels that self-support takes its prototypes from: blue object, orange rest.

    Args:
        image: (H,W,3) uint8 RGB.
        explanation: Of a class in it.
        side: Longest side of the picture, in pixels.

    Returns:
        (h,w,3) uint8 RGB.
    """
    image = shrunk(image, side)
    picture = _grey(image)
    for region, colour in (
        (explanation.confident_background, BACKGROUND),
        (explanation.confident_foreground, OBJECT),
    ):
        region = resize_mask(region, image.shape[:2]) > 0
        picture[region] = 0.4 * picture[region] + 0.6 * np.array(colour)
    return np.rint(picture).astype(np.uint8)


def _grey(image: np.ndarray) -> np.ndarray:
    """(h,w,3) float32, all channels equal."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)


def _line(image: np.ndarray) -> int:
    return max(1, round(max(image.shape[:2]) / 250))

"""A mask drawn over its image, at the size it is shown."""

import cv2
import numpy as np
from mmseg.structures import SegDataSample
from torch import Tensor

from .style import Color


def fit_size(
    shape: tuple[int, ...], height: int, width: int | float
) -> tuple[int, int]:
    """Height and width of an image scaled, by one factor, to fit into a box.

    Args:
        shape: The image's (H,W,…).
        height: The box's, in pixels.
        width: The box's, in pixels.

    Returns:
        (h,w) with h ≤ ``height`` and w ≤ ``width``, at least one of them equal but for
        rounding, neither below 1.
    """
    scale = min(height / shape[0], width / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def to_rgb(image: Tensor) -> np.ndarray:
    """An image as loaded for a model, as it is drawn.

    Args:
        image: (3,H,W) uint8 BGR, on any device.

    Returns:
        (H,W,3) uint8 RGB.
    """
    return np.ascontiguousarray(image.cpu().numpy()[::-1].transpose(1, 2, 0))


def without_padding(image: np.ndarray, sample: SegDataSample) -> np.ndarray:
    """A model's input less what was padded at its right and bottom.

    Args:
        image: (H,W,3).
        sample: A resized image has ``scale_factor`` (width, height) beside
            ``ori_shape``; what lies beyond the scaled original is padding. Without it
            the input counts as the whole image.

    Returns:
        A view (h,w,3).
    """
    if 'scale_factor' not in sample or 'ori_shape' not in sample:
        return image
    height, width = (
        max(1, round(side * factor))
        for side, factor in zip(
            sample.ori_shape, sample.scale_factor[::-1], strict=True
        )
    )
    return image[:height, :width]


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image (H,W,3) uint8 at ``size`` (h,w), averaged or interpolated."""
    shrinks = size[0] < image.shape[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    image = np.ascontiguousarray(image)
    return cv2.resize(image, size[::-1], interpolation=interpolation)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask (H,W) as uint8 at ``size`` (h,w), by the nearest pixel."""
    mask = np.ascontiguousarray(mask, np.uint8)
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def inner_outline(region: np.ndarray, width: int) -> np.ndarray:
    """The rim of a region: its pixels within ``width`` of one outside of it.

    What lies beyond the image's border is not outside: where a region is cut by the
    border it has no rim.

    Args:
        region: (H,W) bool.
        width: In pixels.

    Returns:
        (H,W) bool.
    """
    kernel = cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1)
    )
    return region & (cv2.erode(region.astype(np.uint8), kernel) == 0)


def overlay_mask(
    image: np.ndarray,
    mask: np.ndarray,
    color: Color,
    rim_color: Color,
    ignore_color: Color,
    opacity: float = 0.5,
    line_width: int = 2,
) -> np.ndarray:
    """Tint and outline the target, hatch what is ignored, leave the rest as it is.

    Args:
        image: (H,W,3) uint8, RGB.
        mask: (H,W) in {0, 1, 255}.
        color: Of the target (1), RGB.
        rim_color: Of the target's outline, RGB.
        ignore_color: Of the ignored pixels (255), RGB.
        opacity: Of the tints, in [0, 1]; the outline is opaque.
        line_width: Of the outline, which lies inside the target, in pixels.

    Returns:
        (H,W,3) uint8, RGB; a new array.
    """
    target, ignored = mask == 1, mask == 255
    out = image.copy()
    for region, tint in ((target, color), (ignored, ignore_color)):
        out[region] = np.rint(
            (1 - opacity) * image[region] + opacity * np.array(tint)
        ).astype(np.uint8)
    rows, columns = np.indices(mask.shape)
    out[ignored & ((rows + columns) // line_width % 4 == 0)] = ignore_color
    out[inner_outline(target, line_width)] = rim_color
    return out

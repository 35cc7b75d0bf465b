"""From what was drawn, typed or uploaded to the mask of a support image."""

import re
from collections.abc import Mapping

import cv2
import numpy as np

from mmssp.apis.annotations.conversion import Box, to_mask

AREA = 'The painted area'
OUTLINE = 'The inside of an outline'
BOX = 'A box around the drawing'
WAYS = (AREA, OUTLINE, BOX)
BRUSH_COLOUR = (230, 159, 0)


def painted(editor: Mapping | None, size: tuple[int, int]) -> np.ndarray:
    """What the brush has left on the canvas, at the size of the image.

    Args:
        editor: What Gradio's ImageEditor gives: ``layers``, (h,w,4) uint8 RGBA each.
        size: Of the image, (H,W).

    Returns:
        (H,W) bool.

    Raises:
        ValueError: Nothing is drawn.
    """
    region = np.zeros(size, bool)
    for layer in (editor or {}).get('layers') or ():
        drawn = (np.asarray(layer)[..., 3] > 0).astype(np.uint8)
        drawn = cv2.resize(drawn, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        region |= drawn > 0
    if not region.any():
        raise ValueError('Nothing is drawn: mark the object with the brush first.')
    return region


def brushed(region: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A region as if the brush had left it.

    Args:
        region: (H,W) bool.
        size: Of the canvas, (h,w).

    Returns:
        (h,w,4) uint8 RGBA, a layer of Gradio's ImageEditor.
    """
    drawn = cv2.resize(
        region.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT
    )
    layer = np.zeros((*size, 4), np.uint8)
    layer[drawn > 0] = (*BRUSH_COLOUR, 255)
    return layer


def marked(
    region: np.ndarray, way: str, image: np.ndarray, tighten: bool
) -> np.ndarray:
    """The mask that a drawing means.

    Args:
        region: (H,W) bool, what was drawn.
        way: One of ``WAYS``.
        image: (H,W,3) uint8 RGB.
        tighten: Whether a box is fitted to the object by GrabCut.

    Returns:
        (H,W) uint8 in {0, 1}, or 255 where ignored.

    Raises:
        ValueError: An outline that is not closed, or an unknown way.
    """
    if way == BOX:
        rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        corners = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        return boxed(tuple(float(c) for c in corners), image, tighten)
    if way == OUTLINE:
        filled = inside(region)
        if not (filled & ~region).any():
            raise ValueError(
                'The outline is not closed: draw it around the whole object, or choose '
                f'"{AREA}".'
            )
        return filled.astype(np.uint8)
    if way == AREA:
        return region.astype(np.uint8)
    raise ValueError(f'{way!r}: expected one of {WAYS}')


def inside(region: np.ndarray) -> np.ndarray:
    """A region (H,W) bool with its holes filled."""
    # a rim of background, so that one flood reaches all that is outside
    outside = np.pad(region.astype(np.uint8), 1)
    cv2.floodFill(outside, None, (0, 0), 2)
    return outside[1:-1, 1:-1] != 2


def boxed(
    corners: tuple[float, float, float, float], image: np.ndarray, tighten: bool
) -> np.ndarray:
    """The mask of a box x1, y1, x2, y2 in pixels of ``image`` (H,W,3).

    Raises:
        ValueError: It is empty or lies outside.
    """
    return to_mask(Box(*corners), image, tighten=tighten)


def typed_box(text: str) -> tuple[float, float, float, float]:
    """Four numbers, as someone types them.

    Raises:
        ValueError: They are not four numbers.
    """
    parts = [part for part in re.split(r'[\s,;]+', text.strip()) if part]
    try:
        x1, y1, x2, y2 = (float(part) for part in parts)
    except ValueError:
        raise ValueError(
            f'"{text.strip()[:80]}" is no box: expected four numbers of pixels, '
            'x1, y1, x2, y2, such as 20, 30, 180, 200.'
        ) from None
    return x1, y1, x2, y2


def uploaded(path: str, image: np.ndarray, class_value: float | None) -> np.ndarray:
    """The mask in a file, for an image (H,W,3).

    Args:
        path: Of a mask, or a LabelMe file.
        image: That it belongs to.
        class_value: The object's value in the mask, where there are several.

    Raises:
        ValueError: It cannot be read, does not fit, or has several values and none is
            chosen.
    """
    value = None if class_value is None else int(class_value)
    return to_mask(path, image, class_value=value)

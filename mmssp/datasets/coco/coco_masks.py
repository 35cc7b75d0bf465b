"""COCO's outlines as one label mask: pure functions, and the masks' colours."""

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from .coco_habits import unnested
from .coco_json import Outline

COORDINATE_LIMIT = 1e6  # pixels; far beyond, pycocotools overflows without a word
OUTLINE_LIMIT = 4e6  # pixels; pycocotools needs some 100 bytes for each


def segmentation_rle(
    segmentation: list[Any] | dict[str, Any] | None, height: int, width: int
) -> dict[str, Any] | None:
    """One annotation's region as pycocotools' compressed RLE.

    Args:
        segmentation: Polygons (each a flat x, y, x, y, … in pixels; see also
            :func:`mmssp.datasets.coco.coco_habits.unnested`), or an RLE
            ``dict(size=[height, width], counts=list or str)``.
        height: Of the image, pixels.
        width: Of the image, pixels.

    Returns:
        The RLE; None if there is nothing to draw (see :func:`count_degenerate`).

    Raises:
        ValueError: It is none of the three, does not fit the image, or has outlines
            that together are longer than :data:`OUTLINE_LIMIT`.
    """
    if isinstance(segmentation, dict):
        return _checked_rle(segmentation, height, width)
    segmentation = unnested(segmentation)
    if segmentation is not None and not isinstance(segmentation, list):
        raise ValueError(
            f'segmentation is a {type(segmentation).__name__}; expected a list of '
            'polygons or an RLE object'
        )
    polygons = [
        _checked_polygon(p) for p in segmentation or () if not _is_degenerate(p)
    ]
    if not polygons:
        return None
    length = sum(_outline_length(polygon) for polygon in polygons)
    if length > OUTLINE_LIMIT:
        raise ValueError(
            f'{len(polygons)} polygon(s) of {sum(map(len, polygons)) // 2} points have '
            f'an outline longer than {OUTLINE_LIMIT:g} pixels. Give them fewer points, '
            'near the image'
        )
    return mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))


def count_degenerate(segmentation: list[Any] | dict[str, Any] | None) -> int:
    """How many parts cannot be drawn: polygons of fewer than 3 points, or nothing."""
    segmentation = unnested(segmentation)
    if isinstance(segmentation, list) and segmentation:
        return sum(_is_degenerate(polygon) for polygon in segmentation)
    return 0 if segmentation else 1


def _is_degenerate(polygon: object) -> bool:
    return hasattr(polygon, '__len__') and len(polygon) < 6


def _checked_polygon(polygon: Sequence[float]) -> np.ndarray:
    try:
        points = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'a polygon holds something else than numbers: {error}'
        ) from error
    if points.ndim != 1 or len(points) % 2:
        raise ValueError(
            'a polygon must be a flat list x, y, x, y, … inside the list of polygons; '
            f'found an array of the shape {points.shape}'
        )
    if not (np.abs(points) <= COORDINATE_LIMIT).all():
        raise ValueError(
            'a polygon has coordinates that are not finite or beyond '
            f'{COORDINATE_LIMIT:g} pixels'
        )
    return points


def _outline_length(points: np.ndarray) -> float:
    """In pixels along the axes, an upper bound of what is drawn."""
    return float(np.abs(points - np.roll(points, 2)).sum())


def _checked_rle(rle: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    # pycocotools reads past the end of its buffers when counts and size disagree.
    size, counts = rle.get('size'), rle.get('counts')
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        raise ValueError(
            f'the RLE has the size {size}, the image has [height, width] = '
            f'[{height}, {width}]'
        )
    if isinstance(counts, str):
        counts = decompress_counts(counts)
    if not isinstance(counts, list) or not all(
        isinstance(count, int) and count >= 0 for count in counts
    ):
        raise ValueError('the RLE needs "counts", a list of numbers >= 0 or a string')
    if sum(counts) != height * width:
        raise ValueError(
            f"the RLE's counts add up to {sum(counts)} pixels, the image has "
            f'{height}x{width} = {height * width}'
        )
    runs = {'size': [height, width], 'counts': counts}
    return mask_utils.frPyObjects(runs, height, width)


def decompress_counts(text: str) -> list[int]:
    """Run lengths of a compressed RLE string.

    Five bits a character (code minus 48), lowest first; bit 32 says that more follow,
    and the last one's bit 16 is the sign. From the fourth run on, a number is the
    difference to the run before the previous one.

    Args:
        text: ``counts`` as pycocotools writes it.

    Returns:
        Run lengths in pixels, down the columns, starting with the background's.

    Raises:
        ValueError: A character that does not belong there, or a cut string.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f'the RLE string has the stray character {character!r}')
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError('the RLE string ends in the middle of a number')
    return counts


def draw_mask(outlines: Sequence[Outline], height: int, width: int) -> np.ndarray:
    """All annotations of an image in one label mask.

    Drawn in the order of decreasing mask area, so a smaller one lies on top of a
    larger one; of equal ones the later in the file is on top.

    Args:
        outlines: In file order; each covers its pixels with its label.
        height: Of the image, pixels.
        width: Of the image, pixels.

    Returns:
        (H, W) uint8; 0 where nothing was drawn.

    Raises:
        ValueError: A segmentation that cannot be read; names the annotation.
    """
    drawn = []
    for outline in outlines:
        try:
            rle = segmentation_rle(outline.segmentation, height, width)
        except ValueError as error:
            raise ValueError(f'annotation {outline.id}: {error}') from error
        if rle is not None:
            drawn.append((int(mask_utils.area(rle)), rle, outline.label))
    drawn.sort(key=lambda item: -item[0])  # stable: ties keep the file's order

    # Columns first, as pycocotools' masks are: twice as fast as mixing the two orders.
    mask = np.zeros((height, width), np.uint8, order='F')
    for _, rle, label in drawn:
        left, top, box_width, box_height = (int(v) for v in mask_utils.toBbox(rle))
        box = np.s_[top : top + box_height, left : left + box_width]
        inside = mask_utils.decode(rle)[box].view(bool)
        np.copyto(mask[box], np.uint8(label), where=inside)
    return np.ascontiguousarray(mask)


def label_palette(num_colours: int) -> list[list[int]]:
    """Distinct colours: black for label 0, then around the colour circle.

    Args:
        num_colours: How many, background included; up to 256.

    Returns:
        ``num_colours`` lists [R, G, B], 0..255, the same at every call and independent
        of how many are asked for.
    """
    return [list(colour) for colour in _COLOURS[:num_colours]]


def _colour(label: int) -> tuple[int, ...]:
    # Steps of the golden angle keep neighbours in the list far apart on the circle.
    hue, ring = label * 0.618034 % 1.0, label % 3
    saturation, value = (0.9, 0.55, 0.75)[ring], (0.95, 0.9, 0.6)[ring]
    return tuple(round(255 * c) for c in hsv_to_rgb(hue, saturation, value))


_COLOURS = ((0, 0, 0), *(_colour(label) for label in range(1, 255)), (255, 255, 255))
PNG_PALETTE = bytes(value for colour in _COLOURS for value in colour)

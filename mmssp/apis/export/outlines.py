"""Masks as outlines: parts and holes along the edges of pixels, as few points as wished.

Coordinates are as in :mod:`mmssp.apis.annotations.shapes`: pixels, (0, 0) the upper left
corner of the upper left pixel. An outline runs along the edges of pixels, so that drawing
it gives the mask back; one through their centres, as OpenCV has it, would lose half a
pixel on every side.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..annotations.shapes import CoversNothing, Polygon


class Part(NamedTuple):
    """Pixels at a place in an image.

    Attributes:
        left: Column of the first one.
        top: Row of it.
        inside: (h,w) bool, with a pixel in each row and column at the border.
    """

    left: int
    top: int
    inside: np.ndarray


def parts(region: np.ndarray, min_area: int = 0) -> Iterator[Part]:
    """The connected parts of a region; pixels that touch by a corner are connected.

    Args:
        region: (H,W) bool.
        min_area: Parts of fewer pixels are left out.

    Yields:
        Each of them, from the top down.
    """
    labels, stats = _connected(region)
    for i in range(1, len(stats)):
        left, top, width, height, area = (int(value) for value in stats[i])
        if area >= min_area:
            box = labels[top : top + height, left : left + width]
            yield Part(left, top, box == i)


def without_specks(region: np.ndarray, min_area: int) -> np.ndarray:
    """(H,W) bool: a region without its connected parts of fewer pixels."""
    if min_area <= 1:
        return region
    labels, stats = _connected(region)
    kept = stats[:, cv2.CC_STAT_AREA] >= min_area
    kept[0] = False
    return np.asarray(kept[labels])


def _connected(region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H,W) int32, 0 outside and i in the i'th part; of each number left, top, width,
    height and pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(region, np.uint8), connectivity=8
    )
    return labels, stats


def polygons(
    region: np.ndarray, tolerance: float = 1.0, min_area: int = 0
) -> list[Polygon]:
    """Outlines of a region, a polygon with its holes for each connected part.

    Args:
        region: (H,W) bool.
        tolerance: How far, in pixels, an outline may be from the edge of the mask; 0 is
            exact, with a corner for every step.
        min_area: Parts of fewer pixels are left out.

    Returns:
        Polygons with corners within 0..W and 0..H; none for an empty region.

    Raises:
        ValueError: The region is no (H,W), or ``tolerance`` is negative.
    """
    region = np.asarray(region)
    if region.ndim != 2:
        raise ValueError(f'a region of shape {region.shape}: expected (H,W)')
    if not 0 <= tolerance < np.inf:
        raise ValueError(f'tolerance={tolerance!r}: expected pixels, 0 or more')
    part = cropped(without_specks(region.astype(bool), min_area))
    return [] if part is None else part_polygons(part, tolerance)


def part_polygons(part: Part, tolerance: float) -> list[Polygon]:
    """The same of pixels at a place, which need not be connected."""
    left, top, region = part
    # Twice as large, each edge of a pixel has a row of contour points of its own.
    doubled = region.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [corners((contour[:, 0] + 1) // 2 + (left, top)) for contour in contours]
    found = []
    for i, (_, _, child, parent) in enumerate(tree[0]):
        if parent < 0:
            own = [rings[i], *(rings[k] for k in _siblings(tree[0], child))]
            found.append(_polygon(own, tolerance))
    return found


def _polygon(rings: Sequence[np.ndarray], tolerance: float) -> Polygon:
    """An outline and its holes with few corners; with all, if nothing would be left."""
    exact = Polygon(rings[0], rings[1:])
    if tolerance == 0:
        return exact
    outer, *holes = (simplified(ring, tolerance) for ring in rings)
    coarse = Polygon(outer, holes)
    try:
        drawn(coarse)
    except CoversNothing:
        return exact
    return coarse


def cropped(region: np.ndarray) -> Part | None:
    """What a region (H,W) bool holds, and only that of it; None if it is empty."""
    rows, columns = region.any(axis=1).nonzero()[0], region.any(axis=0).nonzero()[0]
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    return Part(left, top, region[top : rows[-1] + 1, left : columns[-1] + 1])


def drawn(polygon: Polygon) -> Part:
    """The pixels inside a polygon that has some."""
    points = np.asarray(polygon.points)
    low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
    moved = Polygon(points - low, [np.asarray(hole) - low for hole in polygon.holes])
    width, height = (int(side) for side in high - low)
    part = cropped(moved.draw(height, width))
    assert part is not None  # or draw() would have raised
    return Part(part.left + int(low[0]), part.top + int(low[1]), part.inside)


def simplified(ring: np.ndarray, tolerance: float) -> np.ndarray:
    """A closed outline with fewer corners.

    Args:
        ring: (N,2) of whole pixels.
        tolerance: Greatest distance from it, pixels.

    Returns:
        (M,2) of some of its points, at least three; all where fewer would be left.
    """
    points = ring.astype(np.int32)[:, None]
    fewer = cv2.approxPolyDP(points, tolerance, closed=True)[:, 0]
    return fewer if len(fewer) >= 3 and cv2.contourArea(fewer) > 0 else ring


def corners(ring: np.ndarray) -> np.ndarray:
    """The points of a closed outline at which it turns, each once in a row."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    along = (before * after).sum(axis=1)
    return ring[(cross != 0) | (along < 0)]


def one_ring(polygon: Polygon) -> np.ndarray:
    """A polygon and its holes as a single outline, for formats that know no holes.

    Each hole is reached by a bridge there and back, of no width, and runs the other way
    round: filled by either rule (even-odd, non-zero), what is drawn has its holes.

    Args:
        polygon: With any number of holes.

    Returns:
        (N,2) float, pixels.
    """
    outer = _turned(np.asarray(polygon.points), clockwise=True)
    holes = [_turned(np.asarray(hole), clockwise=False) for hole in polygon.holes]
    # From the left: so a bridge to the nearest point so far seldom crosses another hole.
    for hole in sorted(holes, key=lambda ring: float(ring[:, 0].min())):
        start = int(hole[:, 0].argmin())
        at = _nearest(outer, hole[start])
        loop = np.roll(hole, -start, axis=0)
        outer = np.concatenate([outer[: at + 1], loop, loop[:1], outer[at:]])
    return outer


def joined(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Several outlines as one, by bridges of no width there and back.

    Args:
        rings: (N,2) each, at least one; all turn the same way.

    Returns:
        (M,2) float, pixels.
    """
    whole = np.asarray(rings[0], np.float64)
    for ring in rings[1:]:
        start = _nearest(ring, whole[0])
        at = _nearest(whole, ring[start])
        loop = np.roll(ring, -start, axis=0)
        whole = np.concatenate([whole[: at + 1], loop, loop[:1], whole[at:]])
    return whole


def _nearest(ring: np.ndarray, point: np.ndarray) -> int:
    return int(((ring - point) ** 2).sum(axis=1).argmin())


def _siblings(tree: np.ndarray, first: int) -> Iterator[int]:
    while first >= 0:
        yield first
        first = tree[first][0]


def _turned(ring: np.ndarray, *, clockwise: bool) -> np.ndarray:
    signed = cv2.contourArea(ring.astype(np.float32), oriented=True)
    return ring if (signed > 0) == clockwise else ring[::-1]

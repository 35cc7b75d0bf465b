"""Marks on an image: boxes, polygons, points and strokes, and the pixels they cover.

Coordinates are pixels, x to the right, y down; (0, 0) is the upper left corner of the
upper left pixel, so a pixel's centre lies at (column + 0.5, row + 0.5).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from ...datasets.coco.coco_masks import COORDINATE_LIMIT, segmentation_rle
from ...datasets.mask_scan import IGNORE

Point = tuple[float, float]
Stroke = tuple[Point, ...]


class CoversNothing(ValueError):
    """A mark has no pixel inside the image."""


@dataclass(frozen=True)
class Box:
    """Everything inside a rectangle.

    Args:
        x0: Left edge, pixels.
        y0: Upper edge.
        x1: Right edge, exclusive: with whole numbers the last column is ``x1 - 1``.
        y1: Lower edge, exclusive.

    Raises:
        ValueError: No finite numbers, or nothing between the edges.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        check_points([(self.x0, self.y0), (self.x1, self.y1)], 'a box')
        if not (self.x0 < self.x1 and self.y0 < self.y1):
            raise ValueError(
                f'{self} is empty; expected x0 < x1 and y0 < y1 (corners, not a width '
                'and a height).'
            )

    def draw(self, height: int, width: int) -> np.ndarray:
        """The pixels whose centres lie inside.

        Args:
            height: Of the image, pixels.
            width: Of the image, pixels.

        Returns:
            (H,W) bool, clipped at the image.

        Raises:
            ValueError: Not one pixel.
        """
        left, top = (max(math.ceil(v - 0.5), 0) for v in (self.x0, self.y0))
        right = min(math.ceil(self.x1 - 0.5), width)
        bottom = min(math.ceil(self.y1 - 0.5), height)
        if left >= right or top >= bottom:
            raise _outside(self, height, width)
        mask = np.zeros((height, width), bool)
        mask[top:bottom, left:right] = True
        return mask


@dataclass(frozen=True)
class Polygon:
    """Everything inside an outline, but its holes.

    Args:
        points: At least three (x, y), or an array (N,2); closed by itself.
        holes: Outlines of the same kind, cut out.

    Raises:
        ValueError: Too few points, or no finite numbers.
    """

    # Any: what is given; then Stroke and tuple[Stroke, ...]
    points: Any
    holes: Any = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, 'points', _ring(self.points, 'a polygon'))
        holes = tuple(_ring(hole, "a polygon's hole") for hole in self.holes)
        object.__setattr__(self, 'holes', holes)

    def draw(self, height: int, width: int) -> np.ndarray:
        """The pixels inside, as COCO's tools draw them.

        Args:
            height: Of the image, pixels.
            width: Of the image, pixels.

        Returns:
            (H,W) bool, clipped at the image.

        Raises:
            ValueError: Not one pixel.
        """
        mask = _fill(self.points, height, width)
        for hole in self.holes:
            mask &= ~_fill(hole, height, width)
        if not mask.any():
            raise _outside(self, height, width)
        return mask


@dataclass(frozen=True)
class Points:
    """Points or strokes on the object and, if wanted, on the background.

    What is between them is left open (ignored). Without background strokes, what is
    far from the object's strokes is taken for background.

    Args:
        foreground: Points (x, y) and strokes (lists of points, joined by lines): two
            points are ``[(x, y), (x, y)]``, one stroke is ``[[(x, y), (x, y)]]``.
        background: The same, beside the object; where both lie, foreground wins.
        radius: Half the width of the pen, pixels.
        margin: How far from the object's strokes the background begins, pixels, if
            ``background`` is empty; an eighth of the image's longer side by default.

    Raises:
        ValueError: No point of the foreground, or no finite numbers.
    """

    # Any: what is given; then tuple[Stroke, ...]
    foreground: Any
    background: Any = ()
    radius: float = 3
    margin: float | None = None

    def __post_init__(self) -> None:
        for field in ('foreground', 'background'):
            object.__setattr__(self, field, _strokes(getattr(self, field), field))
        if not self.foreground:
            raise ValueError('Points without a point on the foreground; expected one.')
        for field in ('radius', 'margin'):
            value = getattr(self, field)
            if value is not None and not 0 <= value <= COORDINATE_LIMIT:
                raise ValueError(f'{field} is {value}; expected pixels >= 0.')

    def draw(self, height: int, width: int) -> np.ndarray:
        """The strokes as a mask.

        Args:
            height: Of the image, pixels.
            width: Of the image, pixels.

        Returns:
            (H,W) uint8: 1 object, 0 background, 255 ignored.

        Raises:
            ValueError: A stroke wholly outside the image.
        """
        distance = _distance(self.foreground, height, width)
        if self.background:
            mask = np.full((height, width), IGNORE, np.uint8)
            mask[_distance(self.background, height, width) <= self.radius] = 0
        else:
            margin = max(height, width) / 8 if self.margin is None else self.margin
            mask = np.where(distance > margin, np.uint8(0), np.uint8(IGNORE))
        mask[distance <= self.radius] = 1
        return mask


def check_points(values: Any, what: str) -> np.ndarray:
    """Points as an array.

    Args:
        values: Pairs (x, y).
        what: Word for messages.

    Returns:
        (N,2) float64 of finite pixels.

    Raises:
        ValueError: Something else.
    """
    try:
        points = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f'{what} is no list of pairs (x, y): {error}') from error
    if points.dtype.kind not in 'iuf' or points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f'{what} needs pairs of numbers (x, y); found {_shortened(values)}'
        )
    if not (np.abs(points) <= COORDINATE_LIMIT).all():
        raise ValueError(
            f'{what} has coordinates that are NaN, infinite or beyond '
            f'{COORDINATE_LIMIT:g} pixels: {_shortened(values)}'
        )
    return points.astype(np.float64)


def _ring(values: Any, what: str) -> Stroke:
    points = check_points(values, what) if _length(values) else np.empty((0, 2))
    if len(points) < 3:
        raise ValueError(f'{what} has {len(points)} points; expected at least 3.')
    return _stroke(points)


def _stroke(points: np.ndarray) -> Stroke:
    return tuple((float(x), float(y)) for x, y in points)


def _strokes(values: Any, field: str) -> tuple[Stroke, ...]:
    what = f'Points, {field}:'
    if not _length(values):
        return ()
    if np.isscalar(values[0]):  # one point alone
        values = [values]
    strokes = []
    for item in values:
        alone = _length(item) and np.isscalar(item[0])
        strokes.append(_stroke(check_points([item] if alone else item, what)))
    return tuple(strokes)


def _length(values: Any) -> int:
    """Number of items of a list, tuple or array.

    Raises:
        ValueError: It is none of them.
    """
    if (
        not isinstance(values, list | tuple | np.ndarray)
        or getattr(values, 'ndim', 1) == 0
    ):
        raise ValueError(f'expected a list of points; found {_shortened(values)}')
    return len(values)


def _fill(points: Stroke, height: int, width: int) -> np.ndarray:
    ring = np.asarray(points)
    rle = segmentation_rle([ring.ravel().tolist()], height, width)
    return np.ascontiguousarray(mask_utils.decode(rle)).view(bool)


def _distance(strokes: Sequence[Stroke], height: int, width: int) -> np.ndarray:
    """(H,W) float32: pixels to the middle of the nearest stroke."""
    away = np.ones((height, width), np.uint8)
    for stroke in strokes:
        line = np.floor(stroke).astype(np.int32)
        inside = ((line >= 0) & (line < (width, height))).all(axis=1)
        crosses = any(
            cv2.clipLine((0, 0, width, height), start.tolist(), end.tolist())[0]
            for start, end in zip(line, line[1:], strict=False)
        )
        if not (crosses or inside.any()):
            raise _outside(f'the stroke {_shortened(stroke)}', height, width)
        cv2.polylines(away, [line[:, None]], False, 0)
        away[line[inside, 1], line[inside, 0]] = 0  # a point alone draws no line
    return cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _outside(mark: object, height: int, width: int) -> ValueError:
    return CoversNothing(
        f'{_shortened(mark)} covers no pixel of the image of {width}x{height} pixels; '
        f'expected x in 0..{width} and y in 0..{height}. Was it drawn on another size?'
    )


def _shortened(value: object, length: int = 120) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= length else f'{text[:length]} …'

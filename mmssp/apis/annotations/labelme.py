"""LabelMe's JSON as shapes; the image that it names is never opened."""

import math
import os
import warnings
from numbers import Real
from typing import Any

import numpy as np

from ...utils.json_files import read_json
from ..images import check_file
from .pixels import Pixels
from .shapes import Box, CoversNothing, Polygon, check_points

CIRCLE_CORNERS = 128
WITH_AREA = (
    *('polygon', 'rectangle', 'circle', 'mask', 'rotation', 'oriented_rectangle'),
)
"""Types of shapes that are read; the last two are boxes that are turned, by X-AnyLabeling
and LabelMe."""
WITHOUT_AREA = ('point', 'points', 'line', 'linestrip')


def load_json(path: str | os.PathLike[str]) -> Any:
    """Parse a JSON file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no JSON; names the file.
    """
    check_file(path, 'a LabelMe JSON')
    return read_json(path, 'expected a LabelMe file')


def labelme_shapes(
    content: Any,
    height: int,
    width: int,
    *,
    name: str,
    label: int | str | None = None,
    resize: bool = False,
) -> list[Box | Polygon | Pixels]:
    """The shapes of a label that have an area: :data:`WITH_AREA`.

    Those that cover no pixel, by a slip or because they are points or lines, are left out,
    with one warning.

    Args:
        content: LabelMe's object, parsed.
        height: Of the image at hand, pixels.
        width: Of the image at hand, pixels.
        name: Of the file, for messages.
        label: Which label is the object; None if there is only one.
        resize: Scale the shapes where the file says another size of the image.

    Returns:
        At least one shape that covers a pixel, in file order.

    Raises:
        ValueError: No LabelMe object, no such label, several and none chosen, another
            kind of shape, or another size of the image.
    """
    shapes = content.get('shapes') if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(s, dict) for s in shapes):
        found = (
            sorted(map(str, content))
            if isinstance(content, dict)
            else type(content).__name__
        )
        hint = (
            ' For a COCO file, pass the annotation dicts of this image instead.'
            if isinstance(content, dict) and 'annotations' in content
            else ''
        )
        raise ValueError(
            f'{name}: no list of objects named "shapes", found {str(found)[:200]}; '
            f'expected a LabelMe JSON.{hint}'
        )
    scale = _scale(content, height, width, name, resize)
    labels = sorted({str(shape.get('label')) for shape in shapes})
    if label is None and len(labels) > 1:
        raise ValueError(
            f'{name}: several labels, {labels}; choose the object by class_value '
            f'(--class-value on the command line), e.g. class_value={labels[0]!r}.'
        )
    chosen = [
        (number, shape)
        for number, shape in enumerate(shapes, start=1)
        if label is None or str(shape.get('label')) == str(label)
    ]
    if not chosen:
        wanted = '' if label is None else f' with the label {label!r}'
        raise ValueError(f'{name}: no shape{wanted}; its labels are {labels}.')
    read: list[Box | Polygon | Pixels] = []
    empty: list[str] = []
    for number, shape in chosen:
        what = f'shape {number} ({_kind(shape)} {str(shape.get("label"))[:80]!r})'
        try:
            mark = _shape(shape, scale, (height, width))
            if mark is not None:
                mark.draw(
                    height, width
                )  # a mark outside is one that was drawn by a slip
        except CoversNothing:
            mark = None
        except ValueError as error:
            raise ValueError(f'{name}: {what}: {error}') from error
        if mark is None:
            empty.append(what)
        else:
            read.append(mark)
    if not read:
        raise ValueError(
            f'{name}: {", ".join(empty[:5])} cover(s) no pixel of the image of {width}x'
            f'{height} pixels; expected an area inside it. Was it drawn on another size?'
        )
    if empty:
        warnings.warn(
            f'{name}: left out {len(empty)} shape(s) that cover no pixel: '
            f'{", ".join(empty[:5])}',
            stacklevel=2,
        )
    return read


def _kind(shape: dict[str, Any]) -> str:
    return str(shape.get('shape_type') or 'polygon')[:80]


def _scale(
    content: dict[str, Any], height: int, width: int, name: str, resize: bool
) -> tuple[float, float]:
    sizes: tuple[Any, Any] = content.get('imageWidth'), content.get('imageHeight')
    if sizes == (None, None) or sizes == (width, height):
        return 1.0, 1.0
    numbers = all(isinstance(v, Real) for v in sizes)
    if not numbers or not all(0 < v < math.inf for v in sizes):
        raise ValueError(
            f'{name}: imageWidth, imageHeight are {str(sizes)[:200]}; expected pixels.'
        )
    if not resize:
        raise ValueError(
            f'{name}: drawn on an image of {sizes[0]}x{sizes[1]} pixels, this one has '
            f'{width}x{height}. Is it the right image? resize=True (--resize-masks on the '
            'command line) scales the shapes.'
        )
    return width / sizes[0], height / sizes[1]


def _shape(
    shape: dict[str, Any], scale: tuple[float, float], size: tuple[int, int]
) -> Box | Polygon | Pixels | None:
    """What a shape marks; None if it has no area."""
    kind = _kind(shape)
    if kind in WITHOUT_AREA:
        return None
    if kind not in WITH_AREA:
        raise ValueError(
            f'the shape_type is {kind!r}; expected one of {", ".join(WITH_AREA)}. Draw '
            'the object anew, or pass a mask.'
        )
    given = shape.get('points')
    if isinstance(given, list) and not given:
        return None
    points = check_points(given, f'a {kind}')
    if len(points) < (2 if kind in ('rectangle', 'circle', 'mask') else 3):
        return None
    if kind == 'mask':
        return Pixels.from_labelme(shape.get('mask'), points, scale, size)
    if kind in ('polygon', 'rotation', 'oriented_rectangle'):
        return Polygon(points * scale)
    if kind == 'rectangle':  # two opposite corners, or all four
        low, high = points.min(0) * scale, points.max(0) * scale
        return Box(*low.tolist(), *high.tolist()) if (low < high).all() else None
    centre, rim = points[:2]
    angles = np.linspace(0, 2 * math.pi, CIRCLE_CORNERS, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Polygon((centre + np.hypot(*(rim - centre)) * circle) * scale)

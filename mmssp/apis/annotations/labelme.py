"""LabelMe's JSON as shapes; the image that it names is never opened."""

import math
import os
from numbers import Real
from typing import Any

import numpy as np

from ...utils.json_files import read_json
from ..images import check_file
from .shapes import Box, Polygon, check_points

CIRCLE_CORNERS = 128


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
) -> list[Box | Polygon]:
    """The polygons, rectangles and circles of a label.

    Args:
        content: LabelMe's object, parsed.
        height: Of the image at hand, pixels.
        width: Of the image at hand, pixels.
        name: Of the file, for messages.
        label: Which label is the object; None if there is only one.
        resize: Scale the shapes where the file says another size of the image.

    Returns:
        At least one shape, in file order.

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
            f'{name}: several labels, {labels}; choose the object by class_value, e.g. '
            f'class_value={labels[0]!r}.'
        )
    chosen = [s for s in shapes if label is None or str(s.get('label')) == str(label)]
    if not chosen:
        wanted = '' if label is None else f' with the label {label!r}'
        raise ValueError(f'{name}: no shape{wanted}; its labels are {labels}.')
    try:
        return [_shape(shape, scale) for shape in chosen]
    except ValueError as error:
        raise ValueError(f'{name}: {error}') from error


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
            f'{width}x{height}. Is it the right image? resize=True scales the shapes.'
        )
    return width / sizes[0], height / sizes[1]


def _shape(shape: dict[str, Any], scale: tuple[float, float]) -> Box | Polygon:
    kind = shape.get('shape_type') or 'polygon'
    if kind not in ('polygon', 'rectangle', 'circle'):
        raise ValueError(
            f'the shape_type is {str(kind)[:80]!r}; expected polygon, rectangle or '
            'circle. Draw the object anew, or pass a mask.'
        )
    what = f'the {kind} {str(shape.get("label"))[:80]!r}'
    points = check_points(shape.get('points'), what)
    if kind == 'polygon':
        return Polygon(points * scale)
    if len(points) < 2:
        raise ValueError(f'{what} has {len(points)} points; expected 2.')
    if kind == 'rectangle':  # two opposite corners, or all four
        return Box(*(points.min(0) * scale).tolist(), *(points.max(0) * scale).tolist())
    centre, rim = points[:2]
    angles = np.linspace(0, 2 * math.pi, CIRCLE_CORNERS, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Polygon((centre + np.hypot(*(rim - centre)) * circle) * scale)

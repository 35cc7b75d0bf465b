"""Any annotation that a user may hold, as one mask: to_mask, Box, Polygon, Points."""

import os
import warnings
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as mask_utils

from ...datasets.coco.coco_masks import segmentation_rle
from ...datasets.mask_scan import IGNORE
from ..images import check_size
from .grabcut import grab_cut
from .labelme import labelme_shapes, load_json
from .mask_values import choose_value, is_indexed, read_values
from .pixels import Pixels
from .shapes import Box, Points, Polygon

__all__ = ['Box', 'Points', 'Polygon', 'to_mask']

Annotation = Any
EXPECTED = (
    'expected a mask (path, array (H,W), PIL image), a Box, a Polygon, a list of these '
    'two, Points, the path of a LabelMe JSON, or COCO annotation dicts'
)


def to_mask(
    annotation: Annotation,
    image: np.ndarray,
    *,
    class_value: int | str | None = None,
    tighten: bool = False,
    resize: bool = False,
) -> np.ndarray:
    """What is marked on an image, as a mask of object, background and ignored.

    Args:
        annotation: One of

            - a mask: path or bytes of an image file, array (H,W), PIL image; of bool,
              grey, palette indices, colour with equal channels, or alpha alone. White
              is the object of a black-and-white picture, soft edges cut at half, and
              the grey band of a trimap ignored; among class indices 255 is ignored,
              unless it is the only value beside 0: then it is the object;
            - :class:`Box`, :class:`Polygon`, or a list of them, united;
            - :class:`Points`: points and strokes;
            - the path of a LabelMe JSON, or its object;
            - a COCO annotation dict or a list of them, united: polygons, RLE, or, with
              no segmentation, ``bbox``.
        image: (H,W,3) uint8, RGB: the image it belongs to.
        class_value: Which is the object where an annotation holds several: a mask's
            value, LabelMe's label, COCO's ``category_id``. The others become
            background. Without effect on boxes, polygons and points.
        tighten: Cut boxes and points out of the image by GrabCut. The rest is exact
            already and stays.
        resize: Accept a mask (nearest neighbour), an RLE or a LabelMe file of another
            size than the image's.

    Returns:
        (H,W) uint8: 1 object, 0 background, 255 ignored; at least one 1.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Nothing is marked, several things are and none is chosen, the size
            differs, it lies outside the image, or it is none of the above.
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
    ):
        raise ValueError('to_mask needs the image as an array (H,W,3) uint8.')
    height, width = image.shape[:2]
    check_size(height, width, 'the annotated image', max_pixels=height * width + 1)
    marks = _as_marks(annotation, height, width, class_value, resize)
    if marks is None:
        values = read_values(
            annotation, height, width, resize=resize, expected=EXPECTED
        )
        mask = choose_value(
            values, class_value, _name(annotation), indexed=is_indexed(annotation)
        )
        if mask.shape != (height, width):
            mask = cv2.resize(
                mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT
            )
    elif isinstance(marks, Points):
        mask = _draw_points(marks, image, tighten)
    else:
        mask = _draw_all(marks, image, tighten, resize)
    if not (mask == 1).any():
        raise ValueError(
            f'{_name(annotation)} marks no pixel of the object; expected at least one.'
        )
    return mask


def _as_marks(
    annotation: Annotation,
    height: int,
    width: int,
    class_value: int | str | None,
    resize: bool,
) -> Points | Sequence[Box | Polygon | Pixels | dict[str, Any]] | None:
    """What is to be drawn: shapes and COCO's RLEs; None for a mask."""
    if isinstance(annotation, Points):
        return annotation
    if isinstance(annotation, Box | Polygon):
        return [annotation]
    if isinstance(annotation, dict) and 'shapes' not in annotation:
        annotation = [annotation]
    content, name = annotation, 'the LabelMe object'
    if isinstance(annotation, str | os.PathLike):
        name = os.fspath(annotation)
        if not str(name).lower().endswith('.json'):
            return None
        content = load_json(annotation)
    elif isinstance(annotation, list | tuple):
        if annotation and all(isinstance(a, Box | Polygon) for a in annotation):
            return list(annotation)
        if annotation and all(isinstance(a, dict) for a in annotation):
            return _coco_marks(annotation, height, width, class_value, resize)
        kinds = sorted({type(a).__name__ for a in annotation}) or 'nothing'
        raise ValueError(
            f'an annotation is a {type(annotation).__name__} of {kinds}; {EXPECTED}. '
            'A box is Box(x0, y0, x1, y1), a list of points Polygon(points) or '
            'Points(points).'
        )
    elif not isinstance(annotation, dict):
        return None
    return labelme_shapes(
        content, height, width, name=name, label=class_value, resize=resize
    )


def _coco_marks(
    annotations: Sequence[dict[str, Any]],
    height: int,
    width: int,
    category: int | str | None,
    resize: bool,
) -> list[Box | dict[str, Any]]:
    found = sorted({str(a['category_id']) for a in annotations if 'category_id' in a})
    if category is None and len(found) > 1:
        raise ValueError(
            f'COCO annotations of several categories, {", ".join(found)}; choose the '
            f'object by its category_id, e.g. class_value={found[0]}.'
        )
    chosen = [
        a
        for a in annotations
        if category is None or str(a.get('category_id')) == str(category)
    ]
    if not chosen:
        raise ValueError(
            f'no COCO annotation with the category_id {category}; there are '
            f'{", ".join(found) or "none with a category_id"}.'
        )
    marks = []
    for annotation in chosen:
        try:
            marks.append(_coco_mark(annotation, height, width, resize))
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(
                f'COCO annotation {annotation.get("id", "without an id")}: {error}'
            ) from error
    return marks


def _coco_mark(
    annotation: dict[str, Any], height: int, width: int, resize: bool
) -> Box | dict[str, Any]:
    """A box, or a compressed RLE (of its own size if ``resize``)."""
    segmentation, box = annotation.get('segmentation'), annotation.get('bbox')
    if isinstance(segmentation, np.ndarray):  # as SAM's generator of masks gives them
        if segmentation.dtype != bool and not np.isin(segmentation, (0, 1)).all():
            raise ValueError('the array of its segmentation holds others than 0 and 1')
        if segmentation.ndim != 2:
            raise ValueError(
                f'the array of its segmentation has the shape {segmentation.shape}; '
                'expected (H,W)'
            )
        segmentation = mask_utils.encode(np.asfortranarray(segmentation, np.uint8))
    if not segmentation and box is not None:
        if not isinstance(box, list | tuple | np.ndarray) or len(box) != 4:
            raise ValueError('bbox must be [x, y, width, height]')
        x, y, box_width, box_height = box
        return Box(x, y, x + box_width, y + box_height)
    if isinstance(segmentation, dict):
        size = segmentation.get('size')
        if isinstance(segmentation.get('counts'), bytes):  # as pycocotools encodes
            text = segmentation['counts'].decode('latin-1')
            segmentation = dict(segmentation, counts=text)
        if resize and isinstance(size, list | tuple) and len(size) == 2:
            height, width = size
            if not all(isinstance(side, Integral) for side in size):
                raise ValueError(f'the RLE has the size {size}; expected two numbers')
            check_size(height, width, 'the RLE')
    rle = segmentation_rle(segmentation, height, width)
    if rle is None:
        raise ValueError(
            'no segmentation to draw (a polygon needs 3 points) and no bbox'
        )
    return rle


def _draw_all(
    marks: Sequence[Box | Polygon | Pixels | dict[str, Any]],
    image: np.ndarray,
    tighten: bool,
    resize: bool,
) -> np.ndarray:
    """Shapes and RLEs united; boxes cut out if ``tighten``."""
    height, width = image.shape[:2]
    exact, boxes = np.zeros((2, height, width), bool)
    for mark in marks:
        if isinstance(mark, dict):
            drawn = np.ascontiguousarray(mask_utils.decode(mark))
            if drawn.shape != (height, width):  # only with resize
                drawn = cv2.resize(
                    drawn, (width, height), interpolation=cv2.INTER_NEAREST_EXACT
                )
            exact |= drawn.astype(bool)
        elif isinstance(mark, Box):
            boxes |= mark.draw(height, width)
        else:
            exact |= mark.draw(height, width)
    if tighten and boxes.any():
        hints = np.full((height, width), cv2.GC_BGD, np.uint8)
        hints[boxes] = cv2.GC_PR_FGD
        hints[exact] = cv2.GC_FGD
        cut = grab_cut(image, hints)
        if (cut & boxes & ~exact).any():
            return cut.astype(np.uint8)
        _warn_of_no_cut('box')
    return (exact | boxes).astype(np.uint8)


def _draw_points(points: Points, image: np.ndarray, tighten: bool) -> np.ndarray:
    mask = points.draw(*image.shape[:2])
    if not tighten:
        return mask
    strokes = mask == 1
    hints = np.full(mask.shape, cv2.GC_PR_BGD, np.uint8)
    if points.background:
        hints[mask == 0] = cv2.GC_BGD
    else:
        hints[mask == IGNORE] = cv2.GC_PR_FGD
    hints[strokes] = cv2.GC_FGD
    cut = grab_cut(image, hints)
    if np.array_equal(cut, strokes):
        _warn_of_no_cut('points')
        return mask
    return cut.astype(np.uint8)


def _warn_of_no_cut(what: str) -> None:
    warnings.warn(
        f'GrabCut found no object by the {what}: used as drawn. The object may have the '
        "background's colours, or fill the whole image.",
        stacklevel=4,
    )


def _name(annotation: Annotation) -> str:
    if isinstance(annotation, str | os.PathLike):
        return f'the annotation {os.fspath(annotation)}'
    return 'the mask' if not isinstance(annotation, Points) else 'Points'

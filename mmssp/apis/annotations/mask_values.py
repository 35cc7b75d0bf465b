"""Masks that store numbers: from file, PIL or NumPy to object, background, ignored."""

import os
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from PIL import Image

from ...datasets.mask_scan import IGNORE
from ...utils.image_io import has_palette, read_mask
from ...utils.mask_channels import mask_channel
from ..images import check_size, check_source, load_pil, refuse_tensor
from .grey_pictures import picture_mask


def read_values(
    annotation: Any, height: int, width: int, *, resize: bool, expected: str
) -> np.ndarray:
    """The numbers a mask stores.

    Args:
        annotation: Path or bytes of an image file, PIL image, or array (H,W).
        height: Of the image it belongs to, pixels.
        width: Of that image.
        resize: Accept another size.
        expected: Words for what else an annotation may be.

    Returns:
        (h,w) uint8, of the mask's own size.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Another size, coloured, beyond 0..255, damaged, or no mask.
    """
    if isinstance(annotation, str | os.PathLike | bytes | bytearray | memoryview):
        size = check_source(annotation, expected='a mask file')
        _check_same_size(size, height, width, resize)
        return read_mask(annotation)
    refuse_tensor(annotation, 'mask')
    if isinstance(annotation, Image.Image):
        _check_same_size((annotation.height, annotation.width), height, width, resize)
        annotation = _pil_values(annotation)
    if not isinstance(annotation, np.ndarray):
        raise ValueError(f'an annotation is a {type(annotation).__name__}; {expected}.')
    values = _single_channel(annotation)
    check_size(values.shape[0], values.shape[1], 'the mask array')
    _check_same_size(values.shape, height, width, resize)
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.dtype.kind not in 'iu':
        raise ValueError(
            f'the mask array is of {values.dtype}; expected bool or uint8. Of '
            'probabilities, pass mask > 0.5.'
        )
    low, high = values.min(), values.max()
    if low < 0 or high > 255:
        raise ValueError(
            f'the mask array has values {low}..{high}; expected 0..255. Of instance '
            'ids, pass mask == id.'
        )
    return values.astype(np.uint8)


def _check_same_size(
    size: Sequence[int], height: int, width: int, resize: bool
) -> None:
    if not resize and tuple(size) != (height, width):
        raise ValueError(
            f'the mask has {size[1]}x{size[0]} pixels, the image {width}x{height}. Is '
            'it the right one, and upright? resize=True (--resize-masks on the command '
            'line) accepts and resizes it.'
        )


def _pil_values(image: Image.Image) -> np.ndarray:
    name = load_pil(image, 'mask')
    if image.mode == 'PA':
        return np.asarray(image)[..., 0]
    if (
        image.mode in ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'RGBX')
        or image.mode[0] == 'I'
    ):
        return np.asarray(image)
    raise ValueError(
        f'{name} is of mode {image.mode}; expected a mask of indices: 1, L, P or I.'
    )


def _single_channel(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        return array
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f'the mask array has the shape {array.shape}; expected (H,W).')
    if not array.size:
        raise ValueError(f'the mask array has the shape {array.shape}; it is empty.')
    return mask_channel(array, 'the mask')


def is_indexed(annotation: Any) -> bool:
    """Whether a mask that :func:`read_values` reads holds a palette's entries."""
    if isinstance(annotation, np.ndarray):
        return False
    return has_palette(annotation)


def choose_value(
    values: np.ndarray,
    class_value: int | str | None,
    name: str,
    *,
    indexed: bool = False,
) -> np.ndarray:
    """One of the stored values as the object; or what is white in a picture.

    Args:
        values: (h,w) uint8.
        class_value: The object's; None if there is one only. 255 is ignored, unless it
            is chosen, alone, or the white of a black-and-white picture.
        name: For messages.
        indexed: The values are entries of a palette, so no greys.

    Returns:
        (h,w) uint8: 1 object, 0 background, 255 ignored.

    Raises:
        ValueError: No such value, none at all, or several and none chosen.
    """
    stored = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    found = [int(value) for value in stored if value]
    if class_value is None:
        classes = [value for value in found if value != IGNORE] or found
        if not classes:
            raise ValueError(
                f'{name} marks no pixel of the object: all its values are 0.'
            )
        picture = None if indexed else picture_mask(values)
        if isinstance(picture, np.ndarray):
            return picture
        if picture is not None or len(classes) > 1:
            listed = ', '.join(map(str, (found if picture else classes)[:20]))
            why = f' ({picture})' if picture else ''
            raise ValueError(
                f'{name} holds several values beside 0: {listed}'
                f'{" …" if len(found) > 20 else ""}{why}; choose one by class_value '
                '(--class-value on the command line). Of a picture in greys, pass '
                'mask > 127.'
            )
        class_value = classes[0]
    elif not isinstance(class_value, Integral) or class_value not in found:
        raise ValueError(
            f'{name} has no pixel of class_value {class_value!r}; the values beside 0 '
            f'are {", ".join(map(str, found[:20])) or "none"}.'
        )
    table = np.zeros(256, np.uint8)
    table[IGNORE] = IGNORE
    table[class_value] = 1
    return table[values]

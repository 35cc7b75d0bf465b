"""From pixels to features, whole or tile by tile."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..models.segmentors import FewShotEncoderDecoder

UNIT = 32
"""Pixels that tiles are aligned to, where the model has no ``size_divisor``: the largest
stride of common backbones."""
OVERLAP = 0.25
"""Share of a tile that its neighbours see as well, so that borders have a context."""


class View(NamedTuple):
    """An image as it is encoded.

    Attributes:
        pixels: (H,W,3) uint8 RGB.
        tile: Side of the tiles that it is cut into; None for the whole.
    """

    pixels: np.ndarray
    tile: int | None


def viewed(image: np.ndarray, image_size: int | None, tile: int | None) -> View:
    """An image of any size as it is encoded.

    Args:
        image: (H,W,3) uint8 RGB.
        image_size: Resize it to about the area of a square of this side; None does not.
        tile: Leave an image with a longer side as it is, and cut it into tiles.
    """
    if tile is not None and max(image.shape[:2]) > tile:
        return View(image, tile)
    if image_size is None:
        return View(image, None)
    return View(resized(image, image_size), None)


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """An image (H,W,3) of about the area of a square, aspect kept, sides 32 or more."""
    scale = side / math.sqrt(image.shape[0] * image.shape[1])
    # a stripe would else become longer than its memory allows
    scale = min(scale, 8 * side / max(image.shape[:2]))
    height, width = (max(32, round(scale * length)) for length in image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def encode_image(
    model: FewShotEncoderDecoder,
    image: np.ndarray,
    device: torch.device,
    dtype: torch.dtype | None = None,
    tile: int | None = None,
    encode: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Features of an image.

    Args:
        model: A few-shot segmentor.
        image: (H,W,3) uint8 RGB.
        device: Of the model.
        dtype: Encode under autocast to it.
        tile: Encode overlapping tiles of this side, one by one, and put their features
            together; needs a backbone whose stride divides the model's ``size_divisor``,
            or else 32.
        encode: In the place of the model's.

    Returns:
        (1,C,h,w), float32 or ``dtype``.

    Raises:
        ValueError: If features of tiles do not fit together.
    """
    pixels = raw_pixels(image)[None]
    of_part = model.encode if encode is None else encode

    def encoded(part: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            return of_part(part)

    def normalised(part: Tensor) -> Tensor:
        return model.data_preprocessor.normalise(part.to(device))

    if tile is None:
        return encoded(normalised(pixels))
    unit = model.size_divisor or UNIT
    side = max(unit, tile // unit * unit)
    if model.size_divisor is not None:
        # what is added to the last tiles is what encode() adds to a whole image
        return _tiled(encoded, normalised(pixels), side, unit, 'constant')
    return _tiled(
        lambda part: encoded(normalised(part)), pixels.float(), side, unit, 'replicate'
    )


def raw_pixels(image: np.ndarray) -> Tensor:
    """(H,W,3) uint8 RGB → (3,H,W) uint8 BGR, as mmcv loads images."""
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))


def _tiled(
    encode: Callable[[Tensor], Tensor],
    pixels: Tensor,
    tile: int,
    unit: int,
    padding: str,
) -> Tensor:
    height, width = pixels.shape[-2:]
    rows, columns = (list(_cuts(length, tile, unit)) for length in (height, width))
    # the last tiles reach beyond the image
    bottom = max(0, rows[-1][0] + tile - height)
    right = max(0, columns[-1][0] + tile - width)
    pixels = torch.nn.functional.pad(pixels, (0, right, 0, bottom), mode=padding)
    strips = []
    for top, first_row, last_row in rows:
        parts = []
        for left, first, last in columns:
            part = pixels[..., top : top + tile, left : left + tile]
            features = encode(part)
            stride = tile // features.shape[-1]
            if features.shape[-2:] != (tile // stride,) * 2 or unit % stride:
                raise ValueError(
                    f'tile={tile}: features of a tile are '
                    f'{tuple(features.shape[-2:])}, which do not fit together; '
                    f'expected a backbone whose stride divides {unit}, or its '
                    'size_divisor in the config'
                )
            parts.append(
                features[
                    ...,
                    (first_row - top) // stride : (last_row - top) // stride,
                    (first - left) // stride : (last - left) // stride,
                ]
            )
        strips.append(torch.cat(parts, dim=-1))
    found = torch.cat(strips, dim=-2)
    return found[..., : -(-height // stride), : -(-width // stride)].contiguous()


def _cuts(length: int, tile: int, unit: int) -> Iterator[tuple[int, int, int]]:
    """(start, first kept pixel, end of the kept ones) of tiles along a side."""
    margin = int(tile * OVERLAP / 2) // unit * unit
    step = tile - 2 * margin
    start = 0
    while True:
        last = start + tile >= length
        yield (
            start,
            start + (margin if start else 0),
            start + tile - (0 if last else margin),
        )
        if last:
            return
        start += step

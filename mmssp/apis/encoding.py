"""From pixels to features, whole or tile by tile."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..models.adaptation import Features
from ..models.adaptation.decoder_adapter import UNIT
from ..models.segmentors import FewShotEncoderDecoder

FINER = 4 / 3
"""Factor of ``image_size`` for what was learned: training sees crops anyway, and thin
things gain."""
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


def viewed(
    image: np.ndarray, image_size: int | None, tile: int | None, unit: int = 1
) -> View:
    """An image of any size as it is encoded.

    Args:
        image: (H,W,3) uint8 RGB.
        image_size: Resize it to about the area of a square of this side; None does not.
        tile: Leave an image with a longer side as it is, and cut it into tiles.
        unit: Sides of what is resized are multiples of it, in pixels.
    """
    if tile is not None and max(image.shape[:2]) > tile:
        return View(image, tile)
    if image_size is None:
        return View(image, None)
    return View(resized(image, image_size, unit), None)


def annotated(mask: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A mask at another size, by which side most of a pixel's area is on.

    Of an object so thin or small that nothing would be left, pixels that hold a tenth of
    the most that any of them holds are it.

    Args:
        mask: (H,W) uint8 in {0, 1, 255}.
        size: (h, w) wanted.

    Returns:
        (h,w) uint8 in {0, 1, 255}.
    """
    if mask.shape == tuple(size):
        return mask
    shares = [
        cv2.resize(
            (mask == value).astype(np.float32),
            tuple(size)[::-1],
            interpolation=cv2.INTER_AREA,
        )
        for value in (1, 255)
    ]
    inside, ignored = shares
    found = np.where(ignored > 0.5, 255, 0).astype(np.uint8)
    there = inside > 0.5
    if not there.any():
        there = inside > 0.1 * inside.max()
    found[there] = 1
    return found


def resized(image: np.ndarray, side: int, unit: int = 1) -> np.ndarray:
    """An image (H,W,3) of about the area of a square, aspect kept, sides 32 or more."""
    scale = side / math.sqrt(image.shape[0] * image.shape[1])
    # a stripe would else become longer than its memory allows
    scale = min(scale, 8 * side / max(image.shape[:2]))
    least = -(-32 // unit) * unit
    height, width = (
        max(least, round(scale * length / unit) * unit) for length in image.shape[:2]
    )
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def encode_image(
    model: FewShotEncoderDecoder,
    image: np.ndarray,
    device: torch.device,
    dtype: torch.dtype | None = None,
    tile: int | None = None,
    encode: Callable[[Tensor], Features] | None = None,
    on_tile: Callable[[int, int], None] | None = None,
) -> Features:
    """Features of an image.

    Args:
        model: A few-shot segmentor.
        image: (H,W,3) uint8 RGB.
        device: Of the model.
        dtype: Encode under autocast to it.
        tile: Encode overlapping tiles of this side, one by one, and put their features
            together; needs a backbone whose stride divides the model's ``size_divisor``,
            or else 32.
        encode: In the place of the model's; may give several maps.
        on_tile: Called after each tile with how many are done, and of how many.

    Returns:
        (1,C,h,w), float32 or ``dtype``, or as many as ``encode`` gives.

    Raises:
        ValueError: If features of tiles do not fit together.
    """
    pixels = raw_pixels(image)[None]
    encoded = _encoder(model, device, dtype, encode)

    def normalised(part: Tensor) -> Tensor:
        return model.data_preprocessor.normalise(part.to(device))

    if tile is None:
        return encoded(normalised(pixels))
    unit = model.size_divisor or UNIT
    side = max(unit, tile // unit * unit)
    if model.size_divisor is not None:
        # what is added to the last tiles is what encode() adds to a whole image
        return _tiled(encoded, normalised(pixels), side, unit, 'constant', on_tile)
    return _tiled(
        lambda part: encoded(normalised(part)),
        pixels.float(),
        side,
        unit,
        'replicate',
        on_tile,
    )


def encode_views(
    model: FewShotEncoderDecoder,
    image: np.ndarray,
    device: torch.device,
    dtype: torch.dtype | None = None,
    encode: Callable[[Tensor], Features] | None = None,
) -> tuple[list[tuple[int, int]], list[Features]]:
    """Features of all views of an image that the model looks at in testing.

    Args:
        model: A few-shot segmentor.
        image: (H,W,3) uint8 RGB.
        device: Of the model.
        dtype: Encode under autocast to it.
        encode: In the place of the model's.

    Returns:
        Sizes (H, W) and features of the views.
    """
    pixels = raw_pixels(image)[None].to(device)
    views = model.query_views(model.data_preprocessor.normalise(pixels))
    encoded = _encoder(model, device, dtype, encode)
    sizes = [(view.shape[-2], view.shape[-1]) for view in views]
    return sizes, [encoded(view) for view in views]


def _encoder(
    model: FewShotEncoderDecoder,
    device: torch.device,
    dtype: torch.dtype | None,
    encode: Callable[[Tensor], Features] | None,
) -> Callable[[Tensor], Features]:
    """The model's own or another, under autocast if a dtype is given."""
    of_part: Callable[[Tensor], Features] = model.encode if encode is None else encode

    def encoded(part: Tensor) -> Features:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            return of_part(part)

    return encoded


def raw_pixels(image: np.ndarray) -> Tensor:
    """(H,W,3) uint8 RGB → (3,H,W) uint8 BGR, as mmcv loads images."""
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))


def _tiled(
    encode: Callable[[Tensor], Features],
    pixels: Tensor,
    tile: int,
    unit: int,
    padding: str,
    on_tile: Callable[[int, int], None] | None = None,
) -> Features:
    height, width = pixels.shape[-2:]
    rows, columns = (list(_cuts(length, tile, unit)) for length in (height, width))
    # the last tiles reach beyond the image
    bottom = max(0, rows[-1][0] + tile - height)
    right = max(0, columns[-1][0] + tile - width)
    pixels = torch.nn.functional.pad(pixels, (0, right, 0, bottom), mode=padding)
    strips: list[list[Tensor]] = []
    several = False
    for top, first_row, last_row in rows:
        of_row: list[list[Tensor]] = []
        for left, first, last in columns:
            features = encode(pixels[..., top : top + tile, left : left + tile])
            several = not isinstance(features, Tensor)
            maps = (features,) if isinstance(features, Tensor) else features
            kept = (first_row - top, last_row - top), (first - left, last - left)
            of_row.append([_inner(one, kept, tile, unit) for one in maps])
            if on_tile is not None:
                done = len(strips) * len(columns) + len(of_row)
                on_tile(done, len(rows) * len(columns))
        strips.append([torch.cat(parts, dim=-1) for parts in zip(*of_row, strict=True)])
    found = []
    for parts in zip(*strips, strict=True):
        whole = torch.cat(parts, dim=-2)
        stride = (height + bottom) // whole.shape[-2]
        found.append(
            whole[..., : -(-height // stride), : -(-width // stride)].contiguous()
        )
    return tuple(found) if several else found[0]


def _inner(
    features: Tensor, kept: Sequence[tuple[int, int]], tile: int, unit: int
) -> Tensor:
    """The cells of a tile's features that are not its neighbours'."""
    stride = tile // features.shape[-1]
    if features.shape[-2:] != (tile // stride,) * 2 or unit % stride:
        raise ValueError(
            f'tile={tile}: features of a tile are {tuple(features.shape[-2:])}, which do '
            f'not fit together; expected a backbone whose stride divides {unit}, or its '
            'size_divisor in the config'
        )
    rows, columns = (slice(start // stride, end // stride) for start, end in kept)
    return features[..., rows, columns]


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

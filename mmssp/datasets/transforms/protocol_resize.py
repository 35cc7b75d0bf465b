"""How the HSNet and PFENet protocols bring images and masks to one size."""

import operator
from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeSquashed(BaseTransform):
    """Resize to one size without keeping the aspect, as HSNet's release does.

    The image is resized bilinearly with antialiasing, as torchvision's ``Resize`` does
    with a Pillow image; the mask to the nearest, as ``torch.nn.functional.interpolate``
    does with ``mode='nearest'``.

    Required keys: ``img`` (H,W,3) uint8; optional: ``gt_seg_map`` (H,W). Modified keys:
    both, ``img_shape`` (height, width). Added keys: ``scale_factor`` (of width, of
    height), ``keep_ratio`` False; and ``score_shape`` (height, width), the size at which
    a prediction is scored, where the mask was resized. A mask that is loaded later
    stays at its original size, and so does one with ``resize_mask=False``.

    Args:
        size: (height, width), or one number for both.
        resize_mask: Resize the mask as well, if it has been loaded.

    Raises:
        ValueError: ``size`` is not one or two integers ≥ 1, or ``img`` is not of that
            shape and type.
    """

    def __init__(
        self, size: int | tuple[int, int] = 400, resize_mask: bool = True
    ) -> None:
        two = isinstance(size, Sequence) and len(size) == 2
        sides: Any = size if two else [size] * 2
        self.size = tuple(_whole(side, size, 1) for side in sides)
        self.resize_mask = resize_mask

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize ``results['img']`` and perhaps ``results['gt_seg_map']``."""
        image = _image(results, (np.uint8,), self)
        results['img'], *scale_factor = mmcv.imresize(
            image, self.size[::-1], return_scale=True, backend='pillow'
        )
        results.update(
            img_shape=self.size, scale_factor=tuple(scale_factor), keep_ratio=False
        )
        if self.resize_mask and results.get('gt_seg_map') is not None:
            mask = results['gt_seg_map']
            rows, columns = map(_nearest, mask.shape, self.size)
            results['gt_seg_map'] = mask[rows[:, None], columns]
            results['score_shape'] = self.size
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, resize_mask={self.resize_mask})'
        )


@TRANSFORMS.register_module()
class ResizePadded(BaseTransform):
    """Resize into a black square, top left, as PFENet's release does in testing.

    The long side becomes ``size``, the short one keeps the aspect; then both are rounded
    down to a multiple of 8 (the release fails below 8; here 8 is the least). Images are
    resized bilinearly, masks to the nearest, both as OpenCV does. The image is resized
    in floating point, as in the release, and only then rounded if it is uint8: one
    loaded with ``to_float32=True`` gives the release's very values.

    Required keys: ``img`` (H,W,3) uint8 or float32; optional: ``gt_seg_map`` (H,W).
    Modified keys: both, ``img_shape`` (size, size). Added keys: ``pad_shape`` (size,
    size); ``scale_factor`` of the resized part (of width, of height); ``keep_ratio``
    True; and ``canvas_shape``, the square (long, long) around the image before: logits
    of the padded square belong resized to it and cut to the image. A mask that is
    loaded later stays at its original size, and so does one with ``resize_mask=False``.

    Args:
        size: Side of the square, at least 8.
        resize_mask: Resize and pad the mask as well, if it has been loaded.
        multiple: The resized sides are multiples of it.
        pad_val: Value of padded pixels, before normalisation.
        seg_pad_val: Value of padded pixels of the mask.

    Raises:
        ValueError: ``size`` is not an integer of at least ``multiple``, or ``img`` is
            not of that shape and type.
    """

    def __init__(
        self,
        size: int = 473,
        resize_mask: bool = True,
        multiple: int = 8,
        pad_val: int = 0,
        seg_pad_val: int = 255,
    ) -> None:
        self.multiple = _whole(multiple, multiple, 1, 'multiple')
        self.size = _whole(size, size, self.multiple)
        self.resize_mask = resize_mask
        self.pad_val = pad_val
        self.seg_pad_val = seg_pad_val

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize and pad ``results['img']`` and perhaps ``results['gt_seg_map']``."""
        image = _image(results, (np.uint8, np.float32), self)
        height, width = image.shape[:2]
        inner = self._resized_shape(height, width)
        resized = mmcv.imresize(image.astype(np.float32), inner[::-1], backend='cv2')
        if image.dtype == np.uint8:
            resized = np.rint(resized)
        square = (self.size, self.size)
        results['img'] = _placed(resized.astype(image.dtype), square, self.pad_val)
        results.update(
            img_shape=square,
            pad_shape=square,
            scale_factor=(inner[1] / width, inner[0] / height),
            keep_ratio=True,
            canvas_shape=(max(height, width),) * 2,
        )
        if self.resize_mask and results.get('gt_seg_map') is not None:
            mask = mmcv.imresize(
                results['gt_seg_map'],
                inner[::-1],
                interpolation='nearest',
                backend='cv2',
            )
            results['gt_seg_map'] = _placed(mask, square, self.seg_pad_val)
        return results

    def _resized_shape(self, height: int, width: int) -> tuple[int, int]:
        # The product, in this order of rounding, is the release's: for 600x645 it is
        # 439.99..., where size · short / long is 440, and so a multiple of 8 more.
        ratio = self.size / max(height, width)
        sides = (
            self.size if side == max(height, width) else int(side * ratio)
            for side in (height, width)
        )
        height, width = (
            max(side // self.multiple, 1) * self.multiple for side in sides
        )
        return height, width

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, resize_mask={self.resize_mask}, '
            f'multiple={self.multiple}, pad_val={self.pad_val}, '
            f'seg_pad_val={self.seg_pad_val})'
        )


def _nearest(length: int, new_length: int) -> np.ndarray:
    """(new_length,) int64, nearest positions; in float32 as PyTorch, down to rounding."""
    step = np.float32(length) / np.float32(new_length)
    positions = np.arange(new_length, dtype=np.float32) * step
    return np.minimum(positions.astype(np.int64), length - 1)


def _placed(pixels: np.ndarray, shape: tuple[int, int], value: int) -> np.ndarray:
    """The pixels (h,w,...) at the top left of a (H,W,...) array of ``value``."""
    placed = np.full(shape + pixels.shape[2:], value, dtype=pixels.dtype)
    placed[: pixels.shape[0], : pixels.shape[1]] = pixels
    return placed


def _image(
    results: dict[str, Any], dtypes: tuple[type, ...], transform: BaseTransform
) -> np.ndarray:
    image = results['img']
    if (
        image.ndim != 3
        or image.shape[2] != 3
        or image.dtype not in dtypes
        or not image.size
    ):
        raise ValueError(
            f'{type(transform).__name__}: img is {image.dtype} of shape {image.shape}; '
            f'expected (H,W,3) {" or ".join(dtype.__name__ for dtype in dtypes)}. '
            'Load it with LoadImage, and normalise it later.'
        )
    return image


def _whole(value: int, found: object, least: int, name: str = 'size') -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise ValueError(
            f'{name}={found!r}; expected an integer (each) of at least {least}'
        )
    return number

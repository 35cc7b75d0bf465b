"""Loads images and index masks that agree with each other, or says what is wrong."""

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from ...utils.image_io import image_orientation, orient, read_image, read_mask


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Load a photo of any kind as BGR; a damaged one is an error, never grey pixels.

    Required keys: ``img_path``. Added keys: ``img`` (H,W,3) uint8 BGR; ``img_shape``
    and ``ori_shape``, both (H, W).

    Args:
        to_float32: ``img`` as float32, of the same values.
        color_type: ``'color'``, turned upright by its EXIF orientation, or
            ``'color_ignore_orientation'``.
        ignore_empty: Give None for an image that can't be read, instead of an error.
        backend_args: Arguments of the file backend.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It can't be read as an image, see
            :func:`mmssp.utils.image_io.read_image`; or ``color_type`` is another one.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = 'color',
        ignore_empty: bool = False,
        *,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        if color_type not in ('color', 'color_ignore_orientation'):
            raise ValueError(
                f"color_type={color_type!r}; expected 'color' or "
                "'color_ignore_orientation' (three channels in any case)."
            )
        super().__init__(
            to_float32=to_float32,
            color_type=color_type,
            imdecode_backend='pillow',
            ignore_empty=ignore_empty,
            backend_args=backend_args,
        )

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Load ``results['img_path']``; see the class."""
        try:
            image = read_image(
                results['img_path'],
                apply_orientation=self.color_type == 'color',
                backend_args=self.backend_args,
            )
        except (FileNotFoundError, ValueError):
            if self.ignore_empty:
                return None
            raise
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadMask(LoadAnnotations):
    """Load a mask of class indices that lies over its image, pixel on pixel.

    As mmseg's ``LoadAnnotations``, with its label map and ``reduce_zero_label``, but

    - what is no index mask is an error (see :func:`mmssp.utils.image_io.read_mask`);
    - where the image has been loaded, the mask must have its original size. A mask
      drawn on the stored pixels of a photo that EXIF turns by 90° is turned with it;
    - nothing is remembered from one sample to the next, so that a transform can serve
      data sets that differ in ``reduce_zero_label``.

    Required keys: ``seg_map_path``; optional: ``label_map``, ``reduce_zero_label``,
    ``img`` with ``ori_shape`` and ``img_path``. Added keys: ``gt_seg_map`` (H,W) uint8,
    and its name in ``seg_fields``.

    Args:
        backend_args: Arguments of the file backend, also for the image's header.

    Raises:
        FileNotFoundError: There is no such mask.
        ValueError: It can't be read as an index mask, or has another size than its
            image.
    """

    def __init__(self, *, backend_args: dict[str, Any] | None = None) -> None:
        super().__init__(backend_args=backend_args)

    def _load_seg_map(self, results: dict[str, Any]) -> None:
        path = results.get('seg_map_path')
        if path is None:
            raise ValueError(
                f'no mask is known for {results.get("img_path", "this sample")}: the '
                'data set gives no seg_map_path. Set '
                "data_prefix=dict(img_path='...', seg_map_path='...')."
            )
        mask = read_mask(path, backend_args=self.backend_args)
        if 'img' in results:
            mask = fit_mask(mask, results, backend_args=self.backend_args)
        label_map = results.get('label_map')
        reduce_zero_label = bool(results.get('reduce_zero_label'))
        if label_map is not None or reduce_zero_label:
            items = None if label_map is None else tuple(label_map.items())
            mask = np.take(label_table(items, reduce_zero_label), mask)
        results['gt_seg_map'] = mask
        results.setdefault('seg_fields', []).append('gt_seg_map')

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backend_args={self.backend_args})'


def fit_mask(
    mask: np.ndarray,
    results: dict[str, Any],
    *,
    backend_args: dict[str, Any] | None = None,
) -> np.ndarray:
    """The mask that lies over a loaded image: turned if need be.

    Args:
        mask: (h, w), drawn upright or on the stored pixels.
        results: ``img``, and ``ori_shape``, ``img_path`` and ``seg_map_path`` where they
            are known.
        backend_args: Arguments of the file backend, for the image's header.

    Returns:
        (H, W), the image's original size.

    Raises:
        ValueError: If it has another size than the image.
    """
    # The original size: mmseg's test pipelines resize the image before they load
    # the mask, which stays as it is.
    size = tuple(results.get('ori_shape', results['img'].shape[:2]))
    if mask.shape == size:
        return mask
    image_path = results.get('img_path')
    if image_path is not None and mask.shape == size[::-1]:
        orientation = image_orientation(image_path, backend_args=backend_args)
        upright = orient(mask, orientation)
        if upright.shape == size:
            return np.ascontiguousarray(upright)
    mask_path = results.get('seg_map_path') or 'of a class'
    raise ValueError(size_mismatch(image_path, size, mask_path, mask))


def size_mismatch(
    image_path: str | None,
    image_size: tuple[int, int],
    mask_path: str,
    mask: np.ndarray,
) -> str:
    """The message for an image and a mask, sizes (H, W), that don't agree."""
    return (
        f'image {image_path} is {image_size[1]}x{image_size[0]} pixels, but its mask '
        f'{mask_path} {mask.shape[1]}x{mask.shape[0]} (width x height); expected equal '
        'sizes. Check that they belong together, and that neither was resized.'
    )


@lru_cache
def label_table(
    label_map: tuple[tuple[int, int], ...] | None, reduce_zero_label: bool
) -> np.ndarray:
    """What mmseg makes of each stored value: its own code, run once on 0..255.

    Args:
        label_map: (old, new) labels of a data set's ``label_map``.
        reduce_zero_label: 0 becomes 255, other labels one less.

    Returns:
        (256,) uint8, read-only: stored value → label.

    Raises:
        ValueError: If a label does not fit into 8 bits.
    """
    for old, new in label_map or ():
        if not -1 <= new <= 255:
            raise ValueError(
                f'label_map makes label {new} of {old}; expected 0..255, as masks have 8 '
                'bits (docs/adding_a_dataset.md has a way for more classes)'
            )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'values.pgm'
        path.write_bytes(b'P5 256 1 255\n' + bytes(range(256)))
        results: dict[str, Any] = {
            'seg_map_path': str(path),
            # -1 in 8 bits is 255, which NumPy 2 refuses to make of it
            'label_map': label_map
            if label_map is None
            else {old: new % 256 for old, new in label_map},
            'reduce_zero_label': reduce_zero_label,
            'seg_fields': [],
        }
        table = LoadAnnotations().transform(results)['gt_seg_map']
    table.flags.writeable = False
    return table

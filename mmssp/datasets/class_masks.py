"""The mask of one class: what episodes ask a data set for, whatever its files hold.

An episode knows its class, so every mask is binary from the moment it is loaded: 1 the
class, 0 everything else, 255 ignored. Index masks, one file for all classes, are the usual
source; a data set whose labels do not fit into 8 bits, or whose classes overlap, reads the
mask of a class itself, see :class:`ClassMasks`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from mmcv.transforms import BaseTransform, LoadAnnotations
from mmengine.dataset import Compose
from mmseg.datasets import BaseSegDataset

from .mask_scan import IGNORE
from .transforms.loading import fit_mask

LABEL = 'class_label'
"""Key of the episode's label in what goes through a pipeline."""

ReadClassMask = Callable[[dict[str, Any], int], np.ndarray]


class ClassMasks(Protocol):
    """What a data set may offer beside its list of images; one needs not derive from it.

    With both methods, classes may be as many as there are, and overlap. With
    :meth:`class_pixels` alone, masks are index masks still, but none is read to know
    what is in it.

    Labels are positions in the metainfo's ``classes``, 255 one as any other.
    """

    def class_mask(self, info: dict[str, Any], label: int) -> np.ndarray:
        """Read the mask of a class in an image.

        Args:
            info: What ``get_data_info`` gives for the image; not to be changed.
            label: 0..num_classes - 1; a class that the image may lack.

        Returns:
            (H,W) uint8 in {0, 1, 255} or bool, of the image's original size.
        """
        ...

    def class_pixels(self, info: dict[str, Any]) -> Mapping[int, int]:
        """Count the pixels of each class in an image, those of 255 left out.

        Args:
            info: What ``get_data_info`` gives for the image; not to be changed. What is
                counted must depend on it, and on the files in ``img_path`` and
                ``seg_map_path``, alone: counts are cached as long as these stay.

        Returns:
            Label → pixels at the original size; classes that are not there may be left
            out, and so may the background.
        """
        ...


def class_mask_reader(dataset: BaseSegDataset) -> ReadClassMask | None:
    """The data set's own reader of the masks of a class, if it has one.

    Raises:
        ValueError: If it has one, but does not count pixels itself; or if it has none,
            and more classes than index masks can hold.
    """
    own = getattr(dataset, 'class_mask', None)
    name = type(dataset).__name__
    if callable(own):
        if class_counter(dataset) is None:
            raise ValueError(
                f'{name} has a method class_mask, but no class_pixels; expected both, as '
                'masks of single classes do not tell which classes an image shows'
            )
        return own
    num_classes = len(dataset.metainfo.get('classes') or ())
    if num_classes > IGNORE:
        raise ValueError(
            f'{name} has {num_classes} classes, but index masks have 8 bits: expected '
            f'at most {IGNORE}, the background among them ({IGNORE} is ignored). Name '
            'fewer by metainfo=dict(classes=...), or give the data set the methods '
            'class_mask and class_pixels, see docs/adding_a_dataset.md'
        )
    return None


def class_counter(
    dataset: BaseSegDataset,
) -> Callable[[dict[str, Any]], Mapping[int, int]] | None:
    """The data set's own count of pixels, if it has one."""
    own = getattr(dataset, 'class_pixels', None)
    return own if callable(own) else None


class LoadClassMask(BaseTransform):
    """Load the mask of the class that is asked for, in the place of another loader.

    Required keys: ``class_label``, and those of the loader. Added keys: ``gt_seg_map``
    (H,W) uint8 in {0, 1, 255}, and its name in ``seg_fields``.

    Args:
        load: Loads an index mask, where there is no ``read``.
        read: The data set's own reader, see :class:`ClassMasks`.

    Raises:
        ValueError: ``read`` gives no such mask, or one of another size than the image;
            and whatever ``load`` raises.
    """

    def __init__(self, load: LoadAnnotations, read: ReadClassMask | None) -> None:
        self.load = load
        self.read = read

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        """Load the mask of ``results['class_label']``."""
        label = results[LABEL]
        if self.read is None:
            loaded = self.load(results)
            if loaded is not None:
                loaded['gt_seg_map'] = binary_mask(loaded['gt_seg_map'], label)
            return loaded
        mask = _checked(self.read(results, label), label, results)
        if 'img' in results:
            backend_args = getattr(self.load, 'backend_args', None)
            mask = fit_mask(mask, results, backend_args=backend_args)
        results['gt_seg_map'] = mask
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def __repr__(self) -> str:
        # of one data set; its address would tell two transforms of it apart
        own = '' if self.read is None else f', {getattr(self.read, "__qualname__", "")}'
        return f'{type(self).__name__}({self.load!r}{own})'


def one_class_pipelines(
    query: Any, support: Any, dataset: BaseSegDataset
) -> tuple[Compose, Compose]:
    """Pipelines that load the mask of one class, whatever loads masks in them.

    Args:
        query: Transforms, configs or instances, one of which loads the mask.
        support: The same for supports.
        dataset: Whose images go through them.

    Returns:
        For queries and for supports, loaders of masks wrapped in :class:`LoadClassMask`;
        twice the same where the transforms are.

    Raises:
        ValueError: If no transform loads the mask; see also :func:`class_mask_reader`.
    """
    read = class_mask_reader(dataset)
    first = _one_class('pipeline', query, read)
    same = support == query
    return first, first if same else _one_class('support_pipeline', support, read)


def _one_class(name: str, transforms: Any, read: ReadClassMask | None) -> Compose:
    pipeline = Compose(transforms)
    found = [isinstance(t, LoadAnnotations) for t in pipeline.transforms]
    if not any(found):
        raise ValueError(
            f"{name}: no transform loads the mask; add dict(type='LoadMask') after the "
            'image'
        )
    pipeline.transforms = [
        LoadClassMask(transform, read) if loads else transform
        for transform, loads in zip(pipeline.transforms, found, strict=True)
    ]
    return pipeline


def mask_loader(pipeline: Compose) -> LoadAnnotations:
    """What loads masks of all classes, for counting, in a one-class pipeline."""
    return next(t.load for t in pipeline.transforms if isinstance(t, LoadClassMask))


def binary_mask(mask: np.ndarray, label: int, ignore: int = IGNORE) -> np.ndarray:
    """1 where the mask is ``label``, ``ignore`` where it was, 0 elsewhere; uint8."""
    binary = (mask == label).astype(np.uint8)
    binary[mask == ignore] = ignore
    return binary


def _checked(mask: Any, label: int, results: Mapping[str, Any]) -> np.ndarray:
    """A copy of what a data set gave as a class's mask, (H,W) uint8."""
    found = f'{type(mask).__name__}'
    if isinstance(mask, np.ndarray):
        found = f'{mask.dtype} of shape {mask.shape}'
        if mask.ndim == 2 and mask.dtype in (np.uint8, np.bool_):
            mask = mask.astype(np.uint8)
            strange = (mask > 1) & (mask != IGNORE)
            if not strange.any():
                return mask
            found += f' with the value {mask[strange][0]}'
    raise ValueError(
        f'class_mask of {results.get("img_path", "a sample")}, label {label}: found '
        f'{found}; expected (H,W) uint8 in {{0, 1, {IGNORE}}}'
    )

"""Which image holds which class, and how many pixels of it."""

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset

from ..utils.array_cache import cached
from ..utils.files import cache_root
from .class_counts import counts_fingerprint, scan_counts
from .class_masks import class_counter, class_mask_reader
from .mask_scan import fingerprint, scan_masks


class ClassIndex:
    """Image → {class: pixels}, with quick ways to ask in both directions.

    Images are known by their position in the data set, classes by their label, which is
    their position among its classes.

    Args:
        offsets: (num_images + 1,) integers: image i has the entries
            ``offsets[i]:offsets[i + 1]`` of the other two arrays.
        labels: (E,) labels, ascending within an image.
        counts: (E,) pixels, at least 1.
        num_classes: Labels are 0..num_classes - 1.

    Raises:
        ValueError: The arrays contradict each other, or this description.
    """

    def __init__(
        self,
        offsets: np.ndarray,
        labels: np.ndarray,
        counts: np.ndarray,
        num_classes: int,
    ) -> None:
        offsets, labels, counts = (
            np.ascontiguousarray(array, np.int64) for array in (offsets, labels, counts)
        )
        if num_classes < 1:
            raise ValueError(f'num_classes={num_classes}; expected 1 or more.')
        if (
            not len(offsets)
            or offsets[0] != 0
            or offsets[-1] != len(labels)
            or len(labels) != len(counts)
            or (np.diff(offsets) < 0).any()
        ):
            raise ValueError('offsets, labels and counts contradict each other.')
        if not ((labels >= 0) & (labels < num_classes) & (counts > 0)).all():
            raise ValueError(
                f'expected labels 0..{num_classes - 1} and counts of 1 or more.'
            )
        images = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        if (np.diff(images * num_classes + labels) <= 0).any():
            raise ValueError('expected ascending labels in an image, each once.')

        self.num_images = len(offsets) - 1
        self.num_classes = num_classes
        self._offsets, self._labels, self._counts = offsets, labels, counts
        by_label = np.argsort(labels, kind='stable')
        ends = np.cumsum(np.bincount(labels, minlength=num_classes))[:-1]
        self._images_of = np.split(images[by_label], ends)
        self._pixels_of = np.split(counts[by_label], ends)

    @classmethod
    def from_counts(
        cls, counts: Sequence[Mapping[int, int]], num_classes: int
    ) -> 'ClassIndex':
        """From ``{label: pixels}`` of each image, in order; zero pixels are left out.

        Args:
            counts: One mapping an image.
            num_classes: As for the class.

        Raises:
            ValueError: A label or a count is out of range.
        """
        rows = [
            [(label, pixels) for label, pixels in sorted(row.items()) if pixels]
            for row in counts
        ]
        entries = np.array([e for row in rows for e in row], np.int64).reshape(-1, 2)
        offsets = np.cumsum([0, *map(len, rows)])
        return cls(offsets, entries[:, 0], entries[:, 1], num_classes)

    @classmethod
    def build(
        cls,
        dataset: BaseSegDataset,
        reader: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        cache_dir: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        check_images: bool = True,
    ) -> 'ClassIndex':
        """The index of a data set: from the cache, or by reading all its masks now.

        A data set that counts its pixels itself is asked instead, see
        :class:`mmssp.datasets.class_masks.ClassMasks`.

        The cache holds for the same list of files of the same sizes and times of change
        (on a local disk), read with the same settings. A damaged one is made anew. Of
        several processes that start together one scans, the others wait for it.

        Args:
            dataset: With ``classes`` in its metainfo.
            reader: Transform that loads the mask, such as :class:`LoadMask`: given
                ``dataset.get_data_info(i)``, it adds ``gt_seg_map`` (H,W), labels
                0..num_classes - 1 or 255. Its ``repr`` must tell all its settings.
            cache_dir: Folder of the cache; None: ``class_index`` in
                :func:`mmssp.utils.files.cache_root`. It may be deleted at any time.
            workers: Processes of the scan; None takes all CPUs.
            check_images: During the scan, check by its header that every image is
                there, and that it and its mask (where masks are read) have the same
                size.

        Returns:
            The index.

        Raises:
            FileNotFoundError: Images or masks are missing.
            ValueError: Masks can't be read, or don't fit their images or the classes;
                or the data set is empty, or names no classes, or more than its masks
                can hold. The message lists the first ten problems, and how many there
                are.
        """
        num_images = len(dataset)
        num_classes = len(dataset.metainfo.get('classes') or ())
        if not num_classes or not num_images:
            raise ValueError(
                f'{type(dataset).__name__} has {num_images} images and {num_classes} '
                'classes; expected at least one of each. Check data_root, data_prefix, '
                'ann_file and the suffixes, or name classes by '
                'metainfo=dict(classes=...).'
            )

        class_mask_reader(dataset)  # before a long scan
        count = class_counter(dataset)

        def scan() -> dict[str, np.ndarray]:
            options: dict[str, Any] = dict(workers=workers, check_images=check_images)
            if count is not None:
                return scan_counts(dataset, count, num_classes, **options)
            return scan_masks(dataset, reader, num_classes, **options)

        def make(**arrays: np.ndarray) -> 'ClassIndex':
            index = cls(**arrays, num_classes=num_classes)
            if index.num_images != num_images:
                raise ValueError(f'{index.num_images} images instead of {num_images}')
            return index

        if count is None and re.search(r' at 0x[0-9a-fA-F]+', repr(reader)):
            warnings.warn(
                f'{reader!r} does not tell its settings, so its class index is not '
                f'cached: give {type(reader).__name__} a __repr__ that tells them.',
                stacklevel=2,
            )
            return make(**scan())
        folder = Path(cache_dir or cache_root() / 'class_index').expanduser()
        key = (
            fingerprint(dataset, reader, num_classes, check_images)
            if count is None
            else counts_fingerprint(dataset, num_classes, check_images)
        )
        return cached(folder / f'{key}.npz', scan, make)

    def pixels(self, image: int, label: int) -> int:
        """Pixels of a class in an image; 0 if it is not there.

        Args:
            image: 0..num_images - 1.
            label: 0..num_classes - 1.

        Raises:
            IndexError: ``image`` is out of range.
            ValueError: ``label`` is out of range.
        """
        self._check_label(label)
        entries = self._entries(image)
        labels = self._labels[entries]
        place = int(labels.searchsorted(label))
        if place == len(labels) or labels[place] != label:
            return 0
        return int(self._counts[entries][place])

    def classes_in(self, image: int) -> dict[int, int]:
        """Label → pixels of all classes in an image, by label.

        Args:
            image: 0..num_images - 1.

        Raises:
            IndexError: ``image`` is out of range.
        """
        entries = self._entries(image)
        labels, counts = self._labels[entries], self._counts[entries]
        return dict(zip(labels.tolist(), counts.tolist(), strict=True))

    def images_with(self, label: int, min_pixels: int = 1) -> np.ndarray:
        """Images with at least so many pixels of a class.

        Args:
            label: 0..num_classes - 1.
            min_pixels: 1 or more.

        Returns:
            (N,) int64 positions, ascending; a new array.

        Raises:
            ValueError: ``label`` is out of range.
        """
        self._check_label(label)
        return self._images_of[label][self._pixels_of[label] >= min_pixels]

    def shows_any(self, labels: Iterable[int]) -> np.ndarray:
        """Whether an image shows at least one of some classes.

        Args:
            labels: 0..num_classes - 1 each.

        Returns:
            (num_images,) bool.

        Raises:
            ValueError: A label is out of range.
        """
        shown = np.zeros(self.num_images, bool)
        for label in labels:
            shown[self.images_with(label)] = True
        return shown

    def _entries(self, image: int) -> slice:
        if not 0 <= image < self.num_images:
            raise IndexError(f'image {image} of an index of {self.num_images} images')
        return slice(self._offsets[image], self._offsets[image + 1])

    def _check_label(self, label: int) -> None:
        if not 0 <= label < self.num_classes:
            raise ValueError(f'label {label}; expected 0..{self.num_classes - 1}.')

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}({self.num_images} images, {self.num_classes} '
            f'classes, {len(self._labels)} entries)'
        )

"""From a class index, or a split list, to a sampler of episodes."""

import os
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from mmseg.datasets import BaseSegDataset

from .class_index import ClassIndex
from .episodes import (
    IMAGE_SAMPLERS,
    PAIR_SAMPLERS,
    SAMPLINGS,
    EpisodeSampler,
    usable_images,
)
from .split_files import match_images, read_split_file


def build_sampler(
    index: ClassIndex,
    labels: Mapping[int, int],
    names: Mapping[int, str],
    *,
    sampling: str,
    shots: int,
    min_pixels: int,
    pairs: Sequence[tuple[int, int]] | None = None,
    left_out: np.ndarray | None = None,
    allow_missing: bool = False,
) -> tuple[EpisodeSampler, list[int]]:
    """A sampler, and the classes that it draws.

    Args:
        index: Class index of the data set.
        labels: Class id → pixel value, of the classes to draw, by id.
        names: Class id → name.
        sampling: One of :data:`mmssp.datasets.episodes.SAMPLINGS`.
        shots: K.
        min_pixels: Pixels that make an image usable, unless ``pairs`` are given.
        pairs: (image position, class id) of a split list; for HSNet's samplings only,
            which otherwise take all usable images of all classes.
        left_out: (num_images,) bool, images that are no part of any episode.
        allow_missing: Leave out classes with too few images, with a warning.

    Returns:
        The sampler, and class ids, ascending.

    Raises:
        ValueError: If the sampling is unknown or takes no pairs, or classes have too few
            images; all are named, with counts.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f'sampling={sampling!r}: expected one of {SAMPLINGS}')
    if pairs is not None and sampling not in PAIR_SAMPLERS:
        raise ValueError(
            f'split_file: sampling={sampling!r} takes its images from the masks; lists '
            f"are for {tuple(PAIR_SAMPLERS)}, the hsnet protocol's"
        )
    if pairs is None:
        usable = usable_images(index, list(labels.values()), min_pixels)
        of_class = {c: usable[label] for c, label in labels.items()}
        rule = f'with at least {min_pixels} pixels of the class'
    else:
        of_class = {c: np.array([i for i, own in pairs if own == c]) for c in labels}
        rule = 'in the split list'
    if left_out is not None:
        of_class = {c: images[~left_out[images]] for c, images in of_class.items()}
        rule += ' and without novel classes'
    # HSNet's supports may repeat, so that one other image is enough
    needed = 2 if sampling in PAIR_SAMPLERS else shots + 1
    counts = {c: len(np.unique(images)) for c, images in of_class.items()}
    missing = [c for c in labels if counts[c] < needed]
    if missing:
        found = ', '.join(f'{names[c]} ({counts[c]})' for c in missing)
        problem = (
            f'{len(missing)} of {len(labels)} classes have fewer than '
            f'{needed} images (a query and {needed - 1} support(s)) {rule}: {found}'
        )
        _leave_out(problem, len(missing) == len(labels), allow_missing)
    drawn = [c for c in labels if c not in missing]
    if sampling in IMAGE_SAMPLERS:
        usable = {labels[c]: of_class[c] for c in drawn}
        return IMAGE_SAMPLERS[sampling](index, usable, shots), drawn
    if pairs is None:
        pairs = sorted((int(i), c) for c in drawn for i in of_class[c])
    pairs = [(i, labels[c]) for i, c in pairs if c in drawn]
    return PAIR_SAMPLERS[sampling](pairs, shots), drawn


def _leave_out(problem: str, all_of_them: bool, allowed: bool) -> None:
    if all_of_them:
        raise ValueError(
            f'{problem}; no class is left: check the data set, or '
            'lower shots or min_pixels'
        )
    if not allowed:
        raise ValueError(
            f'{problem}; lower shots or min_pixels, or leave these classes out with '
            'allow_missing_classes=True'
        )
    warnings.warn(f'{problem}; these classes are left out', stacklevel=4)


def split_pairs(
    path: str | os.PathLike[str], dataset: BaseSegDataset, class_ids: Sequence[int]
) -> list[tuple[int, int]]:
    """A split list's (image position in the data set, class id), in its order.

    Args:
        path: See :func:`mmssp.datasets.split_files.read_split_file`.
        dataset: Whose images the list names.
        class_ids: Of the split; the list must not name others.

    Raises:
        FileNotFoundError: There is no such list.
        ValueError: It can't be read, or names other images or classes.
    """
    pairs = read_split_file(path)
    others = sorted({c for _, c in pairs} - set(class_ids))
    if others:
        raise ValueError(
            f'{path}: it lists the classes {others}, but the split has {class_ids}; '
            'expected the list of the same fold (and, for COCO-20i, '
            "fold_order='interleaved')"
        )
    img_paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    positions = match_images([name for name, _ in pairs], img_paths, str(path))
    return [(int(i), c) for i, (_, c) in zip(positions, pairs, strict=True)]

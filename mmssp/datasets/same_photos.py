"""Which images of a data set are the same photo, whatever they are called."""

import hashlib
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset

from ..protocols import BENCHMARKS
from ..utils.image_io import is_local
from .wrapped import benchmark_of

SAMPLE = 4096
"""Bytes in the middle of a file by which different photos of one size are told apart."""


def photo_numbers(dataset: BaseSegDataset) -> np.ndarray:
    """The photo that each image is: files that are one, or equal byte by byte.

    Files of the published benchmarks are told apart by their path alone, so that their
    episodes stay those of the papers. A warning says how many images come twice.

    Args:
        dataset: Gives ``get_data_info(i)`` with ``img_path``.

    Returns:
        (len(dataset),) int64: the position of the first image that is the same photo.
    """
    numbers = np.arange(len(dataset))
    backend_args = getattr(dataset, 'backend_args', None)
    paths = {
        i: path
        for i in range(len(dataset))
        if (path := dataset.get_data_info(i).get('img_path')) is not None
    }
    groups = _grouped(paths, lambda path: _place(path, backend_args))
    published = benchmark_of(dataset) in BENCHMARKS
    firsts = {
        group[0]: paths[group[0]]
        for group in groups.values()
        if not published and _is_file(paths[group[0]], backend_args)
    }
    for group in groups.values():
        numbers[group] = group[0]
    for measure in (os.path.getsize, _sample):
        # only what is the same so far is opened
        alike = _grouped(firsts, measure).values()
        firsts = {i: firsts[i] for group in alike if len(group) > 1 for i in group}
        if not firsts:
            break
    for group in _grouped(firsts, _digest).values():
        numbers[np.isin(numbers, group)] = group[0]
    copies = np.flatnonzero(numbers != np.arange(len(numbers))).tolist()
    if any(paths[i] != paths[int(numbers[i])] for i in copies):
        i = next(i for i in copies if paths[i] != paths[int(numbers[i])])
        warnings.warn(
            f'{type(dataset).__name__}: {len(copies)} of {len(numbers)} images are a '
            f'photo that is there before ({paths[i]} is {paths[int(numbers[i])]}); no '
            'episode takes one as query and support',
            stacklevel=3,
        )
    return numbers


def first_of_each_photo(images: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """Images of which no two are the same photo.

    Args:
        images: (N,) positions, ascending.
        photos: From :func:`photo_numbers`.

    Returns:
        (M,) those that come first, ascending.
    """
    _, first = np.unique(photos[images], return_index=True)
    return images[np.sort(first)]


def _grouped(
    paths: dict[int, str], measure: Callable[[str], Hashable]
) -> dict[Hashable, list[int]]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i, path in paths.items():
        groups[measure(path)].append(i)
    return groups


def _place(path: str, backend_args: dict[str, Any] | None) -> str:
    return os.path.realpath(path) if is_local(path, backend_args) else path


def _is_file(path: str, backend_args: dict[str, Any] | None) -> bool:
    return is_local(path, backend_args) and os.path.isfile(path)


def _sample(path: str) -> Hashable:
    """The size too: samples are of files of one size only."""
    size = os.path.getsize(path)
    with open(path, 'rb') as file:
        file.seek(max(0, size - SAMPLE) // 2)
        return size, file.read(SAMPLE)


def _digest(path: str) -> Hashable:
    return hashlib.sha256(Path(path).read_bytes()).digest()

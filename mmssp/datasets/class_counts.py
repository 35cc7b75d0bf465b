"""Pixels of each class as a data set itself counts them: gathered, checked, named."""

import hashlib
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset

from ..utils.parallel import parallel_map
from .mask_scan import (
    FORMAT,
    REPORTED_VALUES,
    DataInfos,
    Problem,
    Scanned,
    file_state,
    gather,
    header_size,
)

Count = Callable[[dict[str, Any]], Mapping[int, int]]


def scan_counts(
    dataset: BaseSegDataset,
    count: Count,
    num_classes: int,
    *,
    workers: int | None = None,
    check_images: bool = True,
) -> dict[str, np.ndarray]:
    """Ask a data set for the pixels of each class in each image.

    Args:
        dataset: Gives ``get_data_info(i)`` for i in 0..len - 1.
        count: See :meth:`mmssp.datasets.class_masks.ClassMasks.class_pixels`.
        num_classes: Labels are 0..num_classes - 1.
        workers: Processes; None takes all CPUs.
        check_images: Check by its header that every image is there.

    Returns:
        As :func:`mmssp.datasets.mask_scan.scan_masks`.

    Raises:
        FileNotFoundError: Images, or files that are counted in, are missing, and nothing
            else is wrong.
        ValueError: Files can't be read, or labels or counts are out of range. The message
            lists the first ten problems, and how many there are.
    """
    scanned = parallel_map(
        partial(
            _count_one,
            count=count,
            num_classes=num_classes,
            check_images=check_images,
            backend_args=getattr(dataset, 'backend_args', None),
        ),
        DataInfos(dataset),
        workers,
        f'Asking {type(dataset).__name__} for the classes in {len(dataset)} images',
    )
    return gather(dataset, scanned)


def counts_fingerprint(
    dataset: BaseSegDataset, num_classes: int, check_images: bool
) -> str:
    """A name for all that the counts depend on, without counting.

    That is the data set's class, all that it says of each image, and sizes and times of
    change of ``img_path`` and ``seg_map_path``.

    Args:
        dataset: As for :func:`scan_counts`.
        num_classes: As for :func:`scan_counts`.
        check_images: As for :func:`scan_counts`.

    Returns:
        40 hexadecimal digits.
    """
    kind = f'{type(dataset).__module__}.{type(dataset).__qualname__}'
    digest = hashlib.sha256(
        repr((FORMAT, 'class_pixels', num_classes, check_images, kind)).encode()
    )
    backend_args = getattr(dataset, 'backend_args', None)
    for info in DataInfos(dataset):
        paths = (info.get('img_path'), info.get('seg_map_path'))
        digest.update(repr([file_state(p, backend_args) for p in paths]).encode())
        # arrays too, of which a repr shows a part
        digest.update(pickle.dumps(info, protocol=4))
    return digest.hexdigest()[:40]


def _count_one(
    info: dict[str, Any],
    count: Count,
    num_classes: int,
    check_images: bool,
    backend_args: dict[str, Any] | None,
) -> Scanned:
    problems: list[Problem] = []
    image_path = info.get('img_path')
    pixels: Mapping[int, int] = {}
    try:
        pixels = count(info)
    except FileNotFoundError as error:
        problems.append(Problem('missing', f'classes in {image_path}: {error}'))
    except (ValueError, OSError) as error:
        problems.append(Problem('unreadable', f'classes in {image_path}: {error}'))
    if check_images and image_path is not None:
        header_size(image_path, backend_args, problems)
    strange = {
        label: n
        for label, n in pixels.items()
        if not (_is_whole(label) and _is_whole(n) and label < num_classes)
    }
    if strange:
        shown = dict(list(strange.items())[:REPORTED_VALUES])
        problems.append(
            Problem(
                'values',
                f'class_pixels of {image_path}: {shown}; expected labels '
                f'0..{num_classes - 1} and pixels of 0 or more, as integers',
            )
        )
        pixels = {}
    found = sorted((int(label), int(n)) for label, n in pixels.items() if n)
    table = np.array(found, np.int64).reshape(-1, 2)
    return Scanned(table[:, 0], table[:, 1], problems)


def _is_whole(value: object) -> bool:
    """Whether it is an integer of 0 or more."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return whole and value >= 0  # type: ignore[operator]  # mypy forgets what it is

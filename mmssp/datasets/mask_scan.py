"""Reads all masks of a data set: pixels of each class, and all that is wrong."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from mmseg.datasets import BaseSegDataset

from ..utils.image_io import image_orientation, image_size, is_local
from ..utils.parallel import parallel_map

FORMAT = 1  # raise it when the same masks shall give other arrays
IGNORE = 255
REPORTED_PROBLEMS = 10
REPORTED_VALUES = 10

Reader = Callable[[dict[str, Any]], dict[str, Any]]

_HINTS = {
    'missing': 'Check data_root, data_prefix, the file suffixes and the list file.',
    'unreadable': 'Copy, download or convert unreadable files again.',
    'size': 'Check that image and mask belong together, and that neither was resized.',
    'values': (
        'Check that the classes (metainfo) are those of the masks, and '
        'reduce_zero_label.'
    ),
}


class Problem(NamedTuple):
    """Something wrong with a sample: of which kind, for the hint, and in words."""

    kind: str
    text: str


class Scanned(NamedTuple):
    """What a sample holds: labels, ascending, with their pixels; or what is wrong."""

    labels: np.ndarray
    counts: np.ndarray
    problems: list[Problem]


class DataInfos(Sequence[Any]):
    """A data set's infos, made one by one: all at once may not fit into memory."""

    def __init__(self, dataset: BaseSegDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, i: int) -> dict[str, Any]:  # type: ignore[override]  # no slices
        return self._dataset.get_data_info(i)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))


def scan_masks(
    dataset: BaseSegDataset,
    reader: Reader,
    num_classes: int,
    *,
    workers: int | None = None,
    check_images: bool = True,
) -> dict[str, np.ndarray]:
    """Count the pixels of each class in each mask, and check masks and images.

    Args:
        dataset: Gives ``get_data_info(i)`` for i in 0..len - 1.
        reader: Transform that adds ``gt_seg_map`` (H,W) to such an info; picklable.
        num_classes: Labels are 0..num_classes - 1, or 255, which is not counted.
        workers: Processes; None takes all CPUs.
        check_images: Check by its header that every image is there and has its mask's
            size, upright or as stored (see :class:`LoadMask`).

    Returns:
        ``offsets`` (len + 1,), ``labels`` (E,) and ``counts`` (E,), int64: sample i has
        the entries ``offsets[i]:offsets[i + 1]``, labels ascending.

    Raises:
        FileNotFoundError: Images or masks are missing, and nothing else is wrong.
        ValueError: Masks or images can't be read or differ in size, or labels are out
            of range. The message lists the first ten problems, and how many there are.
    """
    scanned = parallel_map(
        partial(
            _scan_one,
            reader=reader,
            num_classes=num_classes,
            check_images=check_images,
            backend_args=_backend_args(dataset, reader),
        ),
        DataInfos(dataset),
        workers,
        f'Counting the pixels of each class in {len(dataset)} masks',
    )
    return gather(dataset, scanned)


def gather(
    dataset: BaseSegDataset, scanned: Sequence[Scanned]
) -> dict[str, np.ndarray]:
    """The arrays of a class index, from what each sample holds.

    Args:
        dataset: For the message.
        scanned: Of each sample, in order.

    Returns:
        As :func:`scan_masks`.

    Raises:
        FileNotFoundError: As :func:`scan_masks`.
        ValueError: As :func:`scan_masks`.
    """
    problems = [problem for item in scanned for problem in item.problems]
    if problems:
        message = _message(dataset, problems)
        if all(problem.kind == 'missing' for problem in problems):
            raise FileNotFoundError(message)
        raise ValueError(message)
    none = np.zeros(0, np.int64)  # concatenate wants at least one array
    return {
        'offsets': np.cumsum([0, *(len(item.labels) for item in scanned)]),
        'labels': np.concatenate([none, *(item.labels for item in scanned)]),
        'counts': np.concatenate([none, *(item.counts for item in scanned)]),
    }


def fingerprint(
    dataset: BaseSegDataset, reader: Reader, num_classes: int, check_images: bool
) -> str:
    """A name for all that the scan's result depends on, without opening a file.

    That is the list of images and masks, their sizes and times of change (of local
    files), how labels are mapped, and the reader with its ``repr``.

    Args:
        dataset: As for :func:`scan_masks`.
        reader: As for :func:`scan_masks`.
        num_classes: As for :func:`scan_masks`.
        check_images: As for :func:`scan_masks`.

    Returns:
        40 hexadecimal digits.
    """
    kind = f'{type(reader).__module__}.{type(reader).__qualname__}'
    settings = (FORMAT, num_classes, check_images, kind, repr(reader))
    digest = hashlib.sha256(repr(settings).encode())
    backend_args = _backend_args(dataset, reader)
    previous = None
    for info in DataInfos(dataset):
        files = [
            file_state(info.get(name), backend_args)
            for name in ('img_path', 'seg_map_path')
        ]
        labels = (info.get('label_map'), bool(info.get('reduce_zero_label')))
        # Mostly the same for all: comparing costs a tenth of writing it out.
        digest.update(repr((files, None if labels == previous else labels)).encode())
        previous = labels
    return digest.hexdigest()[:40]


def file_state(
    path: str | None, backend_args: dict[str, Any] | None
) -> tuple[Any, ...]:
    """A file's path, with its size and time of change where it is a local one."""
    if path is None or not is_local(path, backend_args):
        return (path,)
    path = path if os.path.isabs(path) else os.path.abspath(path)
    try:
        state = os.stat(path)
    except (OSError, ValueError):  # the scan tells what is wrong with it
        return (path, None)
    return (path, state.st_size, state.st_mtime_ns)


def _backend_args(dataset: BaseSegDataset, reader: Reader) -> dict[str, Any] | None:
    return getattr(reader, 'backend_args', None) or getattr(
        dataset, 'backend_args', None
    )


def _scan_one(
    info: dict[str, Any],
    reader: Reader,
    num_classes: int,
    check_images: bool,
    backend_args: dict[str, Any] | None,
) -> Scanned:
    problems: list[Problem] = []
    labels = counts = np.zeros(0, np.int64)
    image_path, mask_path = info.get('img_path'), info.get('seg_map_path')
    mask = size = None
    try:
        mask = reader(info)['gt_seg_map']
    except FileNotFoundError:
        problems.append(Problem('missing', f'mask {mask_path} does not exist'))
    except (ValueError, OverflowError, OSError) as error:
        problems.append(Problem('unreadable', f'mask {mask_path}: {error}'))
    if check_images and image_path is not None:
        size = header_size(image_path, backend_args, problems)
    if mask is not None:
        labels, counts, strange = _count(mask, num_classes)
        if strange:
            problems.append(
                Problem(
                    'values',
                    f'mask {mask_path}: labels {strange}; expected '
                    f'0..{num_classes - 1}, or {IGNORE} for ignored pixels',
                )
            )
        if (
            image_path is not None
            and size is not None
            and not (
                mask.shape == size
                or (  # drawn upright over a photo that EXIF turns by 90°
                    mask.shape == size[::-1]
                    and image_orientation(image_path, backend_args=backend_args) >= 5
                )
            )
        ):
            problems.append(
                Problem(
                    'size',
                    f'image {image_path} is {size[1]}x{size[0]} pixels, its mask '
                    f'{mask_path} {"x".join(map(str, mask.shape[1::-1]))}',
                )
            )
    return Scanned(labels, counts, problems)


def header_size(
    image_path: str, backend_args: dict[str, Any] | None, problems: list[Problem]
) -> tuple[int, int] | None:
    """(H, W) of an image by its header; None, and a problem more, if it has none."""
    try:
        return image_size(image_path, backend_args=backend_args)
    except FileNotFoundError:
        problems.append(Problem('missing', f'image {image_path} does not exist'))
    except (ValueError, OSError) as error:
        problems.append(Problem('unreadable', f'image {image_path}: {error}'))
    return None


def _count(
    mask: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray, list[int | str]]:
    """Labels with their pixels, without 255; and some of those out of range."""
    if mask.dtype == np.uint8:
        # By runs of equal pixels, as masks have long ones: six times as fast as pixel
        # by pixel. The weights are floats, but exact.
        pixels = mask.ravel()
        ends = np.append(np.flatnonzero(pixels[1:] != pixels[:-1]), len(pixels) - 1)
        lengths = np.diff(ends, prepend=-1)
        counts = np.bincount(pixels[ends], lengths, minlength=256).astype(np.int64)
        labels = counts.nonzero()[0]
        counts = counts[labels]
    else:  # another reader than ours
        labels, counts = np.unique(mask, return_counts=True)
    classes = (labels >= 0) & (labels < num_classes)
    strange = labels[~classes & (labels != IGNORE)].tolist()
    if len(strange) > REPORTED_VALUES:
        strange = [*strange[:REPORTED_VALUES], '...']
    return labels[classes].astype(np.int64), counts[classes], strange


def _message(dataset: BaseSegDataset, problems: list[Problem]) -> str:
    listed = problems[:REPORTED_PROBLEMS]
    more = len(problems) - len(listed)
    kinds = {problem.kind for problem in problems}
    return '\n'.join(
        [
            f'{type(dataset).__name__}: {len(problems)} problem(s) in the images and '
            f'masks of {len(dataset)} samples:',
            *(f'- {problem.text}' for problem in listed),
            *([f'- ... and {more} more'] if more else []),
            *(hint for kind, hint in _HINTS.items() if kind in kinds),
        ]
    )

"""Prepare PASCAL-5i: add the masks of SBD (Hariharan et al., ICCV 2011) to VOC 2012.

VOC2012 is the folder VOCdevkit/VOC2012 that VOCtrainval_11-May-2012.tar unpacks; SBD is
benchmark_RELEASE, which benchmark.tgz unpacks, or its folder "dataset". Written are

  SegmentationClassAug/*.png              class indices 0-20, 255 ignored, VOC's colours:
                                          VOC's own mask where it has one, SBD's otherwise
  ImageSets/Segmentation/trainaug.txt     (VOC train + SBD train + SBD val) - VOC val,
                                          10,582 names in order; written last

Masks that are there already and whole are kept, so an interrupted run goes on by the
same command.
"""

import argparse
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

__options_first__ = True

from mmssp.utils.command import run
from mmssp.utils.files import atomic_path
from mmssp.utils.image_io import image_size, read_mask
from mmssp.utils.parallel import parallel_map

NUM_CLASSES = 21  # with the background
IGNORE = 255
NUM_TRAINAUG = 10582  # of the complete VOC 2012 and SBD
REPORTED = 10
LISTS = 'ImageSets/Segmentation'
NAME = re.compile(r'\w[\w.-]*')  # of an image; nothing that leaves its folder
VOC_HINT = 'VOCtrainval_11-May-2012.tar unpacks VOCdevkit/VOC2012: give that folder'
SBD_HINT = (
    'benchmark.tgz unpacks benchmark_RELEASE/dataset: give that folder or the one above'
)


class Prepared(NamedTuple):
    """What was done: masks written and kept, and the names of ``trainaug.txt``."""

    written: int
    kept: int
    trainaug: list[str]


class _Task(NamedTuple):
    image: Path
    source: Path
    target: Path


def prepare_pascal5i(
    voc: str | os.PathLike,
    sbd: str | os.PathLike,
    out: str | os.PathLike | None = None,
    workers: int | None = None,
    force: bool = False,
) -> Prepared:
    """Write ``SegmentationClassAug`` and ``trainaug.txt``.

    Args:
        voc: ``VOCdevkit/VOC2012``.
        sbd: ``benchmark_RELEASE``, or its folder ``dataset``.
        out: The folder to write into, in the layout of VOC 2012; None is ``voc``.
        workers: Processes; None takes the CPUs this process may use.
        force: Whether to write masks anew that are there already.

    Returns:
        What was done.

    Raises:
        FileNotFoundError: A folder, a list, an image or a mask is missing.
        ImportError: scipy is missing.
        OSError: ``out`` cannot be written.
        ValueError: A file is damaged, a mask and its image differ in size, or a mask has
            values that are no class; the first ten are named. Nothing is listed then.
    """
    if workers is not None and workers < 1:
        raise ValueError(f'workers is {workers}, expected at least 1')
    _import_loadmat()  # missing: better said now than by every process
    voc, sbd = Path(voc), Path(sbd)
    out = voc if out is None else Path(out)
    sbd = sbd / 'dataset' if (sbd / 'dataset').is_dir() else sbd
    lists = [f'{LISTS}/train.txt', f'{LISTS}/val.txt']
    _check_parts(voc, 'VOC 2012', ['JPEGImages', 'SegmentationClass'], lists, VOC_HINT)
    _check_parts(sbd, 'SBD', ['cls'], ['train.txt', 'val.txt'], SBD_HINT)
    voc_train, voc_val = (read_names(voc / name) for name in lists)
    sbd_names = read_names(sbd / 'train.txt') | read_names(sbd / 'val.txt')

    masks = out / 'SegmentationClassAug'
    if masks.exists() and masks.samefile(voc / 'SegmentationClass'):
        raise ValueError(
            f'{masks} is the same folder as {voc / "SegmentationClass"}, to which no '
            'masks of SBD shall be added; remove the link and run this again'
        )
    names = sorted(voc_train | voc_val | sbd_names)
    _check_files(voc / 'JPEGImages', '.jpg', names, VOC_HINT)
    own = voc_train | voc_val | (_stems(voc / 'SegmentationClass', '.png') & sbd_names)
    _check_files(voc / 'SegmentationClass', '.png', sorted(own), VOC_HINT)
    _check_files(sbd / 'cls', '.mat', sorted(sbd_names - own), SBD_HINT)

    masks.mkdir(parents=True, exist_ok=True)
    tasks = [
        _Task(
            voc / 'JPEGImages' / f'{name}.jpg',
            voc / 'SegmentationClass' / f'{name}.png'
            if name in own
            else sbd / 'cls' / f'{name}.mat',
            masks / f'{name}.png',
        )
        for name in names
    ]
    results = parallel_map(
        partial(_prepare_mask, force),
        tasks,
        workers,
        description=f'Preparing {len(tasks)} masks',
        chunksize=8,
    )
    problems = [result for result in results if isinstance(result, str)]
    if problems:
        raise ValueError(
            f'{len(problems)} of {len(tasks)} masks cannot be prepared: '
            + _first(problems, '; ')
            + '. Unpack these files again from the official archives, then run this again'
        )
    trainaug = sorted((voc_train | sbd_names) - voc_val)
    with atomic_path(out / LISTS / 'trainaug.txt') as temporary:
        temporary.write_text(''.join(f'{name}\n' for name in trainaug))
    written = sum(results)
    return Prepared(written, len(results) - written, trainaug)


def read_names(path: Path) -> set[str]:
    """Read a list of images: one name a line, without a suffix.

    Raises:
        ValueError: It is empty, or a line is no name.
    """
    lines = path.read_text(encoding='utf-8-sig', errors='replace').splitlines()
    names = {number: line.strip() for number, line in enumerate(lines, 1)}
    names = {number: name for number, name in names.items() if name}
    if not names:
        raise ValueError(
            f'{path} names no image; expected one name a line. Unpack it again'
        )
    for number, name in names.items():
        if not NAME.fullmatch(name):
            raise ValueError(
                f'{path}, line {number}: found {name!r}; expected the name of an image '
                'alone, as 2007_000032. Unpack the list again'
            )
    return set(names.values())


def read_sbd_mask(path: str | os.PathLike) -> np.ndarray:
    """Read the class indices of one of SBD's files.

    Args:
        path: A ``cls/*.mat``: a struct ``GTcls`` with a field ``Segmentation``.

    Returns:
        (H,W) uint8, values 0..20.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: scipy is missing.
        ValueError: It is damaged, holds no such mask, or other values.
    """
    loadmat = _import_loadmat()
    with open(path, 'rb') as file:
        try:
            value = loadmat(file, variable_names=['GTcls']).get('GTcls')
        except Exception as error:  # on a truncated file it raises nearly every kind
            raise ValueError(
                f'{path}: cannot be read, probably truncated or damaged '
                f'({type(error).__name__}: {error})'
            ) from error
    value = _unwrap(value)
    fields = getattr(getattr(value, 'dtype', None), 'names', None) or ()
    mask = _unwrap(value['Segmentation']) if 'Segmentation' in fields else None
    if (
        not isinstance(mask, np.ndarray)
        or mask.ndim != 2
        or mask.dtype.kind not in 'uif'
    ):
        raise ValueError(
            f"{path}: no mask GTcls.Segmentation in it; expected a file of SBD's folder "
            '"cls" (not "inst"), complete'
        )
    _check_values(mask, range(NUM_CLASSES), path)
    return mask.astype(np.uint8)


def voc_palette() -> np.ndarray:
    """VOC's colours: the bits of an index, dealt to red, green and blue in turn.

    Returns:
        (256,3) uint8, RGB.
    """
    index = np.arange(256)[:, None]
    channel = np.arange(3)
    colours = sum(((index >> (3 * k + channel)) & 1) << (7 - k) for k in range(8))
    return colours.astype(np.uint8)


def _import_loadmat():
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(
            f'scipy, which reads the masks of SBD, cannot be imported ({error}); install '
            'it: pip install scipy'
        ) from error
    return loadmat


def _unwrap(value: object) -> object:
    """What is in cells of one element, at any depth (MATLAB's scalars are 1x1)."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    return value


def _check_parts(
    root: Path, what: str, folders: list[str], files: list[str], hint: str
) -> None:
    missing = [f'{name}/' for name in folders if not (root / name).is_dir()]
    missing += [name for name in files if not (root / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f'{root} {"lacks" if root.is_dir() else "is no folder; expected"} '
            f'{", ".join(missing)} of {what}; {hint}'
        )


def _stems(folder: Path, suffix: str) -> set[str]:
    # one listing is far quicker than a question per file, on network discs above all
    names = os.listdir(folder)
    return {name.removesuffix(suffix) for name in names if name.endswith(suffix)}


def _check_files(folder: Path, suffix: str, names: Iterable[str], hint: str) -> None:
    found = _stems(folder, suffix)
    missing = [f'{name}{suffix}' for name in names if name not in found]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} files that the lists name are missing in {folder}: '
            f'{_first(missing)}; {hint}, complete'
        )


def _first(texts: list[str], separator: str = ', ') -> str:
    more = f'{separator}… ({len(texts)} in all)' if len(texts) > REPORTED else ''
    return separator.join(texts[:REPORTED]) + more


def _check_values(mask: np.ndarray, allowed: Iterable[int], path: object) -> None:
    values = np.unique(mask)
    wrong = values[~np.isin(values, list(allowed))]
    if len(wrong):
        ignored = ' and 255' if IGNORE in allowed else ''
        raise ValueError(
            f'{path}: values {_first([str(value) for value in wrong])}; expected class '
            f'indices 0..{NUM_CLASSES - 1}{ignored}'
        )


def _prepare_mask(force: bool, task: _Task) -> bool | str:
    """Whether a mask was written (else it was there), or what is wrong with it."""
    try:
        size = image_size(task.image)
        if not force and _is_whole(task.target, size):
            return False
        mask = _read_source(task.source)
    except (FileNotFoundError, ValueError) as error:
        return str(error).rstrip('.')
    if mask.shape != size:
        return (
            f'{task.source}: height and width {mask.shape}, but {size} of {task.image}'
        )
    picture = Image.fromarray(mask)
    picture.putpalette(voc_palette().tobytes())
    with _undisturbed(), atomic_path(task.target) as temporary:
        picture.save(temporary, 'PNG')
    return True


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and the end of this process, where the system can.

    A process of a pool is ended by a signal, upon which nothing removes a part file.
    """
    if not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _is_whole(path: Path, size: tuple[int, int]) -> bool:
    try:
        return _read_source(path).shape == size
    except (FileNotFoundError, ValueError):
        return False


def _read_source(path: Path) -> np.ndarray:
    if path.suffix == '.mat':
        return read_sbd_mask(path)
    mask = read_mask(path)
    _check_values(mask, (*range(NUM_CLASSES), IGNORE), path)
    return mask


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'voc', metavar='VOC2012', type=Path, help='folder VOCdevkit/VOC2012'
    )
    parser.add_argument(
        'sbd',
        metavar='SBD',
        type=Path,
        help='folder benchmark_RELEASE, or benchmark_RELEASE/dataset',
    )
    parser.add_argument(
        '--out-dir',
        metavar='DIR',
        type=Path,
        help='write SegmentationClassAug and ImageSets/Segmentation/trainaug.txt below '
        'this folder (default: VOC2012, where the configs look for them; for another '
        'one, set ann_file and seg_map_path to absolute paths)',
    )
    parser.add_argument(
        '--workers',
        metavar='N',
        type=int,
        help='processes (default: one for each usable CPU)',
    )
    parser.add_argument(
        '--force', action='store_true', help='write masks anew that are there already'
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    out = args.voc if args.out_dir is None else args.out_dir
    try:
        done = prepare_pascal5i(args.voc, args.sbd, out, args.workers, args.force)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(
            f'{error.filename or out}: {error.strerror}; mend that and run this again, or '
            'choose another folder with --out-dir'
        ) from error
    print(
        f'{out / "SegmentationClassAug"}: {done.written} masks written, {done.kept} were '
        'there already'
    )
    print(f'{out / LISTS / "trainaug.txt"}: {len(done.trainaug)} images')
    if len(done.trainaug) != NUM_TRAINAUG:
        print(
            f'warning: the complete VOC 2012 and SBD give {NUM_TRAINAUG} images, not '
            f'{len(done.trainaug)}; fine for a part of the data only',
            file=sys.stderr,
        )


if __name__ == '__main__':
    run(main, parse_args)

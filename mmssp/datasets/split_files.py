"""Split lists as HSNet's release has them: which image is used for which class."""

import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from mmseg.datasets import BaseSegDataset

from ..utils.files import file_name
from .split_pickles import check_length, read_pickle, short, stem

# the largest lists in use (COCO) have some 20 MB and 300,000 pairs
MAX_BYTES = 256 * 2**20
MAX_PAIRS = 10**7

# A suffix is taken off an image name only if it is one: '2008.000123' has none.
_IMAGE_SUFFIX = re.compile(r'\.(jpe?g|png|bmp|gif|webp|tiff?|ppm|pgm)$', re.IGNORECASE)
_TEXT_LINE = re.compile(r'(.+)__([0-9]{1,6})')


def read_split_file(
    path: str | os.PathLike[str],
    *,
    max_bytes: int = MAX_BYTES,
    max_pairs: int = MAX_PAIRS,
) -> list[tuple[str, int]]:
    """Read the (image, class) pairs of a split list, in the file's order.

    - ``.txt``: a line ``<image>__<class>`` per pair, the class 1-based with two digits;
      blank lines are skipped. An image name may itself contain ``__``.
    - ``.pkl``: a pickle of {class 0-based: [image paths]}, of any protocol and of
      Python 2 too. A pickle is a program; this one is looked through before it is run,
      and refused, without running any of it, if it does more than fill dicts and lists
      with strings and integers.

    Only names are given back, never opened, so a path in the list leads nowhere.

    Args:
        path: The list, a ``.txt`` or ``.pkl`` file.
        max_bytes: Larger files are refused, without being read.
        max_pairs: Longer lists are refused. A small pickle can stand for a long list.

    Returns:
        (image name without folder and suffix, class id from 1), at least one pair.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is none of the two, damaged, empty, too large, or holds something
            else; said with the line, or with the class and the position in its list.
    """
    path = Path(path)
    readers = {'.txt': _read_text, '.pkl': read_pickle}
    if path.suffix.lower() not in readers:
        raise ValueError(f'{path}: suffix {path.suffix!r}; expected .txt or .pkl')
    data = _read_bytes(path, max_bytes)
    pairs = readers[path.suffix.lower()](path, data, max_pairs)
    if not pairs:
        raise ValueError(f'{path}: it names no image; expected at least one')
    return pairs


def match_images(
    names: Sequence[str], img_paths: Sequence[str], where: str
) -> np.ndarray:
    """Find images of a data set by name.

    Args:
        names: Image names without folder and suffix, as :func:`read_split_file` gives
            them; may repeat.
        img_paths: The data set's image paths.
        where: What the names come from, for the message, e.g. the split list's path.

    Returns:
        (len(names),) int64, positions in ``img_paths``.

    Raises:
        ValueError: Names that the data set doesn't have, or has in several folders or
            with several suffixes.
    """
    wanted = dict.fromkeys(names)
    positions: dict[str, int] = {}
    repeated: dict[str, str] = {}
    for position, img_path in enumerate(img_paths):
        name = stem(img_path)
        if positions.setdefault(name, position) != position and name in wanted:
            repeated.setdefault(name, f'{img_paths[positions[name]]} and {img_path}')
    missing = [name for name in wanted if name not in positions]
    if missing:
        example = f', e.g. {stem(img_paths[0])!r}' if len(img_paths) else ''
        raise ValueError(
            f'{where}: {len(missing)} of {len(wanted)} images are not in the data set, '
            f'which has {len(img_paths)}{example}: {_first(missing)}. Check that the '
            'list belongs to this data set, and its data_root, ann_file and data_prefix.'
        )
    if repeated:
        raise ValueError(
            f'{where}: {len(repeated)} of {len(wanted)} images are in the data set more '
            f'than once, so their names do not tell which: {_first(repeated.values())}. '
            'Leave one of each out of the data set (ann_file).'
        )
    return np.array([positions[name] for name in names], dtype=np.int64)


def split_pairs(
    path: str | os.PathLike[str], dataset: BaseSegDataset, class_ids: Sequence[int]
) -> list[tuple[int, int]]:
    """A split list's (image position in the data set, class id), in its order.

    Args:
        path: See :func:`read_split_file`.
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


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    if path.is_dir():
        raise ValueError(f'{path} is a folder; expected a .txt or .pkl file.')
    if path.exists() and not path.is_file():
        raise ValueError(f'{path} is no regular file; expected a .txt or .pkl file.')
    try:
        stream = path.open('rb')
    except FileNotFoundError as error:
        state = 'exists' if path.parent.is_dir() else 'does not exist either'
        raise FileNotFoundError(
            f"{path} does not exist (its folder {state}). HSNet's release has such "
            'lists in data/splits.'
        ) from error
    with stream:
        size = os.fstat(stream.fileno()).st_size
        if size > max_bytes:
            raise ValueError(
                f'{path}: {size} bytes; expected a split list of at most {max_bytes}. '
                'If you trust it, raise max_bytes.'
            )
        return stream.read(max_bytes)


def _read_text(path: Path, data: bytes, max_pairs: int) -> list[tuple[str, int]]:
    pairs = []
    for number, line in enumerate(io.BytesIO(data), start=1):
        where = f'{path}, line {number}'
        try:
            text = line.decode('utf-8-sig' if number == 1 else 'utf-8').strip()
        except UnicodeDecodeError as error:
            raise ValueError(
                f'{where}: {short(line)} is not UTF-8 text; expected '
                "'<image>__<class>', e.g. 2007_000033__01"
            ) from error
        if not text:
            continue
        match = _TEXT_LINE.fullmatch(text)
        name = _name(match[1]) if match else ''
        if match is None or not name or int(match[2]) < 1:
            raise ValueError(
                f"{where}: found {short(text)}; expected '<image>__<class>' with the "
                'class counted from 01, e.g. 2007_000033__01'
            )
        pairs.append((name, int(match[2])))
        check_length(path, len(pairs), max_pairs)
    return pairs


def _name(name: str) -> str:
    """Name of an image that may or may not have a suffix."""
    return _IMAGE_SUFFIX.sub('', file_name(name))


def _first(items: Iterable[str], count: int = 10) -> str:
    items = list(items)
    more = ', ...' if len(items) > count else ''
    return ', '.join(items[:count]) + more

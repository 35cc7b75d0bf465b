"""Split lists as HSNet's release has them: which image is used for which class."""

import io
import os
import pickle
import pickletools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.files import file_name

# the largest lists in use (COCO) have some 20 MB and 300,000 pairs
MAX_BYTES = 256 * 2**20
MAX_PAIRS = 10**7

# A suffix is taken off an image name only if it is one: '2008.000123' has none.
_IMAGE_SUFFIX = re.compile(r'\.(jpe?g|png|bmp|gif|webp|tiff?|ppm|pgm)$', re.IGNORECASE)
_TEXT_LINE = re.compile(r'(.+)__([0-9]{1,6})')
_LARGEST_CLASS = 10**6

# All that a pickle of {int: [str]} consists of, in every protocol since Python 2.
# Neither calls nor imports; nor tuples, as they can be keys, and hashing one that holds
# another twice, and so on 60 times, never ends.
_NUMBERS = frozenset(('INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4'))
_STRINGS = frozenset(
    ('STRING', 'BINSTRING', 'SHORT_BINSTRING')
    + ('UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8')
)
_CONTAINERS = frozenset(
    ('MARK', 'EMPTY_DICT', 'DICT', 'SETITEM', 'SETITEMS')
    + ('EMPTY_LIST', 'LIST', 'APPEND', 'APPENDS')
)
_PUTS = frozenset(('PUT', 'BINPUT', 'LONG_BINPUT'))
_GETS = frozenset(('GET', 'BINGET', 'LONG_BINGET'))
_FRAMES = frozenset(('PROTO', 'FRAME', 'MEMOIZE', 'STOP'))
_ADMITTED = _NUMBERS | _STRINGS | _CONTAINERS | _PUTS | _GETS | _FRAMES
_PICKLE_IS = 'a pickle of {class, 0-based int: [image paths, str]}'


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
    readers = {'.txt': _read_text, '.pkl': _read_pickle}
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
        stem = _stem(img_path)
        if positions.setdefault(stem, position) != position and stem in wanted:
            repeated.setdefault(stem, f'{img_paths[positions[stem]]} and {img_path}')
    missing = [name for name in wanted if name not in positions]
    if missing:
        example = f', e.g. {_stem(img_paths[0])!r}' if len(img_paths) else ''
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
                f'{where}: {_short(line)} is not UTF-8 text; expected '
                "'<image>__<class>', e.g. 2007_000033__01"
            ) from error
        if not text:
            continue
        match = _TEXT_LINE.fullmatch(text)
        name = _name(match[1]) if match else ''
        if match is None or not name or int(match[2]) < 1:
            raise ValueError(
                f"{where}: found {_short(text)}; expected '<image>__<class>' with the "
                'class counted from 01, e.g. 2007_000033__01'
            )
        pairs.append((name, int(match[2])))
        _check_length(path, len(pairs), max_pairs)
    return pairs


def _read_pickle(path: Path, data: bytes, max_pairs: int) -> list[tuple[str, int]]:
    _look_through(path, data)
    try:
        lists = _PlainUnpickler(data).load()
    except MemoryError:
        raise
    except Exception as error:  # unpickling damaged data raises nearly every kind
        raise _damaged(path, error) from error
    if type(lists) is not dict:
        raise ValueError(
            f'{path}: a pickle of {type(lists).__name__}; expected {_PICKLE_IS}'
        )
    for label, paths in lists.items():
        if type(label) is not int or type(paths) is not list:
            raise ValueError(
                f'{path}: found {type(label).__name__} {_short(label)} → '
                f'{type(paths).__name__}; expected {_PICKLE_IS}'
            )
        if label < 0:
            raise ValueError(f'{path}: class {label}; expected classes from 0')
    # one list may stand for many classes, so the length comes before the pairs
    _check_length(path, sum(map(len, lists.values())), max_pairs)
    names: dict[str, str] = {}
    pairs = []
    for label, paths in lists.items():
        for position, item in enumerate(paths):
            # one long string may stand for many paths: each is taken apart once
            if type(item) is str and item not in names:
                names[item] = _stem(item)
            name = names[item] if type(item) is str else ''
            if not name:
                raise ValueError(
                    f'{path}: class {label}, item {position} is a '
                    f'{type(item).__name__}, {_short(item)}; expected the path of an '
                    "image, e.g. 'val2014/COCO_val2014_000000000042.jpg'"
                )
            pairs.append((name, label + 1))
    return pairs


def _look_through(path: Path, data: bytes) -> None:
    """Refuse a pickle that is more than dicts, lists, strings and class numbers.

    It is read here as a list of instructions; none is carried out.
    """
    operations: Iterator[Any] = enumerate(pickletools.genops(data))
    while True:
        try:
            count, (opcode, argument, offset) = next(operations)
        except StopIteration:
            return
        except MemoryError:
            raise
        except Exception as error:
            raise _damaged(path, error) from error
        if opcode.name not in _ADMITTED:
            what = opcode.name if argument is None else f'{opcode.name} {argument}'
            raise ValueError(
                f'{path}: the pickle asks for {_short(what)} (byte {offset}), which a '
                'split list does not need, and which could run code; nothing of it was '
                f'run. Expected {_PICKLE_IS}, of these types alone: no tuples, NumPy '
                'values or subclasses of dict. If you trust it, convert it: '
                '{int(c): [str(p) for p in paths] for c, paths in lists.items()}.'
            )
        # Numbers made to collide would make a dict slow.
        if opcode.name in _NUMBERS and abs(argument) > _LARGEST_CLASS:
            raise ValueError(
                f'{path}: a number beyond ±{_LARGEST_CLASS} (byte {offset}); expected '
                f'{_PICKLE_IS}'
            )
        # The memo is a table that grows to the largest index, however few are used.
        if opcode.name in _PUTS and not 0 <= argument <= count:
            raise ValueError(
                f'{path}: memo index {argument} in step {count} (byte {offset}), which '
                f'no pickling gives; expected {_PICKLE_IS}'
            )


class _PlainUnpickler(pickle.Unpickler):
    """A second wall: nothing can be imported, wherever it is asked for."""

    def __init__(self, data: bytes) -> None:
        # str of Python 2 are bytes
        super().__init__(io.BytesIO(data), encoding='utf-8')

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f'{module}.{name} is refused')

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError('a persistent id is refused')


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f'{path}: cannot be read as a pickle, probably truncated or damaged '
        f'({type(error).__name__}: {_short(str(error))}); expected {_PICKLE_IS}. Copy or '
        'download it again.'
    )


def _check_length(path: Path, length: int, max_pairs: int) -> None:
    if length > max_pairs:
        raise ValueError(
            f'{path}: more than {max_pairs} pairs of image and class; expected fewer. '
            'If you trust it, raise max_pairs.'
        )


def _stem(path: str) -> str:
    """Name of a file that has a suffix."""
    return os.path.splitext(file_name(path))[0]


def _name(name: str) -> str:
    """Name of an image that may or may not have a suffix."""
    return _IMAGE_SUFFIX.sub('', file_name(name))


def _short(found: Any, length: int = 80) -> str:
    """What was found, as Python writes it, where that is sure to be quick and short."""
    if isinstance(found, (str, bytes)):
        return repr(found if len(found) <= length else found[:length]) + (
            '...' if len(found) > length else ''
        )
    return repr(found) if isinstance(found, int) else '...'


def _first(items: Iterable[str], count: int = 10) -> str:
    items = list(items)
    more = ', ...' if len(items) > count else ''
    return ', '.join(items[:count]) + more

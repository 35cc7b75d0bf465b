"""Split lists that are pickles: read without running anything in them."""

import io
import os
import pickle
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..utils.files import file_name

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


def read_pickle(path: Path, data: bytes, max_pairs: int) -> list[tuple[str, int]]:
    """The pairs in a pickle of {class 0-based: [image paths]}.

    Args:
        path: For messages.
        data: The file's content.
        max_pairs: Longer lists are refused.

    Returns:
        (image name without folder and suffix, class id from 1).

    Raises:
        ValueError: It is damaged or too long, or holds or does something else; in the
            last case nothing of it was run.
    """
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
                f'{path}: found {type(label).__name__} {short(label)} → '
                f'{type(paths).__name__}; expected {_PICKLE_IS}'
            )
        if label < 0:
            raise ValueError(f'{path}: class {label}; expected classes from 0')
    # one list may stand for many classes, so the length comes before the pairs
    check_length(path, sum(map(len, lists.values())), max_pairs)
    names: dict[str, str] = {}
    pairs = []
    for label, paths in lists.items():
        for position, item in enumerate(paths):
            # one long string may stand for many paths: each is taken apart once
            if type(item) is str and item not in names:
                names[item] = stem(item)
            name = names[item] if type(item) is str else ''
            if not name:
                raise ValueError(
                    f'{path}: class {label}, item {position} is a '
                    f'{type(item).__name__}, {short(item)}; expected the path of an '
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
                f'{path}: the pickle asks for {short(what)} (byte {offset}), which a '
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
        f'({type(error).__name__}: {short(str(error))}); expected {_PICKLE_IS}. Copy or '
        'download it again.'
    )


def check_length(path: Path, length: int, max_pairs: int) -> None:
    """Refuse lists that are too long.

    Raises:
        ValueError: If this is one.
    """
    if length > max_pairs:
        raise ValueError(
            f'{path}: more than {max_pairs} pairs of image and class; expected fewer. '
            'If you trust it, raise max_pairs.'
        )


def stem(path: str) -> str:
    """Name of a file that has a suffix."""
    return os.path.splitext(file_name(path))[0]


def short(found: Any, length: int = 80) -> str:
    """What was found, as Python writes it, where that is sure to be quick and short."""
    if isinstance(found, (str, bytes)):
        return repr(found if len(found) <= length else found[:length]) + (
            '...' if len(found) > length else ''
        )
    return repr(found) if isinstance(found, int) else '...'

"""Valid input, broken: bytes and JSON trees with some damage, as strategies."""

import copy
import json
import math
from typing import Any

from hypothesis import strategies as st

DEEP = 100_000
KEYS = ('id', 'images', 'annotations', 'file_name', 'shapes', 'episodes', 'run', 'x')
STRANGE = (
    None, True, False, 0, 1, -1, 2, 255, 256, 2**31, -(2**31), 2**63, 10**30, 0.5, -0.0,
    1e-300, 1e9, 1e308, -1e308, math.nan, math.inf, -math.inf, '', ' ', '0', 'x' * 5000,
    '../../x', '/etc/passwd', 'C:\\x', '\x00', '\ud800', 'ä', [], {}, [[]], [None], [{}],
    {'': None}, [1, 2], [0] * 3000,
)  # fmt: skip


class Bytes(bytes):
    """Bytes that fit into a report."""

    def __repr__(self) -> str:
        more = f' ... {len(self)} bytes' if len(self) > 2000 else ''
        return repr(bytes(self[:2000])) + more


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, most: int = 4) -> Bytes:
    """Bytes with up to ``most`` kinds of damage; half of it near the start."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, most))):
        end = max(len(data) - 1, 0)
        place = draw(st.one_of(st.integers(0, min(64, end)), st.integers(0, end)))
        kind = draw(
            st.sampled_from(('flip', 'set', 'cut', 'drop', 'insert', 'number', 'copy'))
        )
        if kind == 'cut':
            del data[place:]
        elif kind == 'drop':
            del data[place : place + draw(st.integers(1, 40))]
        elif kind == 'insert':
            data[place:place] = draw(st.binary(max_size=20))
        elif kind == 'copy':
            start = draw(st.integers(0, end))
            data[place:place] = data[start : start + draw(st.integers(1, 60))]
        elif kind == 'number':
            number = draw(
                st.sampled_from((0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1))
            )
            order = draw(st.sampled_from(('big', 'little')))
            data[place : place + 4] = number.to_bytes(4, order)
        elif data:
            flipped = data[place] ^ (1 << draw(st.integers(0, 7)))
            data[place] = flipped if kind == 'flip' else draw(st.integers(0, 255))
    return Bytes(data)


def _spot(draw: st.DrawFn, tree: Any) -> tuple[Any, Any]:
    """A container in a tree and the key of an item in it, at any depth."""
    container, key = None, None
    while isinstance(tree, dict | list) and tree:
        keys = list(tree) if isinstance(tree, dict) else range(len(tree))
        container, key = tree, keys[draw(st.integers(0, len(keys) - 1))]
        tree = container[key]
        if draw(st.integers(0, 3)) == 0:
            break
    return container, key


def _change(draw: st.DrawFn, tree: Any, values: st.SearchStrategy) -> None:
    container, key = _spot(draw, tree)
    if container is None:
        return
    kind = draw(
        st.sampled_from(
            ('set', 'set', 'scale', 'delete', 'twice', 'swap', 'wrap', 'text')
        )
    )
    value = container[key]
    if kind == 'set':
        # a copy: what is changed next must not change what is drawn later
        container[key] = copy.deepcopy(draw(values))
    elif kind == 'scale' and isinstance(value, int | float):
        container[key] = value * draw(
            st.sampled_from((-1, 0, 2, 0.5, 1e4, 1e12, 2**40))
        )
    elif kind == 'delete':
        del container[key]
    elif kind == 'twice':
        if isinstance(container, list):
            container.insert(key, copy.deepcopy(value))
        else:
            container[f'{key}x'] = copy.deepcopy(value)
    elif kind == 'swap':
        other, place = _spot(draw, tree)
        # a copy, or a tree could come to hold itself
        container[key] = copy.deepcopy(other[place])
    elif kind == 'wrap':
        container[key] = [value] if draw(st.booleans()) else {'x': value}
    elif kind == 'text':
        container[key] = str(value)


@st.composite
def changed(draw: st.DrawFn, tree: Any, most: int = 3, strange: tuple = STRANGE) -> Any:
    """A copy of a JSON tree with up to ``most`` items of another type, value or place."""
    tree = copy.deepcopy(tree)
    values = st.one_of(
        st.sampled_from(strange), st.integers(), st.floats(), st.text(max_size=8)
    )
    for _ in range(draw(st.integers(1, most))):
        _change(draw, tree, values)
    return tree


@st.composite
def broken_json(draw: st.DrawFn, tree: Any, most: int = 3) -> Bytes:
    """A JSON file: a changed tree; one in five also damaged as text."""
    text = json.dumps(draw(changed(tree, most)))
    kind = draw(st.integers(0, 14))
    if kind == 0:
        return draw(damaged(text.encode()))
    place = draw(st.integers(0, len(text)))
    if kind == 1:  # nested deeper than any stack
        opening = draw(st.sampled_from(('[', '{"x":')))
        text = text[:place] + opening * DEEP + text[place:]
    elif kind == 2 and '{' in text[: place + 1]:  # a key twice: the last one counts
        start = text.rindex('{', 0, place + 1) + 1
        key = json.dumps(draw(st.sampled_from(KEYS)))
        text = f'{text[:start]}{key}: 1, {text[start:]}'
    elif kind == 3:  # a number of more digits than Python reads
        text = text.replace('1', '1' * 5000, 1)
    return Bytes(text.encode('utf-8', 'surrogatepass'))

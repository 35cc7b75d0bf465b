"""Support banks and caches of arrays: NumPy's archives from elsewhere."""

import io
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mutations import damaged
from sandbox import Sandbox, inputs, left_over

from mmssp.apis.support.support_bank import Support, load_bank, save_bank
from mmssp.utils.array_cache import cached

MODEL = 'f' * 64
RNG = torch.Generator().manual_seed(0)
SUPPORTS = {
    name: Support(
        {
            side: torch.randn(1, 6, generator=RNG)
            for side in ('foreground', 'background')
        },
        shots,
        shown,
    )
    for name, shots, shown in (('cat', 1, 1), ('dog', 5, 4))
}


def bank(folder: Path) -> bytes:
    save_bank(folder / 'bank', SUPPORTS, MODEL, 'SSPHead')
    return (folder / 'bank').read_bytes()


def arrays_of(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data)) as file:
        return dict(file)


def load(folder: Path, data: bytes, must_be_the_same: bool) -> None:
    path = folder / 'bank'
    path.write_bytes(data)
    found = load_bank(path, MODEL, 'SSPHead', first_model=MODEL)
    assert path.read_bytes() == data
    for name, support in found.items():
        assert isinstance(name, str) and name
        assert type(support.num_shots) is int and type(support.num_shown) is int
        assert 1 <= support.num_shown <= support.num_shots
        for prototype in support.state.values():
            assert len(prototype) == 1
            assert torch.isfinite(prototype).all()
    if must_be_the_same:
        assert found.keys() == SUPPORTS.keys()
        for name, support in found.items():
            assert support.num_shots == SUPPORTS[name].num_shots
            assert support.num_shown == SUPPORTS[name].num_shown
            for side, prototype in support.state.items():
                assert torch.equal(prototype, SUPPORTS[name].state[side])


@inputs(300)
@given(data=st.data())
def test_damaged_banks(data, loading, whole):
    # an archive has checksums: what is read is what was written
    loading(data.draw(damaged(whole)), True)


ARRAYS = st.one_of(
    st.builds(
        lambda shape, kind: np.zeros(shape, kind),
        st.lists(st.integers(0, 3), max_size=3),
        st.sampled_from(('f4', 'f8', 'i8', 'u1', '?', 'c8', 'U3', 'S2', 'M8[s]', 'O')),
    ),
    st.sampled_from(
        (
            np.full((2, 6), np.nan, np.float32),
            np.full((2, 6), np.inf, np.float32),
            np.array([0, 1]),
            np.array([-1, 2**40]),
            np.array(['cat', 'cat']),
            np.array(['', 'dog']),
            np.array(2),
            np.array([1, 1]),
            np.array('x' * 1000),
            np.zeros((2, 0), np.float32),
        )
    ),
)


@inputs(150)
@given(
    changes=st.dictionaries(
        st.sampled_from(
            (
                *('version', 'model', 'head', 'adapter', 'names', 'x'),
                *('num_shots', 'num_shown', 'learned', 'same'),
                *('state/0/foreground', 'state/1/background', 'adapted/0/x'),
                *('state/9/foreground', 'state/x', '/', 'other/0/x'),
            )
        ),
        st.one_of(st.none(), ARRAYS),
        min_size=1,
        max_size=3,
    )
)
def test_banks_of_other_arrays(changes, loading, whole):
    arrays = arrays_of(whole) | changes
    stream = io.BytesIO()
    np.savez(stream, **{k: v for k, v in arrays.items() if v is not None})
    loading(stream.getvalue(), False)


def npy(shape: str, dtype: str = '<f4', payload: bytes = b'') -> bytes:
    """A ``.npy`` file with a header of choice."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}"
    text = header.encode().ljust(117) + b'\n'
    return b'\x93NUMPY\x01\x00' + len(text).to_bytes(2, 'little') + text + payload


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, 'w', compression) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return stream.getvalue()


SHAPES = st.sampled_from(
    (
        '(1000000000000,)',
        '(2, 2**40)',
        '(-1, 6)',
        '()',
        '[2, 6]',
        '(2, 6.0)',
        '(2, None)',
    )
    + ('(' * 200 + ')' * 200, '(2147483647, 2147483647)', '(9223372036854775807,)')
)


@inputs(100)
@given(
    shape=SHAPES,
    dtype=st.sampled_from(('<f4', '|O', '<U1000000000', '|V8', 'x', '<M8[s]')),
    name=st.sampled_from(('state/0/foreground', 'version', 'names')),
)
def test_headers_that_declare_what_is_not_there(shape, dtype, name, loading, whole):
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        entries = {n: file.read(n) for n in file.namelist()}
    entries[f'{name}.npy'] = npy(shape, dtype)
    assert loading(archive(entries), False) is not None


def test_a_zip_bomb_is_refused_before_it_is_unpacked(loading, whole):
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        entries = {n: file.read(n) for n in file.namelist()}
    entries['x.npy'] = npy('(90000000,)', '|u1', bytes(90_000_000))
    bomb = archive(entries, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**20
    assert 'compressed' in loading(bomb, False)


def test_pickles_in_a_bank_are_refused(loading, whole):
    stream = io.BytesIO()
    np.savez(stream, **arrays_of(whole), x=np.array([print], dtype=object))
    assert 'Object arrays cannot be loaded' in loading(stream.getvalue(), False)


def use_cache(folder: Path, data: bytes) -> None:
    """A damaged cache is made anew, and then whole."""
    shutil.rmtree(folder / 'cache', ignore_errors=True)
    arrays = dict(a=np.arange(5), b=np.ones((2, 2), np.float32))
    path = folder / 'cache' / 'x.npz'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        cached(path, lambda: arrays, dict)
        whole = path.read_bytes()
        path.write_bytes(data.replace(b'WHOLE', whole) if data else whole[:-9])
        for _ in range(2):
            found = cached(path, lambda: arrays, dict)
            assert found.keys() == arrays.keys()
            for name, array in arrays.items():
                np.testing.assert_array_equal(found[name], array)
    assert not left_over(folder / 'cache')


@inputs(150)
@given(data=damaged(b'WHOLEPK\x03\x04' + bytes(20)))
def test_damaged_caches(data, using_a_cache):
    using_a_cache(data)


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> bytes:
    return bank(tmp_path_factory.mktemp('whole'))


@pytest.fixture(scope='module')
def loading(tmp_path_factory):
    folder = tmp_path_factory.mktemp('banks')
    with Sandbox(lambda *args: load(folder, *args)) as sandbox:
        yield sandbox


@pytest.fixture(scope='module')
def using_a_cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp('caches')
    with Sandbox(lambda data: use_cache(folder, data)) as sandbox:
        yield sandbox

"""HSNet's split lists: nothing in them is run or opened, and what is read is there."""

import io
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import changed, damaged
from sandbox import Sandbox, inputs

from mmssp.datasets.split_files import match_images, read_split_file

LISTS = {
    0: ['2007_000032.jpg', 'val2014/2007_000033.jpg'],
    1: ['2007_000032.jpg'],
    7: ['b/c/2007_000039.jpg', '2007_000042.png'],
}
TEXT = b'2007_000032__01\n2007_000033__01\n\n2007_000032__02\na__b__08\n'
IMAGES = ['/data/2007_000032.jpg', '/data/2007_000033.jpg', '/data/a__b.jpg']


class Names(pickle.Unpickler):
    """An independent reader, which can import nothing."""

    def find_class(self, module: str, name: str) -> None:
        raise pickle.UnpicklingError(f'{module}.{name}')


def read(folder: Path, data: bytes, suffix: str) -> None:
    path = folder / f'list{suffix}'
    path.write_bytes(data)
    before = sorted(folder.iterdir())
    pairs = read_split_file(path)
    assert pairs
    assert all(isinstance(name, str) and name for name, _ in pairs)
    assert all('/' not in name and '\\' not in name for name, _ in pairs)
    assert all(type(label) is int and label >= 1 for _, label in pairs)
    assert sorted(folder.iterdir()) == before
    if suffix == '.pkl':
        lists = Names(io.BytesIO(data), encoding='utf-8').load()
        assert [label for _, label in pairs] == [
            label + 1 for label, paths in lists.items() for _ in paths
        ]
        paths = [path for paths in lists.values() for path in paths]
    else:
        lines = data.decode('utf-8-sig').split('\n')
        paths = [line for line in lines if line.strip()]
        assert [label for _, label in pairs] == [
            int(line.strip().rpartition('__')[2]) for line in paths
        ]
    for path, (name, _) in zip(paths, pairs, strict=True):
        assert name in path
    positions = match_images([name for name, _ in pairs], IMAGES, str(path))
    for (name, _), position in zip(pairs, positions, strict=True):
        assert f'/{name}.' in IMAGES[position]


@inputs(250)
@given(data=damaged(TEXT))
def test_damaged_text(data, reading):
    reading(data, '.txt')


@inputs(300)
@given(data=st.data(), protocol=st.integers(0, 5))
def test_damaged_pickles(data, protocol, reading):
    reading(data.draw(damaged(pickle.dumps(LISTS, protocol))), '.pkl')


@inputs(200)
@given(data=st.data(), protocol=st.integers(0, 5))
def test_pickles_of_other_content(data, protocol, reading):
    tree = data.draw(changed(LISTS))
    refused = reading(pickle.dumps(tree, protocol), '.pkl')
    whole = isinstance(tree, dict) and all(
        type(label) is int
        and isinstance(paths, list)
        and all(isinstance(path, str) for path in paths)
        for label, paths in tree.items()
    )
    assert whole or refused is not None


OPCODES = [opcode.code.encode('latin-1') for opcode in pickletools.opcodes]


@inputs(300)
@given(
    parts=st.lists(
        st.one_of(
            st.sampled_from(OPCODES),
            st.sampled_from(
                (b'cos\nsystem\n', b'(S"touch x"\n', b'K\x01', b'X\x01\0\0\0a')
            ),
            st.binary(max_size=4),
        ),
        max_size=25,
    )
)
def test_programs_of_random_opcodes(parts, reading):
    reading(b'\x80\x04' + b''.join(parts) + b'.', '.pkl')


NAMES = st.sampled_from(
    (
        '../../etc/passwd',
        '/etc/passwd',
        'C:\\Windows\\x.jpg',
        '..\\..\\x.jpg',
        '\x00.jpg',
        '..',
        '.',
        '/',
        '\\',
        '.jpg',
        'a' * 100_000,
        '\ud800.jpg',
    )
)


@inputs(60)
@given(name=NAMES, suffix=st.sampled_from(('.txt', '.pkl')))
def test_strange_names_are_of_no_image(name, suffix, reading):
    data = pickle.dumps({0: [name]})
    if suffix == '.txt':
        data = f'{name}__01\n'.encode('utf-8', 'surrogatepass')
    assert reading(data, suffix) is not None


@pytest.mark.parametrize('suffix', ['.txt', '.pkl'])
def test_names_are_compared_and_never_opened(tmp_path, reading, suffix):
    # whoever opened this would wait for a writer, and fail by the deadline
    os.mkfifo(tmp_path / '2007_000032.jpg')
    name = str(tmp_path / '2007_000032.jpg')
    data = pickle.dumps({0: [name]}) if suffix == '.pkl' else f'{name}__01\n'.encode()
    assert reading(data, suffix) is None


def test_a_link_to_something_else_is_read_as_a_list_or_refused(tmp_path):
    (tmp_path / 'list.txt').symlink_to('/etc/passwd')
    with pytest.raises(ValueError, match='line 1'):
        read_split_file(tmp_path / 'list.txt')
    (tmp_path / 'device.txt').symlink_to('/dev/zero')
    with pytest.raises(ValueError, match='no regular file'):
        read_split_file(tmp_path / 'device.txt')


def bomb(levels: int) -> bytes:
    """Lists of lists of lists, ten of the one below in each."""
    lists: list = ['a.jpg']
    for _ in range(levels):
        lists = [lists] * 10
    return pickle.dumps({0: lists})


@pytest.mark.parametrize(
    'data',
    [
        bomb(30),
        pickle.dumps(dict.fromkeys(range(30_000), ['a'] * 30_000)),
        b'\x80\x04' + b'(' * 10**6 + b'.',
        b'\x80\x04}K\x00]' + b'\x94' * 10 + b'r\xff\xff\xff\x7f' + b's.',
        b'\x80\x04\x8e' + (2**60).to_bytes(8, 'little') + b'.',
        b'\x80\x04\x8b' + (2**31 - 1).to_bytes(4, 'little') + b'.',
        pickle.dumps({0: [['a'] * 10**5] * 1000}),
    ],
    ids=['nested', 'pairs', 'marks', 'memo', 'long-bytes', 'long-number', 'repeated'],
)
def test_bombs_are_refused(data, parsing):
    assert parsing(data) is not None


def test_a_list_of_the_right_images_is_read(reading):
    lists = {0: ['x/2007_000032.jpg'], 3: ['2007_000033.jpg', '2007_000032.jpg']}
    assert reading(pickle.dumps(lists), '.pkl') is None
    np.testing.assert_array_equal(match_images(['a__b'], IMAGES, 'here'), [2])


def parse(folder: Path, data: bytes) -> None:
    (folder / 'list.pkl').write_bytes(data)
    read_split_file(folder / 'list.pkl')


@pytest.fixture(scope='module')
def parsing(tmp_path_factory):
    folder = tmp_path_factory.mktemp('split')
    with Sandbox(lambda *args: parse(folder, *args)) as sandbox:
        yield sandbox


@pytest.fixture(scope='module')
def reading(tmp_path_factory):
    folder = tmp_path_factory.mktemp('split')
    with Sandbox(lambda *args: read(folder, *args)) as sandbox:
        yield sandbox

"""HSNet's split lists: every kind that users have, and none that would run code."""

import collections
import io
import os
import pickle

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmssp.datasets import split_pickles
from mmssp.datasets.split_files import match_images, read_split_file

PATH = 'val2014/COCO_val2014_000000000042.jpg'
NAME = 'COCO_val2014_000000000042'


@pytest.fixture
def write(tmp_path):
    """Writes a file and gives its path; text as UTF-8, objects as pickles."""

    def write(name: str, content: object, protocol: int = 2) -> str:
        if name.endswith('.pkl') and not isinstance(content, bytes):
            content = pickle.dumps(content, protocol=protocol)
        elif isinstance(content, str):
            content = content.encode()
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """One folder for many examples of a property."""
    return tmp_path_factory.mktemp('lists')


# --- text


def test_lines_are_read_in_their_order(write):
    path = write('fold0.txt', '2007_000033__01\n2007_000061__04\n2007_000033__20\n')
    assert read_split_file(path) == [
        ('2007_000033', 1),
        ('2007_000061', 4),
        ('2007_000033', 20),
    ]


def test_blank_lines_line_ends_and_a_byte_order_mark_do_not_matter(write):
    path = write('fold0.txt', b'\xef\xbb\xbfa__01\r\n\r\n  \nb__02')
    assert read_split_file(path) == [('a', 1), ('b', 2)]


@pytest.mark.parametrize(
    ('line', 'pair'),
    [
        ('a__b__07', ('a__b', 7)),
        ('a____07', ('a__', 7)),
        ('a__01 b__02', ('a__01 b', 2)),
        ('JPEGImages/a.JPG__07', ('a', 7)),
        ('..\\..\\etc/a.png__07', ('a', 7)),
        ('2008.000123__07', ('2008.000123', 7)),
        ('ü ß__07', ('ü ß', 7)),
        ('a__920', ('a', 920)),
    ],
)
def test_a_line_is_split_at_its_last_underscores(write, line, pair):
    assert read_split_file(write('a.txt', line)) == [pair]


@pytest.mark.parametrize(
    'line',
    ['a', 'a_01', '__01', 'a__', 'a__00', 'a__-1', 'a__1.0', 'a__1234567', 'a__٣']
    + ['.jpg__01', 'folder/__01', b'\xff__01'],
)
def test_an_odd_line_is_named_with_its_number(write, line):
    line = line if isinstance(line, bytes) else line.encode()
    path = write('a.txt', b'a__01\n\n' + line + b'\nb__02\n')
    with pytest.raises(
        ValueError, match="a.txt, line 3: .*expected '<image>__<class>'"
    ):
        read_split_file(path)


# --- pickles


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_read_in_its_order(write, protocol):
    lists = {7: [PATH, 'b.x/ü.v2.png'], 3: ['a', PATH], 5: []}
    assert read_split_file(write('fold0.pkl', lists, protocol)) == [
        (NAME, 8),
        ('ü.v2', 8),
        ('a', 4),
        (NAME, 4),
    ]


@pytest.mark.parametrize(
    'data',
    [
        # what Python 2.7's pickle and cPickle write for {0: ['v/a.jpg'], 61: [u'v/b.jpg']}
        b"(dp0\nI0\n(lp1\nS'v/a.jpg'\np2\nasI61\n(lp3\nVv/b.jpg\np4\nas.",
        b"(dp1\nI0\n(lp2\nS'v/a.jpg'\np3\nasI61\n(lp4\nVv/b.jpg\np5\nas.",
        b'}q\x00(K\x00]q\x01U\x07v/a.jpgq\x02aK=]q\x03X\x07\x00\x00\x00v/b.jpgq\x04au.',
        b'\x80\x02}q\x01(K\x00]q\x02U\x07v/a.jpgaK=]q\x03X\x07\x00\x00\x00v/b.jpgau.',
    ],
    ids=['pickle 0', 'cPickle 0', 'pickle 1', 'cPickle 2'],
)
def test_python_2s_pickles_are_read(write, data):
    assert read_split_file(write('a.pkl', data)) == [('a', 1), ('b', 62)]


def test_strings_of_python_2_are_utf_8(write):
    data = b'\x80\x02}K\x00]U\x06\xc3\xbc.jpga' + b's.'
    assert read_split_file(write('a.pkl', data)) == [('ü', 1)]


def test_a_path_leads_nowhere(write):
    path = write('a.pkl', {0: ['../../../etc/passwd', '/etc/shadow', 'C:\\x\\y.jpg']})
    assert [name for name, _ in read_split_file(path)] == ['passwd', 'shadow', 'y']


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


class Saved(pickle.Pickler):
    """Gives paths persistent ids."""

    def persistent_id(self, value):
        return 'id' if value == PATH else None


def touch(path) -> str:
    """Python code that makes a file."""
    return f'open({str(path)!r}, "w").close()'


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    'where', ['alone', 'as a key', 'as a list', 'as a path', 'late']
)
@pytest.mark.parametrize('kind', ['eval', 'exec', 'system'])
def test_a_pickle_that_runs_code_is_refused_and_not_run(
    write, tmp_path, protocol, where, kind
):
    marker = tmp_path / 'was_run'
    call = {
        'eval': Call(eval, touch(marker)),
        'exec': Call(exec, touch(marker)),
        'system': Call(os.system, f': > "{marker}"'),
    }[kind]
    content = {
        'alone': call,
        'as a key': {call: [PATH]},
        'as a list': {0: call},
        'as a path': {0: [PATH, call]},
        'late': {c: [PATH] * 50 for c in range(20)} | {20: [call]},
    }[where]
    data = pickle.dumps(content, protocol=protocol)
    pickle.loads(data)  # it does do harm where it may
    marker.unlink()
    with pytest.raises(
        ValueError, match='a.pkl: the pickle asks for .*nothing of it was run'
    ):
        read_split_file(write('a.pkl', data))
    assert not marker.exists()


@pytest.mark.parametrize(
    'data',
    [
        b"(S\"open('{0}', 'w').close()\"\ni__builtin__\neval\n.",  # INST
        b"(c__builtin__\neval\nS\"open('{0}', 'w').close()\"\no.",  # OBJ
    ],
    ids=['INST', 'OBJ'],
)
def test_old_ways_to_call_are_refused_and_not_run(write, tmp_path, data):
    marker = tmp_path / 'was_run'
    data = data.replace(b'{0}', os.fsencode(marker))
    pickle.loads(data)
    marker.unlink()
    with pytest.raises(ValueError, match='asks for .*(INST|GLOBAL)'):
        read_split_file(write('a.pkl', data))
    assert not marker.exists()


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    'content',
    [
        {0: np.array([PATH])},
        {np.int64(0): [PATH]},
        {0: [np.str_(PATH)]},
        collections.defaultdict(list, {0: [PATH]}),
        collections.OrderedDict({0: [PATH]}),
    ],
    ids=['array', 'int64', 'str_', 'defaultdict', 'OrderedDict'],
)
def test_numpy_and_other_classes_are_refused_with_a_way_out(write, content, protocol):
    path = write('a.pkl', content, protocol)
    with pytest.raises(ValueError, match='asks for .*convert it'):
        read_split_file(path)


@pytest.mark.parametrize('protocol', [0, 2])
def test_persistent_ids_are_refused(write, protocol):
    stream = io.BytesIO()
    Saved(stream, protocol).dump({0: [PATH]})
    with pytest.raises(ValueError, match='asks for .*PERSID'):
        read_split_file(write('a.pkl', stream.getvalue()))


def test_nothing_is_imported_even_past_the_first_check(tmp_path, monkeypatch, write):
    marker = tmp_path / 'was_run'
    monkeypatch.setattr(split_pickles, '_look_through', lambda path, data: None)
    path = write('a.pkl', {0: [Call(eval, touch(marker))]})
    with pytest.raises(ValueError, match='eval is refused'):
        read_split_file(path)
    assert not marker.exists()
    with pytest.raises(ValueError, match='persistent id is refused'):
        read_split_file(write('b.pkl', b'Pid\n.'))


@pytest.mark.parametrize(
    ('content', 'found'),
    [
        ([PATH], 'a pickle of list'),
        (3, 'a pickle of int'),
        (PATH, 'a pickle of str'),
        ({'0': [PATH]}, "str '0' → list"),
        ({0: PATH}, 'int 0 → str'),
        ({0: {1: [PATH]}}, 'int 0 → dict'),
        ({-1: [PATH]}, 'class -1'),
        ({0: [PATH, 5]}, 'class 0, item 1 is a int, 5'),
        ({4: [[PATH]]}, 'class 4, item 0 is a list'),
        ({0: ['']}, "class 0, item 0 is a str, ''"),
        ({0: ['folder/']}, "class 0, item 0 is a str, 'folder/'"),
        ({10**7: [PATH]}, 'a number beyond'),
    ],
)
def test_another_structure_is_an_error_that_says_where(write, content, found):
    with pytest.raises(ValueError, match='a.pkl: .*expected') as error:
        read_split_file(write('a.pkl', content))
    assert found in str(error.value)


@pytest.mark.parametrize('protocol', [1, 2, 4])  # where True, float, ... have codes
@pytest.mark.parametrize(
    'content',
    [{True: [PATH]}, {0.0: [PATH]}, {None: [PATH]}, {0: (PATH,)}, {0: {PATH}}]
    + [{0: [PATH.encode()]}, {(0,): [PATH]}, {0: [PATH, None]}],
    ids=str,
)
def test_other_plain_types_are_errors(write, content, protocol):
    with pytest.raises(ValueError, match='a.pkl: .*[Ee]xpected a pickle of {class'):
        read_split_file(write('a.pkl', content, protocol))


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_truncated_pickle_is_an_error(write, protocol):
    data = pickle.dumps({0: [PATH, 'b'], 700: ['c', PATH]}, protocol=protocol)
    for end in range(len(data)):
        with pytest.raises(ValueError, match='truncated or damaged'):
            read_split_file(write('a.pkl', data[:end]))


@pytest.mark.parametrize(
    'data',
    [b'K\x00a.', b'}K\x00a.', b']]]s.', b'}]]s.', b'h\x05.', b'.', b'}K\x00e.'],
    ids=repr,
)
def test_a_pickle_that_makes_no_sense_is_an_error(write, data):
    with pytest.raises(ValueError, match='truncated or damaged'):
        read_split_file(write('a.pkl', data))


def tuple_tree() -> bytes:
    """A key whose hash takes 2^64 steps."""
    return b'\x80\x02})' + b'2\x86' * 64 + b']s.'


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (tuple_tree(), 'asks for .*EMPTY_TUPLE'),
        (b'\x80\x02}K\x00' + b']' * 10**5 + b'a' * (10**5 - 1) + b's.', 'is a list'),
        (b'\x80\x02}' + b'r\xff\xff\xff\x7f' + b'.', 'memo index 2147483647'),
        (b'}p-1\n.', 'memo index -1'),
        (b'\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.', 'damaged'),
        (b'\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f}.', 'damaged'),
        (b'}L' + b'9' * 10**5 + b'L\n]s.', 'number beyond|damaged'),
        (b'\x80\x02}]q\x00h\x00a.', 'a pickle of list|damaged'),
        (b'\x80\x02}K\x00]q\x00h\x00as.', 'class 0, item 0 is a list'),
    ],
    ids=['hash', 'depth', 'memo', 'negative memo', 'frame', 'string', 'digits']
    + ['itself', 'in itself'],
)
def test_a_pickle_made_to_exhaust_is_refused_at_once(write, data, message):
    with pytest.raises(ValueError, match=message):
        read_split_file(write('a.pkl', data))


def test_one_long_list_for_many_classes_is_refused_before_it_is_written_out(write):
    shared = ['a'] * 30_000
    path = write('a.pkl', dict.fromkeys(range(30_000), shared))
    assert os.path.getsize(path) < 10**6
    with pytest.raises(ValueError, match='more than 10000000 pairs.*raise max_pairs'):
        read_split_file(path)


def test_numbers_made_to_collide_are_refused(write):
    prime = 2**61 - 1  # the modulus of Python's hash
    numbers = b''.join(
        b'\x8a\x0a' + (i * prime).to_bytes(10, 'little') + b']' for i in range(30_000)
    )
    with pytest.raises(ValueError, match='a number beyond'):
        read_split_file(write('a.pkl', b'\x80\x02}(' + numbers + b'u.'))


# --- both


@pytest.mark.parametrize('name', ['a.csv', 'a', 'a.pkl.gz', 'a.json'])
def test_another_suffix_is_an_error(write, name):
    with pytest.raises(ValueError, match=r'suffix .*expected .txt or .pkl'):
        read_split_file(write(name, 'a__01'))


@pytest.mark.parametrize('name', ['a.txt', 'a.pkl'])
def test_a_missing_file_is_an_error(tmp_path, name):
    with pytest.raises(FileNotFoundError, match='does not exist .its folder exists'):
        read_split_file(tmp_path / name)
    with pytest.raises(FileNotFoundError, match='does not exist .its folder does not'):
        read_split_file(tmp_path / 'no' / name)


@pytest.mark.parametrize('name', ['a.txt', 'a.pkl'])
def test_a_folder_is_an_error(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match='is a folder'):
        read_split_file(tmp_path / name)


@pytest.mark.parametrize(
    ('name', 'content'),
    [('a.txt', ''), ('a.txt', '\n \n'), ('a.pkl', {}), ('a.pkl', {0: [], 1: []})],
)
def test_a_list_of_nothing_is_an_error(write, name, content):
    with pytest.raises(ValueError, match='names no image'):
        read_split_file(write(name, content))


@pytest.mark.parametrize(
    ('name', 'content'), [('a.TXT', 'a__01\nb__02'), ('a.pkl', {0: ['a'], 1: ['b']})]
)
def test_limits_hold_and_can_be_moved(write, name, content):
    path = write(name, content)
    size = os.path.getsize(path)
    assert read_split_file(path, max_bytes=size, max_pairs=2) == [('a', 1), ('b', 2)]
    with pytest.raises(ValueError, match=f'{size} bytes; expected .*{size - 1}'):
        read_split_file(path, max_bytes=size - 1)
    with pytest.raises(ValueError, match='more than 1 pairs'):
        read_split_file(path, max_pairs=1)


NAMES = st.text(
    st.characters(exclude_characters='/\\.\n', exclude_categories=['Cs']), min_size=1
).filter(lambda name: name == name.strip())


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, st.integers(1, 99)), min_size=1))
def test_whatever_pairs_are_written_as_text_are_read(folder, pairs):
    path = folder / 'pairs.txt'
    # a name at the file's beginning can't begin with what is a byte order mark there
    lines = ['']
    lines += [f'{name}__{label:02d}' for name, label in pairs]
    path.write_text('\n'.join(lines), encoding='utf-8', newline='')
    assert read_split_file(path) == pairs


@settings(deadline=None)
@given(
    st.dictionaries(st.integers(0, 10**6), st.lists(NAMES)).filter(
        lambda lists: any(lists.values())
    ),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
)
def test_whatever_lists_are_pickled_are_read(folder, lists, protocol):
    path = folder / 'lists.pkl'
    paths = {c: [f'x/{name}.jpg' for name in names] for c, names in lists.items()}
    path.write_bytes(pickle.dumps(paths, protocol=protocol))
    expected = [(name, c + 1) for c, names in lists.items() for name in names]
    assert read_split_file(path) == expected


OPCODES = st.sampled_from(
    [bytes([code]) for code in b'(.0123FGIJKLMNPQRSTUVX]abcdeghijlopqrstu}']
)
PICKLES = st.lists(OPCODES | st.binary(max_size=3) | st.just(b'a\n')).map(b''.join)


@settings(deadline=None, max_examples=300)
@given(st.binary() | PICKLES, st.sampled_from(['.txt', '.pkl']))
@example(b'}K\x00]U\x01aas.', '.pkl')
@example(b'a__01', '.txt')
def test_any_bytes_are_read_rightly_or_refused(folder, data, suffix):
    path = folder / f'random{suffix}'
    path.write_bytes(data)
    try:
        pairs = read_split_file(path)
    except ValueError as error:
        assert str(path) in str(error)
        return
    if suffix == '.pkl':
        # harmless by now: the plain way must give the same
        lists = pickle.loads(data, encoding='utf-8')
        assert [c + 1 for c, paths in lists.items() for _ in paths] == [
            label for _, label in pairs
        ]
    else:
        lines = [line for line in data.decode('utf-8-sig').split('\n') if line.strip()]
        assert [int(line.strip().rpartition('__')[2]) for line in lines] == [
            label for _, label in pairs
        ]
    assert all(name and '/' not in name for name, _ in pairs)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_damaged_pickle_is_read_or_refused(folder, data):
    content = bytearray(
        pickle.dumps({0: [PATH, 'b.jpg'], 700: ['c.jpg', PATH]}, protocol=2)
    )
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path = folder / 'damaged.pkl'
    path.write_bytes(content)
    try:
        pairs = read_split_file(path)
    except ValueError:
        return
    assert pairs and all(type(c) is int and c >= 1 and name for name, c in pairs)


# --- matching


def test_images_are_found_by_their_names():
    paths = ['d/a.jpg', 'd/b.v2.png', 'e/c.jpg']
    positions = match_images(['c', 'a', 'b.v2', 'c'], paths, 'fold0.txt')
    assert positions.dtype == np.int64
    assert positions.tolist() == [2, 0, 1, 2]


def test_no_names_are_no_positions():
    assert match_images([], ['a.jpg'], '').shape == (0,)
    assert match_images([], [], '').dtype == np.int64


def test_missing_images_are_counted_and_ten_of_them_named():
    names = [f'n{i:02d}' for i in range(12)]
    with pytest.raises(ValueError) as error:
        match_images([*names, 'a', 'n00'], ['d/a.jpg', 'd/b.jpg'], 'lists/fold0.txt')
    message = str(error.value)
    assert message.startswith(
        "lists/fold0.txt: 12 of 13 images are not in the data set, which has 2, e.g. 'a': "
    )
    assert ', '.join(names[:10]) + ', ...' in message and 'n10' not in message


def test_all_are_missing_from_an_empty_data_set():
    with pytest.raises(ValueError, match='1 of 1 images .*which has 0: a. Check'):
        match_images(['a'], [], 'fold0.txt')


def test_a_name_that_two_images_have_is_an_error_if_asked_for():
    paths = ['train/a.jpg', 'val/a.png', 'train/b.jpg', 'val/a.jpg']
    assert match_images(['b'], paths, 'fold0.txt').tolist() == [2]
    with pytest.raises(ValueError, match='1 of 2 .*: train/a.jpg and val/a.png. Leave'):
        match_images(['b', 'a'], paths, 'fold0.txt')


def test_names_of_a_list_are_found_where_paths_have_another_separator():
    assert match_images(['a'], ['C:\\data\\b.jpg', 'C:\\data\\a.jpg'], '').tolist() == [
        1
    ]

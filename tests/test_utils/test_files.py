"""Files that appear whole or not at all, and where caches live."""

import os
import stat
from pathlib import Path

import pytest

from mmssp.utils.files import atomic_path, cache_root, check_writable


@pytest.fixture
def homeless(monkeypatch):
    """A user without HOME and without an entry that names one."""
    for name in ('HOME', 'MMSSP_CACHE', 'XDG_CACHE_HOME'):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int):
        raise KeyError(f'getpwuid(): uid not found: {uid}')

    monkeypatch.setattr('pwd.getpwuid', unknown)


def test_what_was_written_appears_under_the_name_and_nothing_else(tmp_path):
    with atomic_path(tmp_path / 'a.txt') as temporary:
        temporary.write_text('new')
    assert (tmp_path / 'a.txt').read_text() == 'new'
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


def test_nothing_appears_before_the_end(tmp_path):
    with atomic_path(tmp_path / 'a.txt') as temporary:
        temporary.write_text('half')
        assert not (tmp_path / 'a.txt').exists()


def test_an_old_file_is_replaced(tmp_path):
    (tmp_path / 'a.txt').write_text('old')
    with atomic_path(tmp_path / 'a.txt') as temporary:
        temporary.write_text('new')
        assert (tmp_path / 'a.txt').read_text() == 'old'
    assert (tmp_path / 'a.txt').read_text() == 'new'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_the_old_file_is_as_it_was(tmp_path, error):
    (tmp_path / 'a.txt').write_text('old')
    with pytest.raises(error), atomic_path(tmp_path / 'a.txt') as temporary:
        temporary.write_text('half')
        raise error
    assert (tmp_path / 'a.txt').read_text() == 'old'
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


def test_the_temporary_file_has_the_same_folder_and_suffix(tmp_path):
    # np.savez and Image.save go by the suffix; a rename needs the same file system.
    with atomic_path(tmp_path / 'a.npz') as temporary:
        assert temporary.suffix == '.npz'
        assert temporary.parent == tmp_path


def test_missing_folders_are_made(tmp_path):
    with atomic_path(tmp_path / 'b' / 'c' / 'a.txt') as temporary:
        temporary.write_text('new')
    assert (tmp_path / 'b' / 'c' / 'a.txt').exists()


def test_path_may_be_a_string(tmp_path):
    with atomic_path(str(tmp_path / 'a.txt')) as temporary:
        temporary.write_text('new')
    assert (tmp_path / 'a.txt').exists()


@pytest.mark.skipif(os.name != 'posix', reason='file modes are of POSIX')
def test_the_file_has_the_mode_that_the_user_gives_to_files(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_path(tmp_path / 'a.txt') as temporary:
            temporary.write_text('new')
        assert stat.S_IMODE((tmp_path / 'a.txt').stat().st_mode) == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_cache_root_is_the_variable_if_set(monkeypatch):
    monkeypatch.setenv('MMSSP_CACHE', '/some/where')
    monkeypatch.setenv('XDG_CACHE_HOME', '/else/where')
    assert cache_root() == Path('/some/where')


def test_cache_root_is_in_the_users_cache_folder_otherwise(monkeypatch):
    monkeypatch.delenv('MMSSP_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', '/else/where')
    assert cache_root() == Path('/else/where/mmssp')


def test_cache_root_is_below_home_without_any_variable(monkeypatch):
    monkeypatch.delenv('MMSSP_CACHE')
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    assert cache_root() == Path.home() / '.cache/mmssp'


@pytest.mark.parametrize('variable', ['XDG_CACHE_HOME', 'MMSSP_CACHE'])
def test_a_tilde_in_a_variable_is_the_home(monkeypatch, tmp_path, variable):
    for name in ('XDG_CACHE_HOME', 'MMSSP_CACHE'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv(variable, '~/x')
    own = 'x/mmssp' if variable == 'XDG_CACHE_HOME' else 'x'
    assert cache_root() == tmp_path / own


@pytest.mark.parametrize('given', ['', '~/x'])
def test_without_a_home_caches_go_to_a_temporary_folder(monkeypatch, homeless, given):
    monkeypatch.setenv('XDG_CACHE_HOME', given)
    with pytest.warns(UserWarning, match='MMSSP_CACHE'):
        assert cache_root().name.startswith('mmssp_cache_')


@pytest.mark.parametrize(
    'name',
    ['a' * 251 + '.png', '部' * 82 + '.png', 'é' * 125 + '.json', '.' + 'x' * 254],
)
def test_the_longest_legal_names_can_be_written(tmp_path, name):
    check_writable(tmp_path / name)
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text('new')
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path):
    with pytest.raises(OSError, match='File name too long'):
        check_writable(tmp_path / ('a' * 256))
    with pytest.raises(OSError), atomic_path(tmp_path / ('a' * 256)):
        pytest.fail('the work began')


@pytest.mark.parametrize(
    'error', [PermissionError(1, 'no'), OSError(95, 'no'), NotImplementedError()]
)
@pytest.mark.parametrize('durable', [False, True])
def test_mounts_without_modes_get_their_files(tmp_path, monkeypatch, error, durable):
    def refuse(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(Path, 'chmod', refuse)
    monkeypatch.setattr(os, 'chmod', refuse)
    with atomic_path(tmp_path / 'a.txt', durable=durable) as temporary:
        temporary.write_text('new')
    assert (tmp_path / 'a.txt').read_text() == 'new'


def test_mounts_that_refuse_to_flush_a_folder_get_their_files(tmp_path, monkeypatch):
    real = os.fsync

    def refuse_folders(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(22, 'Invalid argument')
        real(handle)

    monkeypatch.setattr(os, 'fsync', refuse_folders)
    with atomic_path(tmp_path / 'a.txt', durable=True) as temporary:
        temporary.write_text('new')
    assert (tmp_path / 'a.txt').read_text() == 'new'

"""Paths that other systems and programs wrote, and a home that is named or missing."""

import unicodedata
from pathlib import Path

import pytest

from mmssp.apis.support.support_files import find_support
from mmssp.utils import files
from mmssp.utils.files import cache_root, found_path


@pytest.mark.parametrize(
    ('stored', 'written'),
    [
        ('images/a.jpg', r'images\a.jpg'),
        ('a/b/c.jpg', r'a\b/c.jpg'),
        ('a.jpg', r'.\a.jpg'),
        (r'odd\name.jpg', r'odd\name.jpg'),
        (
            unicodedata.normalize('NFC', 'café.jpg'),
            unicodedata.normalize('NFD', 'café.jpg'),
        ),
        (
            unicodedata.normalize('NFD', 'ガ.jpg'),
            unicodedata.normalize('NFC', 'ガ.jpg'),
        ),
        (
            unicodedata.normalize('NFD', 'é/a.jpg'),
            unicodedata.normalize('NFC', 'é\\a.jpg'),
        ),
    ],
)
def test_a_file_is_found_however_its_path_is_written(tmp_path, stored, written):
    (tmp_path / stored).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / stored).touch()
    assert found_path(tmp_path, written).samefile(tmp_path / stored)


def test_what_is_not_there_is_named_as_it_would_be_here(tmp_path):
    assert found_path(tmp_path, r'images\a.jpg') == tmp_path / 'images/a.jpg'


SHAPES = '[{"label": "disc", "points": [[1, 1], [9, 1], [9, 9]]}]'
LABELME = f'{{"imagePath": %s, "shapes": {SHAPES}}}'


@pytest.mark.parametrize(
    ('name', 'outside'),
    [
        (r'"sub\\a.jpg"', False),
        (r'"..\\images\\a.jpg"', True),
        (r'"..\\images/a.jpg"', True),
    ],
)
def test_labelme_files_of_windows_find_their_images(tmp_path, name, outside):
    for folder in ('images', 'json/sub'):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / 'a.jpg').touch()
    path = tmp_path / 'json/a.json'
    path.write_text(LABELME % name)
    (own,) = find_support(path, allow_outside=outside)
    assert own.images[0].is_file()
    if outside:
        with pytest.raises(ValueError, match='--allow-outside'):
            find_support(path)


@pytest.mark.parametrize('name', ['~/cache', '~', '~/a/../b'])
def test_a_tilde_in_the_variable_is_the_home(monkeypatch, tmp_path, name):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('MMSSP_CACHE', name)
    assert cache_root() == Path(str(tmp_path) + name[1:])


def refuse(*_args, **_kwargs):
    raise RuntimeError('could not determine the home directory')


@pytest.mark.parametrize(
    'found',
    [refuse, lambda *_a, **_k: Path('~/.cache/mmssp'), lambda *_a, **_k: Path('x')],
)
def test_without_a_home_caches_are_temporary_with_a_warning(
    monkeypatch, tmp_path, found
):
    monkeypatch.delenv('MMSSP_CACHE')
    monkeypatch.setattr(files, 'user_cache_path', found)
    monkeypatch.setattr(files.tempfile, 'gettempdir', lambda: str(tmp_path))
    monkeypatch.setattr(Path, 'expanduser', lambda self: self)
    with pytest.warns(UserWarning, match='no home.*MMSSP_CACHE'):
        assert cache_root().parent == tmp_path

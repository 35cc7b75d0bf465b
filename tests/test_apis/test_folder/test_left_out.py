"""Pictures of any format are read, or named."""

import os

import numpy as np
import pytest
from PIL import Image

from mmssp.apis.folder.inputs import list_inputs
from mmssp.apis.images import read_any_image
from mmssp.utils.image_formats import unread_format

PHOTO = Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
).resize((64, 48))
HEIC = b'\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic' + bytes(range(200))


@pytest.fixture
def photos(tmp_path):
    (tmp_path / 'photos').mkdir()
    PHOTO.save(tmp_path / 'photos/plain.jpg')
    return tmp_path / 'photos'


def names(*args):
    return [item.name for item in list_inputs(*args)]


@pytest.mark.parametrize(
    ('suffix', 'kind'),
    [('jfif', 'JPEG'), ('JPE', 'JPEG'), ('jp2', 'JPEG2000'), ('gif', 'GIF'),
     ('ppm', 'PPM'), ('tga', 'TGA'), ('avif', 'AVIF'), ('mpo', 'JPEG')],
)  # fmt: skip
def test_what_pillow_reads_is_found_and_read(photos, suffix, kind):
    if kind not in Image.SAVE and Image.init() and kind not in Image.SAVE:
        pytest.skip(f'Pillow without {kind}')
    PHOTO.save(photos / f'one.{suffix}', format=kind)
    assert names(photos) == [f'one.{suffix}', 'plain.jpg']
    read = read_any_image(photos / f'one.{suffix}').astype(int)
    assert np.abs(read - np.asarray(PHOTO)).mean() < 30


def test_linked_folders_are_searched_and_links_in_a_circle_end(photos, tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    PHOTO.save(tmp_path / 'elsewhere/far.jpg')
    os.symlink(tmp_path / 'elsewhere', photos / 'linked')
    os.symlink(photos, tmp_path / 'elsewhere/back')
    os.symlink(photos, photos / 'myself')
    assert names(photos) == ['linked/far.jpg', 'plain.jpg']


@pytest.mark.parametrize('suffix', ['tif', 'gif', 'webp'])
def test_further_pages_are_counted_and_named(photos, capsys, suffix):
    pages = [PHOTO.rotate(angle) for angle in (0, 90, 180)]
    pages[0].save(photos / f'stack.{suffix}', save_all=True, append_images=pages[1:])
    names(photos)
    assert f'stack.{suffix} (3 pages)' in capsys.readouterr().err


def test_pictures_that_are_not_looked_for_are_counted_and_named(photos, capsys):
    for i in range(7):
        (photos / f'raw{i}.CR2').touch()
    (photos / 'notes.txt').touch()
    assert names(photos) == ['plain.jpg']
    said = capsys.readouterr().err
    assert '7 picture(s)' in said and 'raw0.CR2' in said and '2 more' in said
    assert 'notes' not in said


def test_nothing_is_said_where_nothing_is_left_out(photos, capsys):
    names(photos)
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('name', ['IMG_1.HEIC', 'IMG_2.jpg', 'IMG_3.png'])
def test_heic_is_no_damage_whatever_its_name(photos, name, monkeypatch):
    monkeypatch.delitem(Image.OPEN, 'HEIF', raising=False)
    (photos / name).write_bytes(HEIC)
    assert name in names(photos)
    with pytest.raises(ValueError, match='not damaged, but HEIC.*pillow-heif'):
        read_any_image(photos / name)


@pytest.mark.parametrize(
    ('head', 'word'),
    [
        (b'\xff\x0a', 'JPEG XL'),
        (b'8BPS\0\1', 'Photoshop'),
        (b'<!DOCTYPE html>', 'HTML'),
        (b'version https://git-lfs.github.com', 'Git LFS'),
        (b'II*\0', 'TIFF'),
        (b'\0\0\0\x20ftypisom', 'video'),
    ],
)
def test_other_formats_are_called_by_their_name(photos, head, word):
    assert word in unread_format(head)
    assert 'header is damaged' not in unread_format(head)
    (photos / 'a.jpg').write_bytes(head + b'\xf0' * 300)
    with pytest.raises(ValueError, match=word):
        read_any_image(photos / 'a.jpg')


def test_noise_is_called_damaged():
    assert 'damaged' in unread_format(b'\x01\x02noise')
    assert 'not damaged' not in unread_format(b'\x01\x02noise')

"""A photo that comes twice is never query and support of one episode."""

import os
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from mmssp.datasets import EpisodicDataset
from mmssp.datasets.same_photos import photo_numbers

COPY = {
    'copy': shutil.copy,
    'link': os.symlink,
    'hard link': os.link,
}


@pytest.fixture
def root(tmp_path):
    """Four photos, each with its mask; all of them of one size on the disk."""
    rng = np.random.default_rng(0)
    for kind in ('images', 'masks'):
        (tmp_path / kind).mkdir()
    for i in range(4):
        pixels = rng.integers(0, 256, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'images/{i}.bmp')
        mask = np.zeros((24, 32), np.uint8)
        mask[4:16, 4:16] = 1
        Image.fromarray(mask).save(tmp_path / f'masks/{i}.png')
    return tmp_path


def add(root, how, number, name):
    COPY[how](root / f'images/{number}.bmp', root / f'images/{name}.bmp')
    shutil.copy(root / f'masks/{number}.png', root / f'masks/{name}.png')


def episodes(root, shots=1, sampling='images', ann_file='', **metainfo):
    return EpisodicDataset(
        dict(
            type='BaseSegDataset',
            data_root=str(root),
            data_prefix=dict(img_path='images', seg_map_path='masks'),
            img_suffix='.bmp',
            ann_file=ann_file,
            metainfo=dict(classes=('background', 'disc'), **metainfo),
        ),
        [dict(type='LoadImage'), dict(type='LoadMask')],
        shots=shots,
        sampling=sampling,
        min_pixels=10,
        num_episodes=200,
        seed=0,
        workers=1,
    )


def pairs(data):
    drawn = [data.episode(i) for i in range(200)]
    names = [
        data.dataset.get_data_info(i)['img_path'] for i in range(len(data.dataset))
    ]
    return [(names[e.query], [names[i] for i in e.supports]) for e in drawn]


def content(path):
    with open(path, 'rb') as file:
        return file.read()


@pytest.mark.parametrize(
    'sampling', ['images', 'in_order', 'hsnet_pairs', 'hsnet_classes']
)
@pytest.mark.parametrize('how', COPY)
def test_the_query_is_none_of_its_supports_under_another_name(root, how, sampling):
    for i in range(3):
        add(root, how, i, f'other_{i}')
    with pytest.warns(UserWarning, match='3 of 7 images are a photo'):
        data = episodes(root, sampling=sampling)
    for query, supports in pairs(data):
        assert content(query) not in [content(path) for path in supports]


def test_no_photo_is_a_support_twice(root):
    for i in range(4):
        add(root, 'copy', i, f'other_{i}')
    with pytest.warns(UserWarning, match='no episode takes one'):
        data = episodes(root, shots=3)
    for query, supports in pairs(data):
        assert len({content(path) for path in [query, *supports]}) == 4


def test_copies_do_not_count_as_images_of_a_class(root):
    for i in range(4):
        add(root, 'copy', i, f'other_{i}')
    with pytest.raises(ValueError, match=r'disc \(4\)'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        episodes(root, shots=4)


def test_an_image_listed_twice_is_one(root):
    (root / 'list.txt').write_text('0\n1\n0\n2\n0\n')
    data = episodes(root, ann_file='list.txt')
    assert photo_numbers(data.dataset).tolist() == [0, 1, 0, 3, 0]
    assert all(query not in supports for query, supports in pairs(data))


def test_different_photos_stay_as_they_are(root):
    data = episodes(root)
    np.testing.assert_array_equal(photo_numbers(data.dataset), np.arange(4))


def test_files_that_differ_at_the_end_only_are_different_photos(root):
    pixels = np.array(Image.open(root / 'images/0.bmp').resize((320, 240)))
    for name in ('0', '1'):
        Image.fromarray(pixels).save(root / f'images/{name}.bmp')
        pixels[0, 0] ^= 1
        mask = np.zeros((240, 320), np.uint8)
        mask[:9, :9] = 1
        Image.fromarray(mask).save(root / f'masks/{name}.png')
    np.testing.assert_array_equal(photo_numbers(episodes(root).dataset), np.arange(4))


def test_episodes_of_the_published_benchmarks_stay_those_of_the_papers(root):
    add(root, 'copy', 0, 'other')
    data = episodes(root, benchmark='pascal5i')
    np.testing.assert_array_equal(photo_numbers(data.dataset), np.arange(5))

"""Classes as people name them, and masks of 0 and 255."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from mmssp.datasets import EpisodicDataset
from mmssp.datasets.class_names import checked_names, is_background
from mmssp.runtime.checkpoints import _trained_on


@pytest.fixture
def build(tmp_path):
    """Episodes of eight images; image i has a square of the value that is given."""
    rng = np.random.default_rng(0)

    def make(classes, value):
        for kind in ('images', 'masks'):
            (tmp_path / kind).mkdir(exist_ok=True)
        for i in range(8):
            pixels = rng.integers(0, 256, (24, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / f'images/{i}.jpg')
            mask = np.zeros((24, 32), np.uint8)
            mask[4:16, 4:16] = value(i)
            Image.fromarray(mask).save(tmp_path / f'masks/{i}.png')
        return EpisodicDataset(
            dict(
                type='BaseSegDataset',
                data_root=str(tmp_path),
                data_prefix=dict(img_path='images', seg_map_path='masks'),
                metainfo=dict(classes=classes),
            ),
            [dict(type='LoadImage'), dict(type='LoadMask')],
            min_pixels=10,
            num_episodes=40,
            seed=0,
            workers=1,
        )

    return make


def one_or_two(i: int) -> int:
    return 1 + i % 2


@pytest.mark.parametrize(
    'name',
    [
        'background',
        'Background',
        '_background_',
        '__background__',
        'BACKGROUND ',
        '-background-',
    ],
)
def test_the_background_is_no_class_however_it_is_written(build, name):
    data = build((name, 'disc', 'ring'), one_or_two)
    targets = Counter(data.class_names[data.class_id(i)] for i in range(40))
    assert set(targets) == {'disc', 'ring'}


@pytest.mark.parametrize('name', ['bg', 'void', 'Unlabeled', '_ignore_'])
def test_there_is_a_word_about_what_may_stand_for_the_background(build, name):
    with pytest.warns(UserWarning, match=rf'{name}.*background_classes='):
        build((name, 'disc', 'ring'), one_or_two)


def test_a_name_that_holds_the_word_is_a_class():
    assert not is_background('background noise', ('background',))
    assert is_background('Table', ('background', 'table'))


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        ('disc', r"\('disc',\)"),
        ((0, 1, 2), r'\(0, 1, 2\).*texts'),
        (('background', None), 'None'),
        (['background', 1.5], '1.5'),
        ({'background': 0, 'disc': 1}, 'a list of names'),
        (('background', 'disc', 'disc'), r"\['disc'\] more than once"),
        (('background', 'caf\u00e9', 'cafe\u0301'), 'more than once'),
        ((), 'names no classes'),
        (None, 'names no classes'),
    ],
)
def test_what_is_no_list_of_names_is_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        checked_names(classes, 'OwnDataset')


@pytest.mark.parametrize(
    'classes', [('disc'), (0, 1, 2), ('background', 'disc', 'disc')]
)
def test_a_data_set_with_such_classes_is_refused(build, classes):
    with pytest.raises(ValueError, match=r'BaseSegDataset.*classes'):
        build(classes, one_or_two)


@pytest.mark.parametrize(
    'classes', [('background', 'disc'), ('background', 'disc', 'ring')]
)
def test_masks_of_0_and_255_are_told_to_be_ignored(build, classes):
    with pytest.raises(ValueError, match=r'255, which is ignored.*mask == 255\] = 1'):
        build(classes, lambda i: 255)


def test_masks_that_are_partly_0_and_255_too(build):
    with pytest.raises(ValueError, match='255, which is ignored'):
        build(('background', 'disc'), lambda i: 255 * (i > 3))


def test_one_class_alone_that_is_black_gets_a_word(build):
    with pytest.warns(UserWarning, match='what is white'):
        build(('disc',), lambda i: 255)


@pytest.mark.parametrize('names', [{1: 0, 2: 1}, {1: 'dog', 2: 2.5}, {1: True}])
def test_what_numbers_as_names_left_in_a_checkpoint_is_not_damage(names):
    meta = dict(meta=dict(dataset_meta=dict(class_names=names)))
    assert _trained_on(meta, 'iter_2.pth')['class_names'] == {
        number: str(name) for number, name in names.items()
    }

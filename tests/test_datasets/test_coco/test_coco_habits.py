"""What programs export as COCO: the same rules for supports and data sets."""

import json

import numpy as np
import pytest
from coco_samples import HEIGHT, WIDTH, box
from PIL import Image

from mmssp.apis.annotations.conversion import to_mask
from mmssp.apis.support.support_files import find_support
from mmssp.datasets.coco.coco_habits import plain_number, unnested
from mmssp.datasets.coco20i import CocoSegDataset

RING = box(2, 3, 12, 9)
PAIRS = [[2, 3], [12, 3], [12, 9], [2, 9]]


@pytest.fixture
def both(tmp_path):
    """Four images, of two classes in turn, changed: as supports, and as a data set."""

    def read(change):
        content = dict(
            images=[],
            annotations=[],
            categories=[dict(id=1, name='disc'), dict(id=2, name='ring')],
        )
        for i in range(4):
            Image.new('RGB', (WIDTH, HEIGHT), (i, 0, 0)).save(tmp_path / f'{i}.jpg')
            content['images'].append(
                dict(id=i + 1, file_name=f'{i}.jpg', height=HEIGHT, width=WIDTH)
            )
            content['annotations'].append(
                dict(id=i, image_id=i + 1, category_id=1 + i % 2, iscrowd=0,
                     segmentation=[RING])
            )  # fmt: skip
        change(content)
        path = tmp_path / 'labels.json'
        path.write_text(json.dumps(content))
        supports = {c.name: len(c.images) for c in find_support(path)}
        data = CocoSegDataset(ann_file=str(path), data_root=str(tmp_path), workers=1)
        pixels = [
            np.bincount(
                np.asarray(Image.open(data.get_data_info(i)['seg_map_path'])).ravel(),
                minlength=3,
            )[1:].tolist()
            for i in range(4)
        ]
        assert supports == {'disc': 2, 'ring': 2}
        assert data.metainfo['classes'] == ('background', 'disc', 'ring')
        assert pixels == [[60, 0], [0, 60]] * 2

    return read


def each(key, convert, name='annotations'):
    def change(content):
        for item in content[name]:
            item[key] = convert(item.get(key))

    return change


def root(**category):
    def change(content):
        content['categories'].insert(0, dict(id=0, supercategory='none', **category))

    return change


def named(content):
    each('id', 'img_{}'.format, 'images')(content)
    each('image_id', 'img_{}'.format)(content)


def grouped(content):
    each('supercategory', lambda _: 'parts', 'categories')(content)
    content['categories'].append(dict(id=7, name='parts', supercategory='none'))


@pytest.mark.parametrize(
    'change',
    [
        root(name='parts'),
        root(name='disc'),
        grouped,
        each('category_id', str),
        each('category_id', float),
        each('id', str, 'categories'),
        each('image_id', str),
        each('image_id', float),
        each('id', str, 'images'),
        named,
        each('iscrowd', str),
        each('iscrowd', float),
        each('iscrowd', bool),
        each('height', float, 'images'),
        each('width', str, 'images'),
        each('segmentation', lambda _: RING),
        each('segmentation', lambda _: PAIRS),
        each('segmentation', lambda _: [PAIRS]),
        each('segmentation', lambda _: [[RING]]),
    ],
)
def test_habits_of_exporters_change_nothing(both, change):
    both(change)


@pytest.mark.parametrize(
    ('value', 'expected'),
    [('7', 7), (' 7 ', 7), ('7.0', 7), (7.0, 7), (7.5, 7.5), ('007', '007'), ('a', 'a'),
     (True, True), (None, None), ('-1', '-1'), ('9' * 500, '9' * 500),
     (float('nan'), None)],
)  # fmt: skip
def test_whole_numbers_are_integers_and_names_stay(value, expected):
    found = plain_number(value)
    if expected is None and value is not None:
        assert found != found
    else:
        assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize('given', [None, [], {'size': [1, 1]}, [RING, RING], 'text'])
def test_what_is_as_it_should_be_stays(given):
    assert unnested(given) is given or unnested(given) == given


def test_types_are_named_where_ids_do_not_meet(both):
    with pytest.raises(ValueError, match=r'list'):
        both(each('image_id', lambda number: [number]))


@pytest.mark.parametrize('dtype', [bool, np.uint8])
def test_dicts_of_sam_are_read(dtype):
    mask = np.zeros((HEIGHT, WIDTH), dtype)
    mask[3:9, 2:12] = 1
    found = dict(segmentation=mask, area=60, bbox=[2, 3, 9, 5], predicted_iou=0.9)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    np.testing.assert_array_equal(to_mask(found, image), mask)
    np.testing.assert_array_equal(to_mask([found], image), mask)

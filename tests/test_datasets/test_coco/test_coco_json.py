"""What a bad instance JSON is told."""

import json
import re

import numpy as np
import pytest
from coco_samples import (
    CATEGORIES,
    HEIGHT,
    WIDTH,
    annotation,
    box,
    compressed,
    content,
    mask_of,
)


def changed(part, **fields):
    """The small JSON with fields of its only image, annotation or category changed."""
    what = content(categories=[{'id': 3, 'name': 'cat'}])
    what[part][0].update(fields)
    return what


def without(key):
    what = content()
    del what[key]
    return what


def rle(counts, size=(HEIGHT, WIDTH)):
    return changed(
        'annotations', segmentation={'size': list(size), 'counts': counts}, iscrowd=1
    )


BAD = {
    'cut off': (json.dumps(content())[:-40], r'not valid JSON .*interrupted download'),
    'empty': ('', 'not valid JSON'),
    'no object': ('[1, 2]', r'no list named images.*found list.*instances_\*\.json'),
    'no images': (without('images'), r'no list named images.*instances_\*\.json'),
    'no annotations': (without('annotations'), 'no list named annotations'),
    'captions': (
        without('categories'),
        r'no list named categories.*instances_\*\.json',
    ),
    'no categories': (content(categories=[]), '"categories" is empty'),
    'boxes only': (
        content([{'id': 1, 'image_id': 1, 'category_id': 3, 'bbox': [1, 2, 3, 4]}]),
        r'not one "segmentation".*instances_\*\.json',
    ),
    'nothing annotated': (content([]), 'has 0 annotations and not one'),
    'panoptic': (
        content([{'image_id': 1, 'file_name': 'a.png', 'segments_info': []}]),
        r'category id None.*instances_\*\.json',
    ),
    'unknown image': (
        content([annotation([box(0, 0, 5, 5)], image_id=44)]),
        'annotation 103 belongs to image 44',
    ),
    'unknown category': (
        content([annotation([box(0, 0, 5, 5)], 8)]),
        r'annotation 108 has the category id 8 .int.; .*\[3, 7, 9\]',
    ),
    'no size': (changed('images', height=None), 'image 1 needs the field "height"'),
    'impossible size': (changed('images', width=0), 'image 1 has the size 20x0'),
    'fraction as id': (changed('images', id=1.5), 'field "id" of type int or str'),
    'no file name': (changed('images', file_name=None), 'needs the field "file_name"'),
    'image twice': (content(images=content()['images'] * 2), 'image id 1 occurs twice'),
    'category twice': (content(categories=CATEGORIES * 2), 'name .cup. occurs twice'),
    'name twice': (
        content(categories=[*CATEGORIES, {'id': 11, 'name': 'cat'}]),
        'id 11, name .cat. occurs twice',
    ),
    'category without name': (
        content(categories=[{'id': 3}]),
        'category 3 needs the field "name"',
    ),
    'too many classes': (
        content(categories=[{'id': i, 'name': str(i)} for i in range(255)]),
        '255 classes, .* at most 254',
    ),
    'rle of another size': (
        rle([600], (WIDTH, HEIGHT)),
        r'image a.jpg: annotation 103: the RLE has the size \[30, 20\], .*\[20, 30\]',
    ),
    'rle too short': (rle([10, 20]), 'add up to 30 pixels, the image has 20x30 = 600'),
    'rle too long': (rle([10, 2000]), 'add up to 2010 pixels'),
    'rle negative': (rle([-10, 610]), 'needs "counts"'),
    'rle without counts': (rle(None), 'needs "counts"'),
    'rle text too short': (rle(compressed(np.ones((3, 3)))['counts']), 'add up to 9'),
    'rle text broken': (rle('zz~'), 'stray character'),
    'rle text cut': (rle('o'), 'ends in the middle of a number'),
    'polygon of text': (
        changed('annotations', segmentation=[list('abcdef')]),
        'image a.jpg: annotation 103: a polygon holds something else',
    ),
    'polygon with a text': (
        changed('annotations', segmentation=[[0, 0, 5, 'a', 5, 5]]),
        'holds something else than numbers|annotations',
    ),
    'odd polygon': (
        changed('annotations', segmentation=[[0, 0, 5, 0, 5, 5, 2]]),
        r'must be a flat list .*\(7,\)',
    ),
    'polygon not finite': (
        changed('annotations', segmentation=[[0, 0, 5, 0, float('nan'), 5]]),
        'not finite',
    ),
    'polygon far away': (
        changed('annotations', segmentation=[[0, 0, 1e12, 0, 5, 5]]),
        'beyond 1e.06 pixels',
    ),
    'segmentation of text': (changed('annotations', segmentation='x'), 'is a str'),
}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_json_is_named_with_what_is_wrong_in_it(make, name):
    what, message = BAD[name]
    with pytest.raises(ValueError, match=message) as caught:
        make(what)
    assert 'instances.json' in str(caught.value)


@pytest.mark.parametrize(
    'name',
    ['../a.jpg', 'x/../../a.jpg', '/etc/a.jpg', 'C:\\a.jpg', '..\\a.jpg', '', '.'],
)
def test_a_file_name_that_leads_out_of_the_folder_is_refused(make, name):
    with pytest.raises(ValueError, match=re.escape(f'file_name {name!r}')):
        make(changed('images', file_name=name))


def test_254_classes_are_not_too_many(make):
    categories = [{'id': i, 'name': str(i)} for i in range(1, 255)]
    annotations = [annotation([box(0, 0, 5, 5)], 254)]
    assert mask_of(make(content(annotations, categories=categories)))[1, 1] == 254


def test_a_missing_json_is_named_with_the_way_out(make, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'instances\.json.*data_root=.*ann_file='
    ):
        make()


def test_a_missing_json_is_named_in_lazy_init_too(make):
    with pytest.raises(FileNotFoundError, match='data_root='):
        make(lazy_init=True)

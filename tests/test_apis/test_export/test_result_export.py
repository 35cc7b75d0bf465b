"""One result in other tools' formats, and back as a support."""

import json
import sys

import cv2
import numpy as np
import pytest
from export_samples import CLASSES, SIZE, result, ring_and_dots
from PIL import Image
from pycocotools.coco import COCO

from mmssp.apis.annotations.conversion import to_mask
from mmssp.apis.export.result_export import SUFFIXES
from mmssp.apis.support.support_files import find_support

LABELS = ring_and_dots()
IMAGE = np.full((*SIZE, 3), 99, np.uint8)


def test_polygons_are_annotations_of_supports():
    found = result().to_polygons(tolerance=0)
    assert list(found) == list(CLASSES)
    for i, name in enumerate(CLASSES[:2], start=1):
        np.testing.assert_array_equal(to_mask(found[name], IMAGE), i == LABELS)
    assert found[CLASSES[2]] == []


def test_a_saved_labelme_file_is_a_support(tmp_path):
    path = tmp_path / 'a photo, "new".png'
    Image.fromarray(IMAGE).save(path)
    result(source=path).save(tmp_path / 'a photo, "new".json', 'labelme', tolerance=0)
    for source in (tmp_path, tmp_path / 'a photo, "new".json'):
        classes = find_support(source)
        assert sorted(own.name for own in classes) == sorted(CLASSES[:2])
        for own in classes:
            assert own.images == (path,)
            mask = to_mask(own.annotations[0], IMAGE, class_value=own.class_value)
            np.testing.assert_array_equal(mask, CLASSES.index(own.name) + 1 == LABELS)


def test_a_saved_coco_file_is_a_support(tmp_path):
    path = tmp_path / 'ä b.png'
    Image.fromarray(IMAGE).save(path)
    result(source=path).save(tmp_path / 'found.json', 'coco', tolerance=0)
    COCO(str(tmp_path / 'found.json'))
    classes = find_support(tmp_path / 'found.json')
    assert [own.name for own in classes] == list(CLASSES[:2])
    for i, own in enumerate(classes, start=1):
        mask = to_mask(own.annotations[0], IMAGE)
        np.testing.assert_array_equal(mask, i == LABELS)


def test_a_saved_mask_is_a_support_and_read_right_by_opencv(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / 'a.jpg')
    result().save(tmp_path / 'a_mask.png')
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'a_mask.png'), 0), LABELS)
    (own,) = find_support(tmp_path, class_value=1)
    mask = to_mask(own.annotations[0], IMAGE, class_value=1)
    np.testing.assert_array_equal(mask, LABELS == 1)


def test_labelme_keeps_the_pixels_where_there_is_no_file():
    found = result().to_labelme()
    assert found['imageData'] and found['imagePath']
    assert result().to_labelme('sub/a.jpg')['imageData'] is None


def test_yolo_has_a_line_for_each_object():
    assert [line.split()[0] for line in result().to_yolo()] == ['0', '1']
    apart = result().to_yolo(instances=True, min_area=2)
    assert [line.split()[0] for line in apart] == ['0', '0', '1']


@pytest.mark.parametrize('name', SUFFIXES)
def test_every_format_is_one_file(tmp_path, name):
    path = tmp_path / f'new folder/x{SUFFIXES[name]}'
    result().save(path, name)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    wrong = path.with_suffix('.jpg')
    with pytest.raises(ValueError, match=f'{name} ends in \\{SUFFIXES[name]}'):
        result().save(wrong, name)
    assert not wrong.exists()


def test_voc_is_a_folder(tmp_path):
    result().save(tmp_path / 'voc', 'voc')
    assert (tmp_path / 'voc/SegmentationClass/image.png').is_file()


@pytest.mark.parametrize('name', SUFFIXES)
def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path, name):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='cannot be written'):
        result().save(tmp_path / f'file/x{SUFFIXES[name]}', name)


def test_an_unknown_format_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"'bmp': expected one or more of coco,yolo"):
        result().save(tmp_path / 'x.bmp', 'bmp')


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'x.json'
    path.write_text('old')
    monkeypatch.setattr(json, 'dumps', lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        result().save(path, 'coco')
    assert path.read_text() == 'old'
    assert [p.name for p in tmp_path.iterdir()] == ['x.json']


def test_a_missing_supervision_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(ModuleNotFoundError, match='pip install supervision'):
        result().to_supervision()

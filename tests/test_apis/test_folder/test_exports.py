"""Folders in other tools' formats: beside the results, of the same masks."""

import errno
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_inferencer import FakeInferencer
from PIL import Image
from pycocotools.coco import COCO

from mmssp.apis.annotations.conversion import to_mask
from mmssp.apis.export.formats import FORMATS
from mmssp.apis.export.labelled_image import ExportSettings
from mmssp.apis.folder.exports import write_exports
from mmssp.apis.folder.inputs import list_inputs
from mmssp.apis.folder.prediction import predict_folder
from mmssp.apis.images import read_any_image
from mmssp.apis.support.support_files import find_support
from mmssp.datasets.coco20i import CocoSegDataset
from mmssp.utils.image_io import read_mask

ALL = ','.join(FORMATS)
EXACT = ExportSettings(tolerance=0)
NAMES = ('a.png', 'sub/ä "b", c.png', "sub/it's #1.jpg")


def save(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = np.zeros((40, 60, 3), np.uint8)
    cv2.circle(image, (20, 20), 12, (220, 0, 0), -1)
    cv2.circle(image, (20, 20), 5, (0, 0, 0), -1)
    image[5:15, 40 + rng.integers(5) : 55, 1] = 210
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)


@pytest.fixture
def photos(tmp_path):
    for i, name in enumerate(NAMES):
        save(tmp_path / 'photos' / name, i)
    return tmp_path / 'photos'


@pytest.fixture
def output(tmp_path):
    return tmp_path / 'out'


def mask_of(output: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(output / 'masks' / Path(name).with_suffix('.png')))


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob('*') if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_all_formats_at_once_and_the_rest_as_without(photos, output, tmp_path):
    names = ('red', 'green')
    predict_folder(FakeInferencer(names), photos, output, formats=ALL)
    predict_folder(FakeInferencer(names), photos, tmp_path / 'plain')
    found = contents(output)
    assert {n.split('/')[1] for n in found if n.startswith('exports/')} == set(FORMATS)
    rest = {n: c for n, c in found.items() if not n.startswith('exports/')}
    assert rest == contents(tmp_path / 'plain')


def test_the_coco_export_has_the_masks(photos, output):
    predict_folder(
        FakeInferencer(('red', 'green')), photos, output, formats='coco', export=EXACT
    )
    coco = COCO(str(output / 'exports/coco/annotations.json'))
    assert {i['file_name'] for i in coco.imgs.values()} == set(NAMES)
    for number, entry in coco.imgs.items():
        labels = np.zeros((entry['height'], entry['width']), np.uint8)
        for own in coco.loadAnns(coco.getAnnIds(number)):
            labels[coco.annToMask(own) > 0] = own['category_id']
        np.testing.assert_array_equal(labels, mask_of(output, entry['file_name']))


def test_a_format_asked_for_later_needs_no_prediction(photos, output):
    predict_folder(FakeInferencer(), photos, output)
    inferencer = FakeInferencer()
    predict_folder(inferencer, photos, output, formats=['yolo'])
    assert inferencer.predicted == 0
    assert (output / 'exports/yolo/data.yaml').is_file()


def test_exports_among_the_inputs_are_no_inputs(photos):
    for _ in range(2):
        report = predict_folder(FakeInferencer(), photos, photos / 'out', formats=ALL)
        assert report.total == len(NAMES)


def test_exports_read_back_as_supports(photos, output):
    names = ('red', 'green')
    predict_folder(
        FakeInferencer(names), photos, output, formats='coco,labelme', export=EXACT
    )
    (photos / 'found.json').write_bytes(
        (output / 'exports/coco/annotations.json').read_bytes()
    )
    sources = [photos / 'found.json']
    sources += sorted((output / 'exports/labelme').rglob('*.json'))
    seen = 0
    for source in sources:
        for own in find_support(source, allow_outside=True):
            for image, annotation in zip(own.images, own.annotations, strict=True):
                pixels = read_any_image(image)
                mask = to_mask(annotation, pixels, class_value=own.class_value)
                expected = mask_of(output, str(image.resolve().relative_to(photos)))
                label = names.index(own.name) + 1
                np.testing.assert_array_equal(mask, expected == label)
                seen += 1
    assert seen == 4 * len(NAMES)


def test_masks_read_back_as_supports(photos, output, tmp_path):
    predict_folder(FakeInferencer(), photos / 'a.png', output, formats='masks')
    (tmp_path / 'labelled/images').mkdir(parents=True)
    os.link(photos / 'a.png', tmp_path / 'labelled/images/a.png')
    (output / 'exports/masks').rename(tmp_path / 'labelled/masks')
    (own,) = find_support(tmp_path / 'labelled')
    mask = to_mask(own.annotations[0], read_any_image(own.images[0]))
    np.testing.assert_array_equal(mask, mask_of(output, 'a.png'))


def test_frames_of_a_video_are_written_as_images(tmp_path, output):
    path = tmp_path / 'my clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
    for i in range(3):
        writer.write(np.full((48, 64, 3), (0, 0, 100 * i), np.uint8))
    writer.release()
    predict_folder(FakeInferencer(), path, output, formats='labelme,yolo')
    label = output / 'exports/labelme/my clip/frame_000002.json'
    found = json.loads(label.read_text())
    assert Image.open(label.parent / found['imagePath']).size == (64, 48)
    assert len(list((output / 'exports/yolo/images/train/my clip').iterdir())) == 3


def test_failed_images_are_in_no_export(photos, output):
    (photos / 'a.png').write_bytes(b'')
    predict_folder(FakeInferencer(), photos, output, formats='coco')
    content = json.loads((output / 'exports/coco/annotations.json').read_text())
    assert {i['file_name'] for i in content['images']} == set(NAMES[1:])


def test_a_place_that_cannot_be_written_is_found_before_the_run(photos, output):
    predict_folder(FakeInferencer(), photos / 'a.png', output)
    (output / 'exports').write_text('')
    inferencer = FakeInferencer()
    with pytest.raises(OSError, match='exports cannot be written'):
        predict_folder(inferencer, photos, output, formats='coco')
    assert inferencer.predicted == 0


def test_a_full_disk_is_a_sentence_and_leaves_no_half_file(photos, output, monkeypatch):
    predict_folder(FakeInferencer(), photos, output)
    finished = [
        (item, json.loads((output / f'records/{item.stem}.json').read_text()))
        for item in list_inputs(photos)
    ]

    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(
        OSError, match=r'exports/coco cannot be written \(No space left'
    ):
        write_exports(finished, output, ('red',), ['coco'], EXACT)
    assert not [p for p in (output / 'exports').rglob('*') if p.is_file()]


def test_an_unknown_format_is_found_before_the_run(photos, output):
    with pytest.raises(ValueError, match="'png': expected one or more of coco,yolo"):
        predict_folder(FakeInferencer(), photos, output, formats='png')
    assert not output.exists()


def test_the_coco_export_is_a_data_set(photos, output, tmp_path, monkeypatch):
    monkeypatch.setenv('MMSSP_CACHE', str(tmp_path / 'cache'))
    names = ('red', 'green')
    predict_folder(FakeInferencer(names), photos, output, formats='coco', export=EXACT)
    dataset = CocoSegDataset(
        ann_file=str(output / 'exports/coco/annotations.json'),
        data_prefix=dict(img_path=str(photos)),
        pipeline=[],
    )
    assert dataset.metainfo['classes'] == ('background', *names)
    assert len(dataset) == len(NAMES)
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        name = str(Path(info['img_path']).relative_to(photos))
        np.testing.assert_array_equal(
            read_mask(info['seg_map_path']), mask_of(output, name)
        )

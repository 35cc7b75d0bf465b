"""The tools' own packages read what is written; each is skipped where it is missing."""

import json
import shutil

import cv2
import numpy as np
import pytest
from export_samples import (
    CLASSES,
    ODD_NAMES,
    SIZE,
    images_in,
    iou,
    result,
    ring_and_dots,
)

from mmssp.apis.export.formats import FORMATS
from mmssp.apis.export.labelled_image import ExportSettings

EXACT = ExportSettings(tolerance=0)


@pytest.fixture
def write(tmp_path):
    """Write the images in a format; returns (images, folder)."""

    def run(name, names=ODD_NAMES):
        images = images_in(tmp_path / 'photos', names)
        folder = tmp_path / 'out' / name
        FORMATS[name](images, CLASSES, folder, EXACT)
        return images, folder

    return run


def label_map(item, categories) -> np.ndarray:
    """(H,W) uint8 of datumaro's item: polygons and masks by the names of their labels."""
    labels = np.zeros(SIZE, np.uint8)
    for own in item.annotations:
        if own.type.name not in ('mask', 'polygon'):
            continue
        name = categories[own.label].name
        if name == 'background':
            continue
        region = np.asarray(own.image if own.type.name == 'mask' else as_mask(own)) > 0
        labels[region] = CLASSES.index(name) + 1
    return labels


def as_mask(polygon) -> np.ndarray:
    from pycocotools import mask as coco_mask

    return coco_mask.decode(coco_mask.frPyObjects([polygon.points], *SIZE))[..., 0]


@pytest.mark.parametrize(
    'name, theirs',
    [('cvat', 'cvat'), ('voc', 'voc_segmentation'), ('coco', 'coco_instances')],
)
def test_datumaro_reads(write, name, theirs):
    datumaro = pytest.importorskip('datumaro')
    images, folder = write(name)
    place = folder
    if name == 'coco':  # as COCO's own folders are
        place = folder / 'data'
        (place / 'annotations').mkdir(parents=True)
        (place / 'images').mkdir()
        (folder / 'annotations.json').rename(place / 'annotations/instances_train.json')
    if name == 'cvat':  # which has the images beside it
        shutil.copytree(images[0].source.parent, folder / 'images')
    dataset = datumaro.Dataset.import_from(str(place), theirs)
    categories = dataset.categories()[datumaro.AnnotationType.label]
    items = {item.id: item for item in dataset}
    assert sorted(items) == sorted(image.stem for image in images)
    for image in images:
        np.testing.assert_array_equal(
            label_map(items[image.stem], categories), image.labels
        )


def test_supervision_reads_the_yolo_data_set(write):
    supervision = pytest.importorskip('supervision')
    names = ('plain.png', 'with space ä.png', 'empty.png')
    images, folder = write('yolo', names)
    dataset = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(folder / 'images/train'),
        annotations_directory_path=str(folder / 'labels/train'),
        data_yaml_path=str(folder / 'data.yaml'),
        force_masks=True,
    )
    assert list(dataset.classes) == list(CLASSES)
    found = {path.rpartition('/')[2]: own for path, _, own in dataset}
    for image in images:
        detections = found[image.name]
        labels = np.zeros(SIZE, np.uint8)
        for region, label in zip(
            () if detections.mask is None else detections.mask,
            detections.class_id,
            strict=True,
        ):
            labels[region] = label + 1
        for label in range(1, len(CLASSES) + 1):
            # it fills outlines by OpenCV, which takes in the pixels on them
            assert iou(labels == label, image.labels == label) > 0.8


def test_supervision_reads_the_coco_file(write):
    supervision = pytest.importorskip('supervision')
    names = ('plain.png', 'with space ä.png', 'empty.png')
    images, folder = write('coco', names)
    dataset = supervision.DetectionDataset.from_coco(
        images_directory_path=str(images[0].source.parent),
        annotations_path=str(folder / 'annotations.json'),
        force_masks=True,
    )
    assert list(dataset.classes) == list(CLASSES)
    assert len(dataset) == len(images)


def test_supervision_gets_detections():
    supervision = pytest.importorskip('supervision')
    own = result()
    detections = own.to_supervision(instances=True, min_area=2)
    assert isinstance(detections, supervision.Detections)
    assert detections.data['class_name'].tolist() == [
        CLASSES[0],
        CLASSES[0],
        CLASSES[1],
    ]
    assert detections.class_id.tolist() == [0, 0, 1]
    expected = (ring_and_dots() == 1).astype(np.uint8)
    np.testing.assert_array_equal(detections.mask[:2].any(axis=0), expected > 0)
    for box, region in zip(detections.xyxy, detections.mask, strict=True):
        left, top, width, height = cv2.boundingRect(region.astype(np.uint8))
        assert box.tolist() == [left, top, left + width, top + height]
    assert len(result(np.zeros(SIZE, np.uint8)).to_supervision()) == 0


def test_labelme_reads(write, monkeypatch):
    monkeypatch.setenv('QT_QPA_PLATFORM', 'offscreen')
    try:
        from labelme._label_file import read_label_file
        from labelme.utils import shape_to_mask
    except ImportError as error:  # itself, or the system's libraries of its window
        pytest.skip(f'labelme is not at hand: {error}')
    images, folder = write('labelme')
    for image in images:
        found = read_label_file(str(folder / f'{image.stem}.json'))
        labels = np.zeros(SIZE, np.uint8)
        for shape in found.shapes:
            if shape['shape_type'] == 'mask':
                (left, top), _ = np.array(shape['points'], int)
                height, width = shape['mask'].shape
                region = np.zeros(SIZE, bool)
                region[top : top + height, left : left + width] = shape['mask']
            else:
                region = shape_to_mask(SIZE, shape['points'], shape['shape_type'])
            labels[region] = CLASSES.index(shape['label']) + 1
        for label in range(1, len(CLASSES) + 1):
            # it draws polygons by Pillow, which takes in the pixels on the outline
            assert iou(labels == label, image.labels == label) > 0.8


def test_label_studios_converter_reads(write, tmp_path):
    converter = pytest.importorskip('label_studio_sdk.converter')
    images, folder = write('labelstudio', ('plain.png', 'empty.png'))
    tasks = json.loads((folder / 'tasks.json').read_text())
    for number, task in enumerate(tasks, start=1):
        # as Label Studio gives it back once a person has accepted the prediction
        (prediction,) = task.pop('predictions')
        task['id'] = number
        task['annotations'] = [
            dict(id=number, result=prediction['result'], was_cancelled=False)
        ]
    (tmp_path / 'exported').mkdir()
    (tmp_path / 'exported' / 'tasks.json').write_text(json.dumps(tasks))
    config = (folder / 'label_config.xml').read_text(encoding='utf-8')
    made = converter.Converter(config, project_dir=None, download_resources=False)
    made.convert_to_coco(
        str(tmp_path / 'exported'), str(tmp_path / 'coco'), is_dir=True,
        output_image_dir=str(tmp_path / 'coco' / 'images'),
    )  # fmt: skip
    content = json.loads((tmp_path / 'coco' / 'result.json').read_text())
    names = {own['id']: own['name'] for own in content['categories']}
    assert set(names.values()) == set(CLASSES)
    first = content['images'][0]
    assert (first['height'], first['width']) == SIZE
    from pycocotools import mask as coco_mask

    labels = np.zeros(SIZE, np.uint8)
    for own in content['annotations']:
        assert own['image_id'] == first['id']
        rle = coco_mask.frPyObjects(own['segmentation'], *SIZE)
        region = coco_mask.decode(rle)[..., 0] > 0
        labels[region] = CLASSES.index(names[own['category_id']]) + 1
    np.testing.assert_array_equal(labels, images[0].labels)

"""Each format as its document has it, read by nothing of ours."""

import base64
import io
import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import yaml
from export_samples import (
    CLASSES,
    ODD_NAMES,
    SIZE,
    images_in,
    iou,
    labelled,
    ring_and_dots,
)
from PIL import Image
from pycocotools.coco import COCO

from mmssp.apis.export.cvat_export import row_runs
from mmssp.apis.export.formats import FORMATS, format_names
from mmssp.apis.export.labelled_image import ExportSettings
from mmssp.apis.export.voc_export import colour

EXACT = ExportSettings(tolerance=0)
LABELS = ring_and_dots()


@pytest.fixture
def write(tmp_path):
    """Write the images in a format; returns (images, folder)."""

    def run(name, settings=EXACT, names=ODD_NAMES):
        images = images_in(tmp_path / 'photos', names)
        folder = tmp_path / 'out' / name
        FORMATS[name](iter(images), CLASSES, folder, settings)
        return images, folder

    return run


def fill(rings, size=SIZE) -> np.ndarray:
    """Even-odd filling of outlines (N,2) by Pillow's or COCO's rules would differ; this
    one asks each pixel's centre."""
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros(size, bool)
    for ring in rings:
        points = np.asarray(ring, float)
        for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
            if y0 == y1:
                continue
            crosses = (y0 <= y) != (y1 <= y)
            inside ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


def test_coco_is_read_by_pycocotools(write):
    images, folder = write('coco')
    coco = COCO(str(folder / 'annotations.json'))
    assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    for image, entry in zip(images, coco.loadImgs(coco.getImgIds()), strict=True):
        assert entry['file_name'] == image.name
        labels = np.zeros(SIZE, np.uint8)
        for own in coco.loadAnns(coco.getAnnIds(entry['id'])):
            region = coco.annToMask(own) > 0
            labels[region] = own['category_id']
            assert own['area'] == region.sum()
            assert own['bbox'] == list(cv2.boundingRect(region.astype(np.uint8)))
        np.testing.assert_array_equal(labels, image.labels)


def test_coco_has_polygons_where_there_is_no_hole(write):
    _, folder = write('coco')
    found = json.loads((folder / 'annotations.json').read_text())['annotations']
    kinds = {own['category_id']: type(own['segmentation']) for own in found}
    assert kinds == {1: dict, 2: list}
    assert {own['iscrowd'] for own in found} == {0}


def test_instances_apart_and_without_specks(write):
    _, folder = write('coco', ExportSettings(0, instances=True, min_area=2))
    found = json.loads((folder / 'annotations.json').read_text())['annotations']
    of_first = [own['category_id'] for own in found if own['image_id'] == 1]
    assert of_first == [1, 1, 2]


def test_yolo_is_a_data_set(write):
    images, folder = write('yolo')
    described = yaml.safe_load((folder / 'data.yaml').read_text(encoding='utf-8'))
    assert described['names'] == dict(enumerate(CLASSES))
    for image in images:
        copy = folder / described['train'] / image.name
        assert copy.read_bytes() == image.source.read_bytes()
        # as Ultralytics finds the labels of an image
        path = Path(str(copy).replace('/images/', '/labels/')).with_suffix('.txt')
        labels = np.zeros(SIZE, np.uint8)
        for line in path.read_text().splitlines():
            number, *values = line.split()
            shares = np.array(values, float).reshape(-1, 2)
            assert ((shares >= 0) & (shares <= 1)).all()
            labels[fill([np.round(shares * SIZE[::-1], 3)])] = int(number) + 1
        np.testing.assert_array_equal(labels, image.labels)


def test_labelme_finds_its_image_and_has_holes_as_masks(write):
    images, folder = write('labelme')
    for image in images:
        path = folder / f'{image.stem}.json'
        found = json.loads(path.read_text())
        assert '\\' not in found['imagePath'] and not found['imagePath'].startswith('/')
        assert (path.parent / found['imagePath']).samefile(image.source)
        assert (found['imageHeight'], found['imageWidth']) == SIZE
        labels = np.zeros(SIZE, np.uint8)
        for shape in found['shapes']:
            if shape['shape_type'] == 'polygon':
                region = fill([shape['points']])
            else:
                picture = Image.open(io.BytesIO(base64.b64decode(shape['mask'])))
                (x0, y0), (x1, y1) = shape['points']
                region = np.zeros(SIZE, bool)
                region[y0 : y1 + 1, x0 : x1 + 1] = np.asarray(picture) > 0
            labels[region] = CLASSES.index(shape['label']) + 1
        np.testing.assert_array_equal(labels, image.labels)


def test_labelme_files_that_a_person_saved_stay(write, capsys):
    _, folder = write('labelme')
    path = folder / 'plain.json'
    corrected = dict(json.loads(path.read_text()), version='6.3.1', shapes=[])
    path.write_text(json.dumps(corrected))
    write('labelme')
    assert json.loads(path.read_text()) == corrected
    assert '1 file(s) that were saved by another program' in capsys.readouterr().err


def test_label_studio_has_percents_and_quoted_paths(write, tmp_path):
    images, folder = write('labelstudio')
    tasks = json.loads((folder / 'tasks.json').read_text())
    config = ElementTree.parse(folder / 'label_config.xml').getroot()
    assert [own.get('value') for own in config.iter('Label')] == list(CLASSES)
    for image, task in zip(images, tasks, strict=True):
        head, _, path = task['data']['image'].partition('?d=')
        assert head == '/data/local-files/' and '#' not in path and ' ' not in path
        assert (tmp_path / unquote(path)).samefile(image.source)
        labels = np.zeros(SIZE, np.uint8)
        for region in task['predictions'][0]['result']:
            points = np.array(region['value']['points']) / 100 * SIZE[::-1]
            (name,) = region['value']['polygonlabels']
            labels[fill([np.round(points, 2)])] = CLASSES.index(name) + 1
        np.testing.assert_array_equal(labels, image.labels)


def test_cvat_has_polygons_and_masks(write):
    images, folder = write('cvat')
    root = ElementTree.parse(folder / 'annotations.xml').getroot()
    assert [own.findtext('name') for own in root.iter('label')] == list(CLASSES)
    for image, shown in zip(images, root.iter('image'), strict=True):
        assert shown.get('name') == image.name
        labels = np.zeros(SIZE, np.uint8)
        for shape in shown:
            if shape.tag == 'polygon':
                pairs = [p.split(',') for p in shape.get('points').split(';')]
                region = fill([np.array(pairs, float)])
            else:
                left, top, width, height = (
                    int(shape.get(key)) for key in ('left', 'top', 'width', 'height')
                )
                runs = [int(n) for n in shape.get('rle').split(',')]
                flat = np.repeat(np.arange(len(runs)) % 2, runs)
                region = np.zeros(SIZE, bool)
                inside = flat.reshape(height, width) > 0
                region[top : top + height, left : left + width] = inside
            labels[region] = CLASSES.index(shape.get('label')) + 1
        np.testing.assert_array_equal(labels, image.labels)


def test_runs_of_rows_begin_with_the_background():
    assert row_runs(np.array([[1, 1, 0], [0, 0, 1]], bool)) == [0, 2, 3, 1]
    assert row_runs(np.array([[0, 1, 1]], bool)) == [1, 2]


def test_voc_has_masks_boxes_and_a_list(write):
    images, folder = write('voc', ExportSettings(0, instances=True, min_area=2))
    listed = (folder / 'ImageSets/Segmentation/default.txt').read_text()
    assert listed.splitlines()[0] == 'plain'
    names = [
        row.split(':')[0] for row in (folder / 'labelmap.txt').read_text().split('\n')
    ]
    assert names[1:5] == ['background', *CLASSES]
    first = images[0]
    classes = np.asarray(Image.open(folder / 'SegmentationClass/plain.png'))
    expected = np.where(np.arange(SIZE[0])[:, None] == 58, 0, LABELS)
    np.testing.assert_array_equal(classes, expected)
    objects = np.asarray(Image.open(folder / 'SegmentationObject/plain.png'))
    assert np.unique(objects).tolist() == [0, 1, 2, 3]
    root = ElementTree.parse(folder / 'Annotations/plain.xml').getroot()
    for number, own in enumerate(root.iter('object'), start=1):
        box = [
            int(own.findtext(f'bndbox/{key}'))
            for key in ('xmin', 'ymin', 'xmax', 'ymax')
        ]
        rows, columns = (objects == number).nonzero()
        assert box == [
            columns.min() + 1,
            rows.min() + 1,
            columns.max() + 1,
            rows.max() + 1,
        ]
    assert (
        folder / 'JPEGImages' / first.name
    ).read_bytes() == first.source.read_bytes()


def test_voc_has_vocs_colours():
    for index, expected in {
        1: (128, 0, 0),
        15: (192, 128, 128),
        255: (224, 224, 192),
    }.items():
        assert colour(index) == expected


def test_more_objects_than_8_bits_tell_apart_get_16(write, tmp_path):
    labels = np.zeros((60, 90), np.uint8)
    labels[::2, ::2] = 1  # touching nowhere
    FORMATS['voc'](
        [labelled(labels=labels)], CLASSES, tmp_path, ExportSettings(0, True)
    )
    objects = np.asarray(Image.open(tmp_path / 'SegmentationObject/plain.png'))
    assert objects.max() == labels.sum() == 30 * 45


def test_masks_are_read_right_by_opencv(write):
    images, folder = write('masks')
    for image in images:
        stored = np.fromfile(folder / f'{image.stem}.png', np.uint8)
        for flag in (cv2.IMREAD_GRAYSCALE, cv2.IMREAD_UNCHANGED):
            np.testing.assert_array_equal(cv2.imdecode(stored, flag), image.labels)
    lines = (folder / 'classes.txt').read_text(encoding='utf-8').splitlines()
    assert lines == [f'{i} {n}' for i, n in enumerate(('background', *CLASSES))]


@pytest.mark.parametrize('name', FORMATS)
def test_nothing_found_writes_valid_files(write, name):
    _, folder = write(name, names=('empty.png',))
    files = [path for path in folder.rglob('*') if path.is_file()]
    assert files
    for path in files:
        if path.suffix == '.json':
            json.loads(path.read_text())
        elif path.suffix == '.xml':
            ElementTree.parse(path)
        elif path.suffix == '.png':
            Image.open(path).load()


@pytest.mark.parametrize('name', FORMATS)
def test_names_that_are_no_text_are_written(write, name, tmp_path):
    try:
        _, folder = write(name, names=('bad \udce9\x01.png', 'empty.png'))
    except OSError as error:
        if (tmp_path / 'photos' / 'bad \udce9\x01.png').exists():
            raise
        pytest.skip(f'this file system does not have such names: {error}')
    assert any(folder.rglob('*'))


def test_coarse_outlines_are_near_the_mask(tmp_path):
    for image in images_in(tmp_path):
        for found in image.objects(ExportSettings(1.0, min_area=2)):
            region = np.zeros(SIZE, bool)
            for polygon in found.polygons:
                region |= polygon.draw(*SIZE)
            assert iou(region, found.region) > 0.93


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('instances', [False, True])
def test_thin_and_ragged_masks_are_written(tmp_path, name, instances):
    rng = np.random.default_rng(0)
    labels = (rng.random(SIZE) < 0.4).astype(np.uint8)  # full of holes and specks
    labels[rng.random(SIZE) < 0.2] = 2
    settings = ExportSettings(2.0, instances)
    FORMATS[name]([labelled(labels=labels)], CLASSES, tmp_path, settings)
    assert any(tmp_path.iterdir())


def test_format_names_are_separated_by_commas():
    assert format_names(' COCO, yolo,coco') == ('coco', 'yolo')


@pytest.mark.parametrize('text', ['png', 'coco,xml', '', 'coco,,yolo'])
def test_an_unknown_format_lists_the_known_ones(text):
    with pytest.raises(
        ValueError, match='coco,yolo,labelme,labelstudio,cvat,voc,masks'
    ):
        format_names(text)


@pytest.mark.parametrize(
    'wrong', [dict(tolerance=-1), dict(min_area=-1), dict(min_area=1.5)]
)
def test_settings_out_of_range_are_a_sentence(wrong):
    with pytest.raises(ValueError, match='expected pixels, 0 or more'):
        ExportSettings(**wrong)

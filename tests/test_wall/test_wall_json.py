"""LabelMe files, COCO supports, results of tests and folders of outputs: as JSON."""

import io
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import broken_json, changed, damaged
from PIL import Image
from result_files import make_records, make_report
from sandbox import Sandbox, inputs, left_over

from mmssp.apis.annotations.conversion import to_mask
from mmssp.apis.folder.contact_sheet import write_contact_sheet
from mmssp.apis.folder.inputs import InputItem
from mmssp.apis.folder.output_folder import prepare_output
from mmssp.apis.folder.writers import read_record, source_state, write_coco, write_csv
from mmssp.apis.support.support_files import find_support
from mmssp.evaluation.compared_episodes import decode_prediction
from mmssp.evaluation.comparison import check_comparable, compare, gains_and_losses
from mmssp.evaluation.fold_results import mean_over_folds, read_fold
from mmssp.evaluation.results import read_results

HEIGHT, WIDTH = 30, 40
IMAGE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def labelme(*shapes: dict) -> dict:
    return dict(
        version='5.4.1',
        flags={},
        shapes=list(shapes),
        imagePath='a.png',
        imageData=None,
        imageHeight=HEIGHT,
        imageWidth=WIDTH,
    )


def shape(kind: str, points: list, label: str = 'cat') -> dict:
    return dict(label=label, points=points, group_id=None, shape_type=kind, flags={})


LABELME = labelme(
    shape('polygon', [[2, 3], [20, 3], [20.0, 15], [2, 15]]),
    shape('rectangle', [[22, 5], [30, 20]]),
    shape('circle', [[10, 22], [10, 26]]),
)
BOXES = labelme(
    shape('rectangle', [[2, 3], [20, 15]]), shape('rectangle', [[10, 10], [30, 20]])
)


def mark(folder: Path, text: bytes, only_boxes: bool) -> None:
    path = folder / 'a.json'
    path.write_bytes(text)
    mask = to_mask(path, IMAGE, class_value='cat')
    assert mask.shape == (HEIGHT, WIDTH)
    assert set(np.unique(mask)) <= {0, 1}
    expected = np.zeros((HEIGHT, WIDTH), bool)
    for item in json.loads(text)['shapes']:
        if str(item.get('label')) != 'cat':
            continue
        if item.get('shape_type') != 'rectangle':
            return
        (x0, y0), (x1, y1) = np.min(item['points'], 0), np.max(item['points'], 0)
        rows, columns = np.arange(HEIGHT)[:, None] + 0.5, np.arange(WIDTH) + 0.5
        expected |= (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)
    if only_boxes:
        np.testing.assert_array_equal(mask == 1, expected)


@inputs(250)
@given(data=st.data(), only_boxes=st.booleans())
def test_labelme_files(data, only_boxes, marking):
    tree = BOXES if only_boxes else LABELME
    marking(data.draw(broken_json(tree)), only_boxes)


def coco(name: str = 'a.png') -> dict:
    return dict(
        images=[dict(id=1, file_name=name, height=HEIGHT, width=WIDTH)],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
        annotations=[
            dict(
                id=1,
                image_id=1,
                category_id=1,
                segmentation=[[2, 3, 20, 3, 20, 15, 2, 15]],
                iscrowd=0,
            ),
            dict(id=2, image_id=1, category_id=2, bbox=[5, 5, 10, 10]),
        ],
    )


def make_folder(folder: Path) -> None:
    """A folder with a JSON to write, and files outside of it that must not be read."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / 'own').mkdir(parents=True)
    Image.fromarray(IMAGE).save(folder / 'own' / 'a.png')
    Image.fromarray(IMAGE).save(folder / 'secret.png')


def find_and_mark(folder: Path, text: bytes) -> None:
    make_folder(folder)
    path = folder / 'own' / 'a.json'
    path.write_bytes(text)
    for found in find_support(path):
        assert isinstance(found.name, str)
        for image, annotation in zip(found.images, found.annotations, strict=True):
            assert folder / 'own' in image.resolve().parents, 'led out of the folder'
            mask = to_mask(annotation, IMAGE, class_value=found.class_value)
            assert (mask == 1).any()


@inputs(250)
@given(data=st.data(), kind=st.sampled_from(('coco', 'labelme')))
def test_supports_by_json(data, kind, finding):
    finding(data.draw(broken_json(coco() if kind == 'coco' else LABELME)))


LEADING_OUT = st.sampled_from(
    (
        '../secret.png',
        'x/../../secret.png',
        '{folder}/secret.png',
        '..\\secret.png',
        'C:\\secret.png',
        '\\\\host\\secret.png',
        '/etc/passwd',
        './../secret.png',
        '',
        '.',
        '..',
        'a.png\x00',
        '\ud800.png',
        'a' * 5000,
        None,
        7,
        ['a.png'],
        {'x': 1},
    )
)


@inputs(60)
@given(name=LEADING_OUT, kind=st.sampled_from(('coco', 'labelme')))
def test_paths_that_lead_out_are_refused(name, kind, finding, support_folder):
    if isinstance(name, str):
        name = name.replace('{folder}', str(support_folder))
    tree = coco(name) if kind == 'coco' else dict(LABELME, imagePath=name)
    assert finding(json.dumps(tree).encode()) is not None


@pytest.mark.parametrize('link', ['../secret.png', '/etc/passwd'])
def test_links_that_lead_out_are_refused(link, tmp_path):
    make_folder(tmp_path / 'f')
    (tmp_path / 'f' / 'own' / 'link.png').symlink_to(link)
    path = tmp_path / 'f' / 'own' / 'a.json'
    path.write_text(json.dumps(coco('link.png')))
    with pytest.raises(ValueError, match='not inside the folder'):
        find_support(path)
    assert find_support(path, allow_outside=True)


REPORT = make_report(make_records(runs=2, episodes=4), fold=1)
REPORT['episodes'][0]['prediction'] = dict(size=[2, 3], counts='123')


def score_independently(report: dict) -> tuple[float, float]:
    """mIoU and FB-IoU from the definition, one number at a time."""
    miou, fb_iou = [], []
    for run in {e['run'] for e in report['episodes']}:
        own = [e for e in report['episodes'] if e['run'] == run]
        ious = []
        for c in {e['class_id'] for e in own}:
            both = sum(e['intersection'][1] for e in own if e['class_id'] == c)
            either = sum(e['union'][1] for e in own if e['class_id'] == c)
            ious.append(100 * both / max(either, 1))
        if report['protocol'] != 'ssp':  # the others count classes without an episode
            ious += [0.0] * (len(report['class_names']) - len(ious))
        miou.append(sum(ious) / len(ious))
        sides = [
            100
            * sum(e['intersection'][i] for e in own)
            / max(sum(e['union'][i] for e in own), 1)
            for i in (0, 1)
        ]
        fb_iou.append(sum(sides) / 2)
    return sum(miou) / len(miou), sum(fb_iou) / len(fb_iou)


def read_and_compare(folder: Path, text: bytes) -> None:
    """All that compare_results.py and test_folds.py do with a file."""
    path, sound = folder / 'a.json', folder / 'b.json'
    path.write_bytes(text)
    sound.write_text(json.dumps(REPORT))
    read = read_results(path)
    miou, fb_iou = score_independently(json.loads(text))
    assert math.isclose(read['mIoU'], miou, abs_tol=1e-5)
    assert math.isclose(read['FB-IoU'], fb_iou, abs_tol=1e-5)
    mean = mean_over_folds({1: read_fold(path, 1)}, resamples=20)
    assert math.isclose(mean['mean']['mIoU'], miou, abs_tol=1e-5)
    other = read_results(sound)
    check_comparable(read, other)
    found = compare(read, other, resamples=20)
    assert math.isclose(found['mIoU']['a'], miou, abs_tol=1e-5)
    gains_and_losses(read, other, 3)
    for record in read['episodes']:
        if 'prediction' in record:
            mask = decode_prediction(record, 'A')
            assert list(mask.shape) == record['prediction']['size']


@inputs(400)
@given(text=broken_json(REPORT))
def test_results_of_tests(text, comparing):
    comparing(text)


@inputs(60)
@given(text=damaged(json.dumps(REPORT).encode()))
def test_damaged_results_of_tests(text, comparing):
    comparing(text)


STREAM = io.BytesIO()
Image.fromarray(IMAGE).save(STREAM, 'PNG')
PNG = STREAM.getvalue()
RECORD = dict(
    file='a.png', settings='0' * 16, source=[len(PNG), 10**18], height=3, width=4,
    classes=[dict(name='cat', area=3, score=0.5, present=True)],
    annotations=[dict(category_id=1, area=3, segmentation=dict(size=[3, 4], counts='0'))],
)  # fmt: skip


def go_on(folder: Path, record: bytes, settings: bytes) -> None:
    """A record and settings that an earlier run left, or somebody else."""
    folder = folder / 'output'
    shutil.rmtree(folder, ignore_errors=True)
    for kind in ('masks', 'overlays', 'thumbs', 'records'):
        (folder / kind).mkdir(parents=True)
    image = folder / 'a.png'
    image.write_bytes(PNG)
    item = InputItem(image, 'a.png', 'a')
    os.utime(image, ns=(RECORD['source'][1],) * 2)
    for name in ('masks/a.png', 'overlays/a.jpg', 'thumbs/a.jpg'):
        (folder / name).write_bytes(b'x')
    (folder / 'records' / 'a.json').write_bytes(record)
    read = read_record(item, folder, '0' * 16)
    if read is not None:
        assert read['source'] == source_state(item)
        write_coco(folder / 'annotations.json', [read], ['cat'])
        write_csv(folder / 'areas.csv', [read])
        write_contact_sheet(folder / 'index.html', [(item, read)], {})
    (folder / 'settings.json').write_bytes(settings)
    try:
        prepare_output(folder, {'model': 'x'})
    finally:
        assert not [path for path in left_over(folder) if path.parent == folder]


@inputs(100)
@given(
    record=broken_json(RECORD), settings=broken_json({'model': 'x', 'classes': ['cat']})
)
def test_outputs_of_an_earlier_run(record, settings, going_on):
    going_on(record, settings)


@inputs(60)
@given(tree=changed(LABELME))
def test_labelme_objects_as_they_are(tree, objects):
    objects(tree)


def mark_object(tree: object) -> None:
    mask = to_mask(tree, IMAGE, class_value='cat', resize=True)
    assert (mask == 1).any()


@pytest.fixture(scope='module')
def objects():
    with Sandbox(mark_object) as sandbox:
        yield sandbox


def in_folder(function, name: str):
    @pytest.fixture(scope='module')
    def fixture(tmp_path_factory):
        folder = tmp_path_factory.mktemp(name)
        with Sandbox(lambda *args: function(folder, *args)) as sandbox:
            yield sandbox

    return fixture


marking = in_folder(mark, 'labelme')
comparing = in_folder(read_and_compare, 'results')
going_on = in_folder(go_on, 'outputs')


@pytest.fixture(scope='module')
def support_folder(tmp_path_factory):
    return tmp_path_factory.mktemp('support') / 'f'


@pytest.fixture(scope='module')
def finding(support_folder):
    with Sandbox(lambda text: find_and_mark(support_folder, text)) as sandbox:
        yield sandbox

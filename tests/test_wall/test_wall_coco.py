"""COCO annotation files: what is read gives the pixels of an independent decoder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from coco_samples import (
    HEIGHT,
    WIDTH,
    annotation,
    box,
    compressed,
    content,
    uncompressed,
)
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import broken_json, damaged
from PIL import Image, ImageDraw
from sandbox import Sandbox, inputs, left_over

from mmssp.datasets.coco.coco_json import MAX_PIXELS
from mmssp.datasets.coco.coco_masks import segmentation_rle
from mmssp.datasets.coco20i import CocoSegDataset

REGION = np.zeros((HEIGHT, WIDTH), bool)
REGION[4:9, 3:20] = True
VALID = content(
    annotations=[
        annotation([box(2, 3, 12, 9)], id=1, area=60, bbox=[2, 3, 10, 6]),
        annotation([box(15, 1, 25, 18)], category_id=7, id=2),
        annotation(uncompressed(REGION), category_id=9, id=3),
        annotation(compressed(REGION), category_id=3, id=4, iscrowd=1),
        annotation([box(0, 0, 5, 5), box(7, 7, 9, 9)], image_id=2, id=5),
    ],
    images=[
        {'id': 1, 'file_name': 'a.jpg', 'height': HEIGHT, 'width': WIDTH},
        {'id': 2, 'file_name': 'b/c.jpg', 'height': HEIGHT, 'width': WIDTH},
    ],
)


def number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_box(polygon: object) -> bool:
    """A rectangle along the axes with whole numbers: all decoders agree on it."""
    if not isinstance(polygon, list) or len(polygon) != 8:
        return False
    if not all(number(v) and abs(v) < 1e6 and v == int(v) for v in polygon):
        return False
    left, top, right, bottom = polygon[0], polygon[1], polygon[2], polygon[5]
    return polygon == box(left, top, right, bottom) and left < right and top < bottom


def decode_rle(rle: dict) -> np.ndarray:
    """Run lengths by their definition; LEB128 as COCO's format describes it."""
    counts = rle['counts']
    if isinstance(counts, str):
        numbers, text = [], iter(counts)
        for character in text:
            value, shift, code = 0, 0, ord(character) - 48
            while code & 32:
                value += (code & 31) * 2**shift
                shift, code = shift + 5, ord(next(text)) - 48
            value += (code & 31) * 2**shift
            if code & 16:
                value -= 2 ** (shift + 5)
            numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        counts = numbers
    flat = np.concatenate([np.full(int(n), i % 2, bool) for i, n in enumerate(counts)])
    height, width = rle['size']
    return flat.reshape(width, height).T


def drawn_independently(tree: dict, image: dict, labels: dict) -> np.ndarray | None:
    """The label mask by definition; None where decoders may differ (sloped edges)."""
    shape = image['height'], image['width']
    regions = []
    for item in tree['annotations']:
        if item['image_id'] != image['id']:
            continue
        label = labels[item['category_id']]
        if item.get('iscrowd') and label:
            label = 255
        outline, region = item.get('segmentation'), np.zeros(shape, bool)
        if isinstance(outline, dict) and outline:
            region = decode_rle(outline)
        for polygon in outline if isinstance(outline, list) else []:
            if len(polygon) < 6:
                continue
            if not is_box(polygon):
                return None
            left, top, right, bottom = (int(polygon[i]) for i in (0, 1, 2, 5))
            region[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
        regions.append((int(region.sum()), region, label))
    mask = np.zeros(shape, np.uint8)
    for _, region, label in sorted(regions, key=lambda r: -r[0]):
        mask[region] = label
    return mask


def load_and_compare(folder: Path, text: bytes) -> None:
    """A data set of a JSON; its masks against those of the independent decoder."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / 'images').mkdir(parents=True)
    (folder / 'instances.json').write_bytes(text)
    try:
        dataset = CocoSegDataset(
            data_root=str(folder),
            ann_file='instances.json',
            data_prefix={'img_path': 'images'},
            cache_dir=folder / 'cache',
            workers=1,
        )
    except ValueError:
        assert not list(folder.rglob('manifest.json')), 'a manifest of a refused file'
        raise
    finally:
        assert not left_over(folder / 'cache')
        outside = {p.name for p in folder.parent.iterdir()} - {folder.name}
        assert not outside, f'{outside} was written outside the cache'
    tree = json.loads(text)
    ids = sorted(category['id'] for category in tree['categories'])
    labels = {number: i for i, number in enumerate(ids, start=1)}
    names = {c['id']: c['name'] for c in tree['categories']}
    if 'background' in names.values():
        return  # moves the others
    assert len(dataset) == len(tree['images'])
    for i, image in enumerate(tree['images']):
        expected = drawn_independently(tree, image, labels)
        path = Path(dataset.get_data_info(i)['seg_map_path'])
        assert folder / 'cache' in path.resolve().parents
        found = np.asarray(Image.open(path))
        assert found.shape == (image['height'], image['width'])
        if expected is not None:
            np.testing.assert_array_equal(found, expected)


@inputs(200)
@given(text=broken_json(VALID))
def test_changed_json(text, loading):
    loading(text)


@inputs(60)
@given(text=damaged(json.dumps(VALID).encode()))
def test_damaged_json(text, loading):
    loading(text)


def decode(segmentation: object, height: int, width: int) -> None:
    from pycocotools import mask as mask_utils

    rle = segmentation_rle(segmentation, height, width)
    if rle is None:
        return
    found = mask_utils.decode(rle)
    assert found.shape == (height, width)
    assert set(np.unique(found)) <= {0, 1}
    if isinstance(segmentation, dict):
        np.testing.assert_array_equal(found, decode_rle(segmentation))


COUNTS = st.one_of(
    st.lists(
        st.one_of(
            st.integers(0, 40), st.sampled_from((-1, 2**31, 2**32, 2**40, 2**64))
        ),
        max_size=12,
    ),
    st.text(alphabet=[chr(c) for c in range(40, 118)], max_size=30),
    st.sampled_from((None, 3, [1.5], ['1'], [None], [True, 599])),
)
SIZES = st.sampled_from(
    (
        [HEIGHT, WIDTH],
        [WIDTH, HEIGHT],
        [0, 0],
        [-1, -600],
        [2**32, 2**32],
        None,
        'x',
        [600],
    )
)


@inputs(300)
@given(
    counts=COUNTS,
    size=SIZES,
    mend=st.booleans(),
    extra=st.sampled_from(({}, {'size': [HEIGHT, WIDTH]})),
)
def test_hostile_run_lengths(counts, size, mend, extra, decoding):
    if mend and isinstance(counts, list) and all(type(c) is int for c in counts):
        # adds up, so that it gets as far as the native decoder
        counts = [c for c in counts if 0 <= c <= 40][: HEIGHT * WIDTH // 40]
        counts.append(HEIGHT * WIDTH - sum(counts))
        size = [HEIGHT, WIDTH]
    decoding({'size': size, 'counts': counts, **extra}, HEIGHT, WIDTH)


COORDINATES = st.one_of(
    st.integers(-5, 40),
    st.floats(-50, 50),
    st.sampled_from((1e6, -1e6, 1e7, 1e300, float('nan'), float('inf'), 2**31, 0.5)),
)
POLYGONS = st.lists(st.lists(COORDINATES, max_size=14), max_size=4)


@inputs(300)
@given(polygons=POLYGONS)
def test_hostile_polygons(polygons, decoding):
    decoding(polygons, HEIGHT, WIDTH)


@inputs(60)
@given(
    points=st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=3, max_size=400
    )
)
@example(points=[(-1e6, -1e6), (1e6, 1e6)] * 50_000)
def test_long_outlines_take_no_memory(points, decoding):
    decoding([[float(v) for point in points for v in point]], HEIGHT, WIDTH)


@pytest.mark.parametrize(
    'side', [(MAX_PIXELS, 2), (2**31, 2**31), (1, 2**40), (65_536, 65_536)]
)
def test_sizes_that_no_image_has_are_refused(side, loading):
    tree = json.loads(json.dumps(VALID))
    tree['images'][0].update(height=side[0], width=side[1])
    assert 'pixels' in loading(json.dumps(tree).encode())


@pytest.mark.parametrize(
    'name',
    ['../x.jpg', '/tmp/x.jpg', 'C:\\x.jpg', 'a/../../x.jpg', '..\\x.jpg', '\\x', ''],
)
def test_names_that_lead_out_are_refused(name, loading):
    tree = json.loads(json.dumps(VALID))
    tree['images'][0]['file_name'] = name
    assert 'leads out' in loading(json.dumps(tree).encode())


def test_polygon_pixels_are_those_of_another_library(decoding):
    """The independent decoder's own check: boxes, by Pillow."""
    image = Image.new('1', (WIDTH, HEIGHT))
    ImageDraw.Draw(image).rectangle((2, 3, 11, 8), fill=1)
    tree = content()
    np.testing.assert_array_equal(
        drawn_independently(tree, tree['images'][0], {3: 1, 7: 2, 9: 3}) == 1,
        np.asarray(image),
    )


@pytest.fixture(scope='module')
def loading(tmp_path_factory):
    folder = tmp_path_factory.mktemp('coco') / 'data'
    with Sandbox(lambda text: load_and_compare(folder, text)) as sandbox:
        yield sandbox


@pytest.fixture(scope='module')
def decoding():
    with Sandbox(decode) as sandbox:
        yield sandbox

"""LabelMe's files as people and programs write them."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from mmssp.apis.annotations.conversion import to_mask
from mmssp.apis.support.support_files import find_support

IMAGE = np.zeros((24, 32, 3), np.uint8)
RING = [[4.0, 4.0], [12.0, 4.0], [12.0, 12.0], [4.0, 12.0]]
AREA = 64


def shape(kind='polygon', points=RING, label='disc', **more):
    return dict(label=label, points=points, shape_type=kind, flags={}, **more)


def encoded(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, 'PNG')
    return base64.b64encode(buffer.getvalue()).decode()


def ai_mask(left=2, top=3, mask=None, **more):
    mask = np.tri(6, 5, dtype=bool) if mask is None else mask
    corner = [left + mask.shape[1] - 1, top + mask.shape[0] - 1]
    return shape('mask', [[left, top], corner], mask=encoded(mask), **more)


@pytest.fixture
def write(tmp_path):
    def make(*shapes, **fields):
        path = tmp_path / 'a.json'
        content = dict(imagePath='a.jpg', imageHeight=24, imageWidth=32, **fields)
        path.write_text(json.dumps(dict(content, shapes=list(shapes))))
        return path

    return make


def count(path, **kwargs) -> int:
    return int((to_mask(path, IMAGE, **kwargs) == 1).sum())


def test_the_mask_of_the_ai_tool_lies_where_it_was_drawn(write):
    mask = to_mask(write(ai_mask()), IMAGE)
    expected = np.zeros((24, 32), np.uint8)
    expected[3:9, 2:7] = np.tri(6, 5)
    np.testing.assert_array_equal(mask, expected)


def test_a_mask_of_0_and_255_and_one_over_the_edge_are_read(write):
    white = np.full((6, 5), 255, np.uint8)
    assert count(write(ai_mask(mask=white))) == 30
    assert count(write(ai_mask(left=-2, top=20, mask=white))) == 12


def test_a_mask_is_scaled_with_its_image(write):
    path = write(ai_mask(mask=np.ones((6, 5), bool)))
    small = np.zeros((12, 16, 3), np.uint8)
    assert (to_mask(path, small, resize=True) == 1).sum() == 3 * 2


@pytest.mark.parametrize('kind', ['rotation', 'oriented_rectangle'])
def test_boxes_that_are_turned_are_read(write, kind):
    assert count(write(shape(kind, direction=0.3))) == AREA


@pytest.mark.parametrize(
    'careless',
    [
        shape('point', [[8, 6]]),
        shape('line', [[8, 6], [9, 9]]),
        shape('linestrip', RING),
        shape('points', RING),
        shape(points=[[1, 1], [5, 5]]),
        shape(points=[]),
        shape('rectangle', [[3, 3], [3, 9]]),
        shape('rectangle', [[3, 3]]),
        shape('circle', [[90, 90], [91, 91]]),
        shape(points=[[1.1, 1.1], [1.3, 1.1], [1.2, 1.3]]),
        shape(points=[[300, 300], [320, 300], [320, 320]]),
        ai_mask(left=200),
    ],
)
def test_one_careless_shape_is_left_out_with_a_word(write, careless):
    with pytest.warns(UserWarning, match=r'a\.json: left out 1 shape.*shape 2'):
        assert count(write(shape(), careless)) == AREA
    with pytest.raises(ValueError, match=r'a\.json: shape 1 .*no pixel'):
        to_mask(write(careless), IMAGE)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (shape('cuboid'), "'cuboid'"),
        (shape(points='abc'), 'pairs'),
        (shape(points=[[1, 2], [3, None], [4, 5]]), 'pairs'),
        (shape('mask', RING), 'Base64'),
        (shape('mask', RING, mask='%%%'), 'image|Base64'),
        (ai_mask(mask=np.ones((90, 90), bool)), 'at most'),
    ],
)
def test_a_refusal_names_file_shape_and_type(write, wrong, message):
    kind = wrong['shape_type']
    with pytest.raises(
        ValueError, match=rf"a\.json: shape 2 \({kind} 'disc'\)"
    ) as caught:
        to_mask(write(shape(), wrong), IMAGE)
    assert re.search(message, str(caught.value))


@pytest.mark.parametrize('label', [1, 0, 2.5])
def test_labels_that_are_numbers_are_classes(write, tmp_path, label):
    Image.fromarray(IMAGE).save(tmp_path / 'a.jpg')
    (own,) = find_support(write(shape(label=label)))
    assert own.name == str(label)
    assert count(own.annotations[0], class_value=own.class_value) == AREA

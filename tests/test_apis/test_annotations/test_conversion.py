"""Every kind of annotation as a mask of object, background and ignored."""

import io
import json
import warnings

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np
from PIL import Image
from pycocotools import mask as mask_utils

from mmssp.apis.annotations.conversion import Box, Points, Polygon, to_mask

HEIGHT, WIDTH = 12, 16
IMAGE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
SQUARE = np.zeros((HEIGHT, WIDTH), np.uint8)
SQUARE[2:6, 3:9] = 1
CORNERS = [(3, 2), (9, 2), (9, 6), (3, 6)]


def values(array: np.ndarray) -> set[int]:
    return set(np.unique(array).tolist())


def check(annotation, expected=SQUARE, **kwargs) -> None:
    mask = to_mask(annotation, IMAGE, **kwargs)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, expected)


def palette_image(indices: np.ndarray) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette(np.random.default_rng(1).integers(0, 256, 768, np.uint8).tobytes())
    return image


# ------------------------------------------------------------------------------ masks


@pytest.mark.parametrize(
    'mask',
    [
        SQUARE,
        SQUARE.astype(bool),
        SQUARE * 255,
        SQUARE * 38,
        SQUARE.astype(np.int64) * 7,
        SQUARE[..., None],
        np.repeat(SQUARE[..., None] * 255, 3, axis=2),
        Image.fromarray(SQUARE * 255),
        Image.fromarray(SQUARE.astype(bool)),
        Image.fromarray(SQUARE * 255).convert('RGB'),
        Image.fromarray(SQUARE.astype(np.uint16) * 9),
        palette_image(SQUARE * 38),
    ],
)
def test_mask_with_one_value_is_the_object(mask):
    check(mask)


@pytest.mark.parametrize('kind', ['L', 'P', '1'])
@pytest.mark.parametrize('as_bytes', [False, True])
def test_mask_file_gives_stored_indices(tmp_path, kind, as_bytes):
    image = {
        'L': Image.fromarray(SQUARE * 38),
        'P': palette_image(SQUARE * 38),
        '1': Image.fromarray(SQUARE.astype(bool)),
    }[kind]
    path = tmp_path / 'mask.png'
    image.save(path)
    check(path.read_bytes() if as_bytes else str(path))


def test_255_is_ignored_beside_another_value():
    mask = SQUARE * 4
    mask[0] = 255
    expected = SQUARE.copy()
    expected[0] = 255
    check(mask, expected)


def test_class_value_makes_other_values_background():
    mask = SQUARE * 4
    mask[8] = 9
    mask[0] = 255
    expected = SQUARE.copy()
    expected[0] = 255
    check(mask, expected, class_value=4)


def test_several_values_without_a_choice_are_listed():
    mask = SQUARE * 4
    mask[8] = 9
    with pytest.raises(ValueError, match=r'4, 9; choose one by class_value'):
        to_mask(mask, IMAGE)


@pytest.mark.parametrize('class_value', [5, 0, 'dog', 1.0])
def test_class_value_not_there_lists_what_is(class_value):
    with pytest.raises(ValueError, match='beside 0 are 4'):
        to_mask(SQUARE * 4, IMAGE, class_value=class_value)


@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        (np.zeros_like(SQUARE), 'no pixel of the object'),
        (IMAGE, 'colours'),
        (Image.fromarray(IMAGE), 'colours'),
        (Image.fromarray(IMAGE).convert('CMYK'), 'CMYK'),
        (SQUARE.astype(float), 'mask > 0.5'),
        (SQUARE.astype(int) * 300, '0..300'),
        (SQUARE.astype(int) * -1, '-1..0'),
        (SQUARE[None], 'shape'),
        (torch.from_numpy(SQUARE), 'Tensor'),
        (3, 'int'),
        ([], 'nothing'),
        ((3, 2, 9, 6), 'Box'),
        (CORNERS, 'Polygon'),
        ('https://example.org/mask.png', 'nothing is downloaded'),
        ('https://example.org/shapes.json', 'nothing is downloaded'),
    ],
)
def test_no_mask_is_refused_with_a_sentence(mask, message):
    with pytest.raises(ValueError, match=message):
        to_mask(mask, IMAGE)


@pytest.mark.parametrize('as_file', [False, True])
def test_other_size_is_refused_unless_resized(tmp_path, as_file):
    mask = cv2.resize(SQUARE, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    if as_file:
        Image.fromarray(mask).save(tmp_path / 'mask.png')
        mask = tmp_path / 'mask.png'
    with pytest.raises(ValueError, match='48x36 pixels, the image 16x12'):
        to_mask(mask, IMAGE)
    check(mask, resize=True)


def test_object_lost_by_resizing_is_an_error():
    mask = np.zeros((HEIGHT * 9, WIDTH * 9), bool)
    mask[0, 0] = True
    with pytest.raises(ValueError, match='no pixel of the object'):
        to_mask(mask, IMAGE, resize=True)


def test_missing_files_are_named(tmp_path):
    for name in ('mask.png', 'shapes.json'):
        with pytest.raises(FileNotFoundError, match=name):
            to_mask(tmp_path / name, IMAGE)


@given(
    st_np.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.sampled_from([0, 1, 7, 255])),
    st.sampled_from([None, 1, 7, 255]),
)
def test_masks_follow_the_rule_of_values(mask, class_value):
    found = values(mask) - {0}
    classes = found - {255} or found
    counts = [int((mask == value).sum()) for value in (1, 7, 255)]
    stray = 0 < sum(counts[:2]) < counts[2] / 100  # whether it is one is asked
    assume(class_value is not None or not stray)
    if class_value is None and len(classes) == 1:
        chosen = min(classes)
    else:
        chosen = class_value if class_value in found else None
    if chosen is None:
        with pytest.raises(ValueError, match='value|object'):
            to_mask(mask, IMAGE, class_value=class_value)
        return
    result = to_mask(mask, IMAGE, class_value=class_value)
    for y, x in np.ndindex(mask.shape):
        value = mask[y, x]
        expected = 1 if value == chosen else 255 if value == 255 else 0
        assert result[y, x] == expected


# ------------------------------------------------------------------- boxes and polygons


def test_box_ends_before_its_second_corner():
    check(Box(3, 2, 9, 6))


def test_box_holds_the_pixels_whose_centres_it_holds():
    check(Box(2.6, 1.5 + 1e-9, 9.5, 6.4))


def test_box_is_clipped_at_the_image():
    expected = np.zeros_like(SQUARE)
    expected[:3, :2] = 1
    check(Box(-5, -1e5, 2, 3), expected)


def test_annotations_are_values():
    assert Box(0, 0, 1, 1) == Box(0, 0, 1, 1)
    assert hash(Polygon(CORNERS)) == hash(Polygon(np.array(CORNERS)))
    assert Points([(1, 2)]) == Points((1, 2)) == Points([[(1.0, 2.0)]])


@pytest.mark.parametrize(
    'make',
    [
        lambda: Box(4, 4, 4, 9),
        lambda: Box(9, 2, 3, 6),
        lambda: Box(float('nan'), 0, 3, 3),
        lambda: Box(0, 0, float('inf'), 3),
        lambda: Box('0', 0, 3, 3),
        lambda: Polygon([(1, 1), (2, 2)]),
        lambda: Polygon([]),
        lambda: Polygon(None),
        lambda: Polygon([1, 2, 3, 4, 5, 6]),
        lambda: Polygon([(1, 1), (2, 2), (3, float('nan'))]),
        lambda: Polygon([(1, 1), (2, 2), (3,)]),
        lambda: Polygon(CORNERS, holes=[[(1, 1)]]),
        lambda: Points([]),
        lambda: Points(None),
        lambda: Points([(1, float('nan'))]),
        lambda: Points([(1, 2, 3)]),
        lambda: Points(['ab']),
        lambda: Points([(1, 2)], radius=-1),
        lambda: Points([(1, 2)], radius=float('nan')),
    ],
)
def test_nonsense_is_refused_when_made(make):
    with pytest.raises(ValueError, match='expected|needs|no list|NaN'):
        make()


@pytest.mark.parametrize(
    'annotation',
    [
        Box(20, 2, 30, 6),
        Box(-9, -9, 0, 0),
        Box(3.6, 3.6, 4.4, 4.4),
        Polygon([(20, 2), (30, 2), (30, 9)]),
        Polygon([(3, 3), (3, 3), (3, 3)]),
        Polygon(CORNERS, holes=[CORNERS]),
        Points([(16, 3)]),
        Points([(3, 3), (3, -1)]),
        Points([(3, 3)], background=[[(20, 20), (30, 30)]]),
        [Box(3, 2, 9, 6), Box(20, 2, 30, 6)],
    ],
)
def test_nothing_inside_the_image_is_an_error(annotation):
    with pytest.raises(ValueError, match='covers no pixel of the image of 16x12'):
        to_mask(annotation, IMAGE)


def test_polygon_on_pixel_edges_equals_the_box():
    check(Polygon(CORNERS))


def test_polygon_loses_its_holes():
    expected = SQUARE.copy()
    expected[3:5, 4:7] = 0
    check(Polygon(CORNERS, holes=[[(4, 3), (7, 3), (7, 5), (4, 5)]]), expected)


def test_list_of_shapes_is_united():
    expected = SQUARE.copy()
    expected[8:10, 1:3] = 1
    check([Polygon(CORNERS), Box(1, 8, 3, 10)], expected)


def test_endless_outline_is_refused():
    zigzag = [(1e6 * (-1) ** i, i) for i in range(100)]
    with pytest.raises(ValueError, match='outline longer'):
        to_mask(Polygon(zigzag), IMAGE)


# ------------------------------------------------------------------------------ points


def slow_distance(points: list[tuple[int, int]], height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.min([np.hypot(rows - y, columns - x) for x, y in points], axis=0)


@pytest.mark.parametrize('radius', [0, 1, 2.5])
def test_points_are_discs_and_far_is_background(radius):
    points = [(4, 5), (20, 30)]
    mask = to_mask(
        Points(points, radius=radius, margin=9), np.zeros((40, 50, 3), np.uint8)
    )
    distance = slow_distance(points, 40, 50)
    expected = np.where(distance <= radius, 1, np.where(distance > 9, 0, 255))
    np.testing.assert_array_equal(mask, expected)


def test_margin_is_an_eighth_of_the_longer_side():
    mask = to_mask(Points((40, 40), radius=2), np.zeros((80, 160, 3), np.uint8))
    assert mask[40, 60] == 255 and mask[40, 61] == 0


def test_stroke_joins_its_points_and_runs_out_of_the_image():
    mask = to_mask(
        Points([[(-10, 5), (30, 5)]], radius=1, margin=3),
        np.zeros((12, 16, 3), np.uint8),
    )
    np.testing.assert_array_equal((mask == 1).any(axis=1).nonzero()[0], [4, 5, 6])
    assert (mask[4:7] == 1).all()


def test_strokes_of_different_lengths_go_together():
    points = Points([[(1, 1), (2, 2), (3, 3)], [(5, 5), (9, 9)], (10, 2)], radius=0)
    assert (to_mask(points, IMAGE) == 1).sum() == 9


def test_background_strokes_leave_the_rest_ignored():
    points = Points([[(2, 2), (8, 2)]], background=[[(2, 9), (8, 9)]], radius=0)
    mask = to_mask(points, IMAGE)
    assert (mask[2, 2:9] == 1).all() and (mask[9, 2:9] == 0).all()
    assert (mask == 255).sum() == mask.size - 14


def test_foreground_wins_where_strokes_cross():
    points = Points([[(4, 1), (4, 9)]], background=[[(1, 4), (9, 4)]], radius=0)
    assert to_mask(points, IMAGE)[4, 4] == 1


# ---------------------------------------------------------------------------- LabelMe


def labelme(*shapes: dict, **fields) -> dict:
    return dict(
        version='5.0',
        shapes=list(shapes),
        imagePath='../../../../etc/passwd',
        imageData=None,
        **(dict(imageHeight=HEIGHT, imageWidth=WIDTH) | fields),
    )


def shape(points=CORNERS, kind='polygon', label='screw') -> dict:
    return dict(label=label, points=points, shape_type=kind, group_id=None)


@pytest.fixture
def write_json(tmp_path):
    def write(content, name='shapes.json'):
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding='utf-8')
        return path

    return write


@pytest.mark.parametrize(
    'content',
    [
        shape(),
        shape(kind=None),
        shape([(9, 6), (3, 2)], 'rectangle'),
        shape(CORNERS, 'rectangle'),
    ],
)
def test_labelme_shapes_are_drawn(write_json, content):
    check(write_json(labelme(content), 'SHAPES.JSON'))
    check(labelme(content))


def test_labelme_circle_goes_through_its_second_point():
    mask = to_mask(labelme(shape([(8, 6), (8, 11)], 'circle')), IMAGE)
    distance = slow_distance([(7.5, 5.5)], HEIGHT, WIDTH)
    assert mask[distance < 4.5].all() and not mask[distance > 5.5].any()


def test_labelme_label_is_chosen_by_class_value(write_json):
    path = write_json(
        labelme(
            shape(),
            shape([(0, 0), (2, 2)], 'rectangle', 'nut'),
            shape(kind='?', label=''),
        )
    )
    check(path, class_value='screw')
    with pytest.raises(ValueError, match=r"several labels, \['', 'nut', 'screw'\]"):
        to_mask(path, IMAGE)
    with pytest.raises(ValueError, match="no shape with the label 'bolt'"):
        to_mask(path, IMAGE, class_value='bolt')


def test_labelme_of_another_size_is_refused_unless_resized(write_json):
    doubled = shape([(2 * x, 2 * y) for x, y in CORNERS])
    path = write_json(labelme(doubled, imageHeight=24, imageWidth=32))
    with pytest.raises(ValueError, match='32x24 pixels, this one has 16x12'):
        to_mask(path, IMAGE)
    check(path, resize=True)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'not valid JSON'),
        ('{"shapes": [', 'not valid JSON'),
        ('[' * 100_000, 'not valid JSON'),
        ('7', 'no list of objects named "shapes"'),
        ('{"annotations": [], "images": []}', 'pass the annotation dicts'),
        (labelme(), 'no shape'),
        (labelme(shape(kind='linestrip')), 'linestrip'),
        (labelme(shape(points=[(1, 1)])), 'shape 1 .polygon.*no pixel'),
        (labelme(shape(points=[(1, 1)], kind='rectangle')), 'shape 1 .rectangle'),
        (labelme(shape([[0, 0], [1, float('nan')], [2, 2]])), 'NaN'),
        (labelme(shape(points='abc')), 'pairs of numbers'),
        (labelme(shape(), imageWidth='wide'), 'expected pixels'),
    ],
)
def test_damaged_labelme_names_the_file(write_json, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        to_mask(write_json(content), IMAGE)
    assert 'shapes.json' in str(caught.value)


def test_bytes_that_are_no_text_give_a_sentence(tmp_path):
    (tmp_path / 'a.json').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match='not valid JSON'):
        to_mask(tmp_path / 'a.json', IMAGE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner)
    ),
    max_leaves=8,
)
GARBAGE_SHAPE = st.fixed_dictionaries(
    {},
    optional=dict(
        label=JSON,
        shape_type=st.sampled_from(['polygon', 'rectangle', 'circle']) | JSON,
        points=st.lists(st.lists(st.floats() | st.integers(), max_size=3)) | JSON,
    ),
)
GARBAGE = JSON | st.fixed_dictionaries(
    dict(shapes=st.lists(GARBAGE_SHAPE | JSON, max_size=3) | JSON),
    optional=dict(imageHeight=JSON, imageWidth=JSON),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(GARBAGE, st.booleans(), st.none() | st.text(max_size=3))
def test_labelme_garbage_is_a_mask_or_a_sentence(write_json, content, resize, label):
    path = write_json(content)
    try:
        mask = to_mask(path, IMAGE, resize=resize, class_value=label)
    except ValueError as error:
        assert len(str(error)) > 20
    else:
        assert values(mask) <= {0, 1}


# ------------------------------------------------------------------------------- COCO


def rle(mask: np.ndarray) -> dict:
    code = mask_utils.encode(np.asfortranarray(mask))
    return dict(code, counts=code['counts'].decode())


def runs(mask: np.ndarray) -> dict:
    counts, last = [0], 0
    for value in mask.ravel(order='F').tolist():
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return dict(size=list(mask.shape), counts=counts)


FLAT = [float(v) for corner in CORNERS for v in corner]


@pytest.mark.parametrize(
    'annotation',
    [
        dict(segmentation=[FLAT], category_id=3, iscrowd=0, id=1),
        dict(segmentation=rle(SQUARE)),
        dict(segmentation=mask_utils.encode(np.asfortranarray(SQUARE))),
        dict(segmentation=runs(SQUARE), iscrowd=1),
        dict(bbox=[3, 2, 6, 4]),
        dict(segmentation=[], bbox=[3, 2, 6, 4]),
        [dict(bbox=[3, 2, 3, 4]), dict(segmentation=[FLAT])],
    ],
)
def test_coco_annotations_are_drawn(annotation):
    check(annotation)


def test_coco_category_is_chosen_by_class_value():
    both = [
        dict(segmentation=[FLAT], category_id=3),
        dict(bbox=[0, 0, 2, 2], category_id=18),
    ]
    check(both, class_value=3)
    with pytest.raises(ValueError, match='several categories, 18, 3'):
        to_mask(both, IMAGE)
    with pytest.raises(ValueError, match='there are 18, 3'):
        to_mask(both, IMAGE, class_value=4)


def test_coco_rle_of_another_size_is_refused_unless_resized():
    larger = rle(cv2.resize(SQUARE, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST))
    with pytest.raises(ValueError, match='RLE has the size'):
        to_mask(dict(segmentation=larger), IMAGE)
    check(dict(segmentation=larger), resize=True)


@pytest.mark.parametrize('resize', [False, True])
@pytest.mark.parametrize(
    'annotation',
    [
        {},
        dict(segmentation=None),
        dict(segmentation=[[1, 2]]),
        dict(segmentation='abc'),
        dict(segmentation=[[float('nan')] * 6]),
        dict(segmentation=dict(size=[12, 16], counts=[1])),
        dict(segmentation=dict(size=[10**9, 10**9], counts=[1])),
        dict(segmentation=dict(size=[-1, 'a'], counts=[1])),
        dict(segmentation=dict(size=[12, 16], counts='\x00')),
        dict(bbox=[1, 2, 3]),
        dict(bbox=[1, 2, 'a', None]),
        dict(bbox=[1, 2, -3, 4]),
    ],
)
def test_damaged_coco_annotation_names_its_id(annotation, resize):
    with pytest.raises(ValueError, match='COCO annotation 77'):
        to_mask(annotation | dict(id=77), IMAGE, resize=resize)


# ---------------------------------------------------------------------------- GrabCut


def scene(scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A noisy red disc on noisy green: (H,W,3) uint8 and its (H,W) bool mask."""
    height, width = 90 * scale, 120 * scale
    rows, columns = np.mgrid[:height, :width]
    disc = np.hypot(rows - 45 * scale, columns - 60 * scale) < 25 * scale
    noise = np.random.default_rng(0).integers(0, 60, (height, width, 3))
    colour = np.where(disc[..., None], (180, 30, 30), (30, 160, 30))
    return (colour + noise).astype(np.uint8), disc


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    return ((mask == 1) & truth).sum() / ((mask == 1) | truth).sum()


LOOSE = Box(25, 10, 95, 80)
SCRIBBLE = Points(
    [[(50, 40), (70, 50)]], background=[[(5, 5), (110, 5)], [(5, 85), (110, 85)]]
)


@pytest.mark.parametrize(
    'annotation',
    [LOOSE, SCRIBBLE, Points([(60, 45)], margin=35), dict(bbox=[25, 10, 70, 70])],
)
def test_tightened_mark_finds_the_edge(annotation):
    image, disc = scene()
    mask = to_mask(annotation, image, tighten=True)
    assert values(mask) == {0, 1}
    assert iou(mask, disc) > 0.95 > iou(to_mask(annotation, image), disc)


def test_large_image_is_cut_at_a_smaller_size():
    image, disc = scene(scale=10)
    box = to_mask(Box(250, 100, 950, 800), image, tighten=True)
    assert iou(box, disc) > 0.95
    strokes = Points([[(500, 450), (700, 500)]], [[(50, 50), (1100, 50)]], radius=0)
    assert iou(to_mask(strokes, image, tighten=True), disc) > 0.95


def test_tightening_is_deterministic_and_leaves_the_image():
    image, _ = scene()
    before = image.copy()
    first = to_mask(LOOSE, image, tighten=True)
    cv2.setRNGSeed(99)
    np.testing.assert_array_equal(to_mask(LOOSE, image, tighten=True), first)
    np.testing.assert_array_equal(image, before)


def test_tightened_strokes_keep_what_was_drawn():
    image, disc = scene()
    points = Points([[(10, 10), (20, 10)]], background=[[(55, 45), (65, 45)]], radius=2)
    mask, drawn = to_mask(points, image, tighten=True), to_mask(points, image)
    assert (mask[drawn == 1] == 1).all() and (mask[drawn == 0] == 0).all()


def test_box_around_everything_falls_back_with_a_warning():
    image, _ = scene()
    with pytest.warns(UserWarning, match='GrabCut found no object by the box'):
        mask = to_mask(Box(0, 0, 120, 90), image, tighten=True)
    assert (mask == 1).all()


@pytest.mark.parametrize('annotation', [Box(0, 0, 1, 1), Points((0, 0))])
@pytest.mark.parametrize('side', [1, 2])
def test_tiny_images_can_be_marked(annotation, side):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        mask = to_mask(annotation, np.zeros((side, side, 3), np.uint8), tighten=True)
    assert mask.shape == (side, side) and mask[0, 0] == 1


def test_tighten_leaves_masks_and_polygons():
    for annotation in (SQUARE, Polygon(CORNERS), labelme(shape())):
        check(annotation, tighten=True)


@pytest.mark.parametrize(
    'image', [None, IMAGE[..., 0], IMAGE.astype(float), np.zeros((0, 4, 3), np.uint8)]
)
def test_image_must_be_rgb_bytes(image):
    with pytest.raises(ValueError, match='image'):
        to_mask(SQUARE, image)


def test_lazily_opened_pil_mask_that_is_cut_off_is_an_error():
    buffer = io.BytesIO()
    Image.fromarray(IMAGE[..., 0]).save(buffer, 'PNG')
    half = Image.open(io.BytesIO(buffer.getvalue()[:150]))
    with pytest.raises(ValueError, match='cannot be decoded'):
        to_mask(half, IMAGE)

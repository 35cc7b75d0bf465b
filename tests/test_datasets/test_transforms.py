"""Loading transforms, and the crop that mmcv's and mmseg's transforms make together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import Compose
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmssp.datasets.transforms import LoadImage, LoadMask
from mmssp.utils.image_io import orient

# The method's crop (pad right and bottom with raw zeros, mask 255; then crop), of
# existing transforms alone; configs/_base_/datasets has the same with 473.
CROP = [
    {'type': 'Pad', 'size': (48, 32), 'pad_val': {'img': 0, 'seg': 255}},  # w, h
    {'type': 'RandomCrop', 'crop_size': (32, 48)},  # h, w
]


def photo(size: tuple[int, int]) -> np.ndarray:
    """(H,W,3) uint8, each pixel unlike the others."""
    rows, columns = np.indices(size)
    return np.dstack([rows + 1, columns + 1, rows + columns]).astype(np.uint8)


def save(path, pixels: np.ndarray, orientation: int = 1) -> str:
    """A PNG, with an EXIF orientation, that holds the stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return str(path)


@pytest.fixture
def sample(tmp_path):
    """Makes a data info; the mask is drawn on the upright or on the stored pixels."""

    def make(orientation: int = 1, mask_is: str = 'upright') -> dict:
        stored = photo((20, 30))
        marks = stored[..., 0] % 7
        if mask_is == 'upright':
            marks = np.ascontiguousarray(orient(marks, orientation))
        return {
            'img_path': save(tmp_path / 'image.png', stored, orientation),
            'seg_map_path': save(tmp_path / 'mask.png', marks),
            'label_map': None,
            'reduce_zero_label': False,
            'seg_fields': [],
        }

    return make


def marks_of(image: np.ndarray) -> np.ndarray:
    """The mask that belongs to a photo (BGR)."""
    return image[..., 2] % 7


# -------------------------------------------------------------------------- LoadImage


def test_image_has_the_keys_of_mmcv(sample):
    results = LoadImage()(sample())
    np.testing.assert_array_equal(results['img'], photo((20, 30))[..., ::-1])
    assert results['img_shape'] == results['ori_shape'] == (20, 30)


def test_image_shapes_are_of_the_upright_image(sample):
    results = LoadImage()(sample(orientation=6))
    assert results['img'].shape[:2] == results['ori_shape'] == (30, 20)


def test_orientation_can_be_ignored(sample):
    results = LoadImage(color_type='color_ignore_orientation')(sample(orientation=6))
    np.testing.assert_array_equal(results['img'], photo((20, 30))[..., ::-1])


def test_image_as_float_has_the_same_values(sample):
    image = LoadImage(to_float32=True)(sample())['img']
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, photo((20, 30))[..., ::-1])


def test_damaged_image_is_an_error_or_none_if_so_wanted(sample):
    info = sample()
    with open(info['img_path'], 'r+b') as file:
        file.truncate(100)
    with pytest.raises(ValueError, match='image.png'):
        LoadImage()(info)
    assert LoadImage(ignore_empty=True)(info) is None


def test_other_colour_types_are_refused():
    with pytest.raises(ValueError, match="'grayscale'; expected 'color'"):
        LoadImage(color_type='grayscale')


@pytest.mark.parametrize('name', ['LoadImage', 'LoadMask'])
def test_transforms_are_found_by_name(name):
    assert type(TRANSFORMS.build({'type': name})).__name__ == name


# --------------------------------------------------------------------------- LoadMask


def test_mask_has_the_keys_of_mmseg(sample):
    results = LoadMask()(sample())
    np.testing.assert_array_equal(results['gt_seg_map'], photo((20, 30))[..., 0] % 7)
    assert results['gt_seg_map'].dtype == np.uint8
    assert results['seg_fields'] == ['gt_seg_map']


values = st.integers(0, 255)


@given(
    stored=st.lists(values, min_size=2, max_size=40),
    label_map=st.none() | st.dictionaries(values, values, max_size=8),
    reduce_zero_label=st.booleans(),
)
def test_labels_are_mapped_as_mmseg_maps_them(
    tmp_path_factory, stored, label_map, reduce_zero_label
):
    path = tmp_path_factory.mktemp('mask') / 'mask.png'
    info = {
        'seg_map_path': save(path, np.array([stored, stored], np.uint8)),
        'label_map': label_map,
        'reduce_zero_label': reduce_zero_label,
    }
    ours = LoadMask()({**info, 'seg_fields': []})
    theirs = LoadAnnotations()({**info, 'seg_fields': []})
    np.testing.assert_array_equal(ours['gt_seg_map'], theirs['gt_seg_map'])
    assert ours['seg_fields'] == theirs['seg_fields']


def test_one_transform_serves_data_sets_that_differ_in_reduce_zero_label(sample):
    load = LoadMask()
    plain = load(sample())['gt_seg_map']
    reduced = load({**sample(), 'reduce_zero_label': True})['gt_seg_map']
    np.testing.assert_array_equal(reduced, np.where(plain == 0, 255, plain - 1))
    np.testing.assert_array_equal(load(sample())['gt_seg_map'], plain)


def test_settings_are_told_by_repr():
    assert repr(LoadMask()) == 'LoadMask(backend_args=None)'
    assert 'local' in repr(LoadMask(backend_args={'backend': 'local'}))


def test_repr_does_not_change_by_use(sample):
    load = LoadMask()
    before = repr(load)
    load({**sample(), 'reduce_zero_label': True})
    assert repr(load) == before


def test_mask_without_a_path_is_an_error_that_tells_where_to_set_it(sample):
    info = sample()
    del info['seg_map_path']
    with pytest.raises(ValueError, match=r'image\.png.*data_prefix'):
        LoadMask()(info)


@pytest.mark.parametrize('mask_is', ['upright', 'stored'])
@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_mask_agrees_with_a_rotated_image(sample, orientation, mask_is):
    results = LoadMask()(LoadImage()(sample(orientation, mask_is)))
    np.testing.assert_array_equal(results['gt_seg_map'], marks_of(results['img']))
    assert results['gt_seg_map'].shape == results['ori_shape'] == (30, 20)
    assert results['gt_seg_map'].flags.c_contiguous


def test_mask_of_a_rotated_image_keeps_its_original_size_after_a_resize(sample):
    info = sample(6, 'stored')
    expected = LoadMask()(LoadImage()(dict(info)))['gt_seg_map']
    resize = TRANSFORMS.build({'type': 'Resize', 'scale': (60, 40)})
    results = LoadMask()(resize(LoadImage()(info)))
    assert results['img'].shape[:2] != (30, 20)
    np.testing.assert_array_equal(results['gt_seg_map'], expected)


@pytest.mark.parametrize('orientation', [1, 6])
def test_mask_of_another_size_is_an_error_naming_both(sample, orientation, tmp_path):
    info = sample(orientation)
    info['seg_map_path'] = save(tmp_path / 'other.png', np.zeros((20, 29), np.uint8))
    size = '30x20' if orientation == 1 else '20x30'
    with pytest.raises(ValueError, match=rf'image\.png is {size}.*other\.png 29x20'):
        LoadMask()(LoadImage()(info))


def test_swapped_sides_without_an_orientation_are_an_error(sample, tmp_path):
    info = sample()
    info['seg_map_path'] = save(tmp_path / 'other.png', np.zeros((30, 20), np.uint8))
    with pytest.raises(ValueError, match='expected equal sizes'):
        LoadMask()(LoadImage()(info))


def test_mask_size_is_not_checked_without_an_image(sample):
    assert LoadMask()(sample(6))['gt_seg_map'].shape == (30, 20)


# ---------------------------------------------------------------- the crop, composed


def crop(size: tuple[int, int]) -> dict:
    image = photo(size)
    results = {
        'img': image,
        'gt_seg_map': marks_of(image),
        'seg_fields': ['gt_seg_map'],
    }
    return Compose(CROP)(results)


def offset(results: dict) -> tuple[int, int]:
    """Where the crop was taken: (row, column)."""
    return int(results['img'][0, 0, 0]) - 1, int(results['img'][0, 0, 1]) - 1


@pytest.mark.parametrize(
    'size', [(20, 30), (40, 30), (20, 60), (40, 60), (32, 48), (32, 60), (31, 49)]
)
def test_crop_pads_only_what_lacks_and_cuts_only_what_is_over(size):
    results = crop(size)
    row, column = offset(results)
    assert 0 <= row <= max(size[0] - 32, 0)
    assert 0 <= column <= max(size[1] - 48, 0)
    height, width = min(size[0], 32), min(size[1], 48)
    image = np.zeros((32, 48, 3), np.uint8)
    mask = np.full((32, 48), 255, np.uint8)
    inside = np.s_[row : row + height, column : column + width]
    image[:height, :width] = photo(size)[inside]
    mask[:height, :width] = marks_of(photo(size))[inside]
    np.testing.assert_array_equal(results['img'], image)
    np.testing.assert_array_equal(results['gt_seg_map'], mask)
    assert results['img_shape'] == (32, 48)


def test_crop_reaches_every_place_equally_often():
    np.random.seed(0)
    places, times = 3 * 4, 2400
    counts = np.zeros((3, 4))
    for _ in range(times):
        counts[offset(crop((34, 51)))] += 1
    # chi-square of 11 degrees of freedom: beyond 31.3 once in a thousand seeds
    expected = times / places
    assert ((counts - expected) ** 2 / expected).sum() < 31.3


def test_flip_turns_image_and_mask_together_half_of_the_time():
    np.random.seed(0)
    flip = TRANSFORMS.build({'type': 'RandomFlip', 'prob': 0.5})
    flips = 0
    for _ in range(400):
        image = photo((4, 6))
        mask = marks_of(image)
        results = flip({'img': image, 'gt_seg_map': mask, 'seg_fields': ['gt_seg_map']})
        step = -1 if results['flip'] else 1
        np.testing.assert_array_equal(results['img'], photo((4, 6))[:, ::step])
        np.testing.assert_array_equal(results['gt_seg_map'], marks_of(results['img']))
        flips += results['flip']
    assert 160 <= flips <= 240

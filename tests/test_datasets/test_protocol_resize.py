"""The HSNet and PFENet protocols' sizes, against computations of their own."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import Compose
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmssp.datasets.transforms import ResizePadded, ResizeSquashed

SIDES = st.integers(1, 700)


def sample(height: int, width: int, seed: int = 0) -> dict:
    """A noisy image and a noisy mask of 0..20 and 255."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 22, (height, width)).astype(np.uint8)
    mask[mask == 21] = 255
    return dict(
        img=rng.integers(0, 256, (height, width, 3)).astype(np.uint8),
        gt_seg_map=mask,
        img_shape=(height, width),
        ori_shape=(height, width),
        seg_fields=['gt_seg_map'],
    )


# --- ResizeSquashed


def triangle_weights(length: int, new_length: int) -> np.ndarray:
    """(new_length, length): antialiased bilinear resizing of one side, by definition."""
    scale = length / new_length
    reach = max(scale, 1.0)
    centres = (np.arange(new_length) + 0.5) * scale
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None]) / reach
    weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize(
    'size', [(375, 500), (30, 40), (1000, 3), (3, 1000), (1, 1), (400, 400)]
)
def test_a_squashed_image_is_antialiased_bilinear(size):
    data = sample(*size)
    rows, columns = (triangle_weights(side, 400) for side in size)
    expected = np.einsum('ih,jw,hwc->ijc', rows, columns, data['img'], optimize=True)
    image = ResizeSquashed().transform(data)['img']
    assert image.dtype == np.uint8 and image.shape == (400, 400, 3)
    # rounded once after each direction
    assert np.abs(image - expected).max() <= 1.5


def test_a_squashed_image_is_pillows_whatever_the_order_of_channels():
    data = sample(333, 500)
    rgb = Image.fromarray(np.ascontiguousarray(data['img'][..., ::-1]))
    expected = np.asarray(rgb.resize((400, 400), Image.Resampling.BILINEAR))
    image = ResizeSquashed().transform(data)['img']
    np.testing.assert_array_equal(image[..., ::-1], expected)


@settings(deadline=None)
@given(SIDES, SIDES, SIDES, SIDES)
def test_a_squashed_mask_is_what_torch_interpolates(
    height, width, new_height, new_width
):
    mask = np.arange(height * width, dtype=np.int32).reshape(height, width)
    data = dict(img=np.zeros((height, width, 3), np.uint8), gt_seg_map=mask)
    transform = ResizeSquashed((new_height, new_width))
    # below 2^24, float32 tells all numbers apart
    expected = F.interpolate(
        torch.from_numpy(mask)[None, None].float(),
        (new_height, new_width),
        mode='nearest',
    )[0, 0]
    resized = transform(data)['gt_seg_map']
    assert resized.dtype == mask.dtype
    np.testing.assert_array_equal(resized, expected.numpy())


@pytest.mark.parametrize('size', [7, 321, 400, 473])
def test_a_squashed_masks_pixels_are_torchs_for_every_width(size):
    # OpenCV, which computes in double, takes other pixels for some of them
    for width in range(1, 1000):
        mask = np.arange(width, dtype=np.float32)[None]
        data = dict(img=np.zeros((1, width, 3), np.uint8), gt_seg_map=mask)
        resized = ResizeSquashed((1, size))(data)['gt_seg_map']
        expected = F.interpolate(torch.from_numpy(mask)[None, None], (1, size))
        np.testing.assert_array_equal(resized, expected[0, 0].numpy())


def test_a_squashed_sample_says_its_sizes():
    data = ResizeSquashed((120, 200)).transform(sample(60, 50))
    assert data['img'].shape == (120, 200, 3)
    assert data['img_shape'] == data['score_shape'] == (120, 200)
    assert data['scale_factor'] == (4.0, 2.0)
    assert data['keep_ratio'] is False
    assert data['ori_shape'] == (60, 50)


def test_a_squashed_image_leaves_the_mask_alone_if_told_so():
    data = sample(60, 50)
    mask = data['gt_seg_map']
    data = ResizeSquashed(40, resize_mask=False).transform(data)
    assert data['gt_seg_map'] is mask and mask.shape == (60, 50)
    assert 'score_shape' not in data
    assert data['img'].shape == (40, 40, 3)


@pytest.mark.parametrize('kind', [ResizeSquashed, ResizePadded])
def test_an_image_without_a_mask_is_resized(kind):
    data = dict(img=sample(60, 50)['img'])
    data = kind(40).transform(data)
    assert data['img'].shape == (40, 40, 3)
    assert not {'gt_seg_map', 'score_shape'} & set(data)


# --- ResizePadded


def pfenet_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Resized height and width, in the release's own steps of rounding."""
    if height >= width:
        sides = size, int(width * (size * 1.0 / height))
    else:
        sides = int(height * (size * 1.0 / width)), size
    return tuple(max(side - side % 8, 8) for side in sides)


def bilinear_weights(length: int, new_length: int) -> np.ndarray:
    """(new_length, length): bilinear resizing of one side, edges repeated."""
    centres = (np.arange(new_length) + 0.5) * (length / new_length) - 0.5
    centres = np.clip(centres, 0, length - 1)
    distance = np.abs(np.arange(length) - centres[:, None])
    return np.clip(1 - distance, 0, None)


SIZES = [(375, 500), (500, 375), (30, 40), (1000, 3), (3, 1000), (1, 1), (640, 640)]


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('size', SIZES)
def test_a_padded_image_is_bilinear_at_the_top_left_of_black(size, dtype):
    data = sample(*size)
    height, width = pfenet_shape(*size, 473)
    rows = bilinear_weights(size[0], height)
    columns = bilinear_weights(size[1], width)
    expected = np.einsum('ih,jw,hwc->ijc', rows, columns, data['img'], optimize=True)
    data['img'] = data['img'].astype(dtype)
    image = ResizePadded().transform(data)['img']
    assert image.dtype == dtype and image.shape == (473, 473, 3)
    # float32 is what OpenCV computes with; uint8 is that, rounded
    tolerance = 0.1 if dtype == np.float32 else 0.6
    assert np.abs(image[:height, :width] - expected).max() <= tolerance
    assert not image[height:].any() and not image[:, width:].any()


@pytest.mark.parametrize('size', SIZES)
def test_a_padded_mask_has_the_nearest_pixels_and_255_around(size):
    data = sample(*size)
    mask = data['gt_seg_map']
    height, width = pfenet_shape(*size, 473)
    rows = np.floor(np.arange(height) * (size[0] / height) + 1e-9).astype(int)
    columns = np.floor(np.arange(width) * (size[1] / width) + 1e-9).astype(int)
    resized = ResizePadded().transform(data)['gt_seg_map']
    assert resized.dtype == np.uint8 and resized.shape == (473, 473)
    np.testing.assert_array_equal(
        resized[:height, :width], mask[rows[:, None], columns]
    )
    assert (resized[height:] == 255).all() and (resized[:, width:] == 255).all()


@settings(deadline=None)
@given(SIDES, SIDES, st.sampled_from([8, 473, 641]))
def test_a_padded_images_sides_are_the_releases(height, width, size):
    data = dict(
        img=np.full((height, width, 3), 9, np.uint8),
        gt_seg_map=np.full((height, width), 9, np.uint8),
    )
    data = ResizePadded(size).transform(data)
    resized = pfenet_shape(height, width, size)
    scale = resized[1] / width, resized[0] / height
    assert data['scale_factor'] == pytest.approx(scale)
    for pixels, padding in ((data['img'][..., 0], 0), (data['gt_seg_map'], 255)):
        expected = np.full((size, size), padding)
        expected[: resized[0], : resized[1]] = 9
        np.testing.assert_array_equal(pixels, expected)


def test_a_product_is_rounded_down_where_the_releases_is():
    # 600 · 473 / 645 = 440, a multiple of 8; the release multiplies by 473 / 645
    data = ResizePadded(resize_mask=False).transform(sample(600, 645))
    assert data['scale_factor'] == (472 / 645, 432 / 600)


def test_a_padded_sample_says_its_sizes():
    data = ResizePadded(641).transform(sample(480, 640))
    assert data['img_shape'] == data['pad_shape'] == (641, 641)
    assert data['canvas_shape'] == (640, 640)
    assert data['scale_factor'] == (1.0, 1.0)
    assert data['keep_ratio'] is True
    assert data['ori_shape'] == (480, 640)
    assert 'score_shape' not in data


def test_a_padded_image_leaves_the_mask_alone_if_told_so():
    data = sample(60, 50)
    mask = data['gt_seg_map']
    data = ResizePadded(40, resize_mask=False).transform(data)
    assert data['gt_seg_map'] is mask and mask.shape == (60, 50)
    assert data['img'].shape == (40, 40, 3)


def test_padding_takes_the_values_given():
    data = ResizePadded(40, multiple=16, pad_val=7, seg_pad_val=0).transform(
        sample(9, 9)
    )
    assert (data['img'][32:] == 7).all() and (data['img'][:, 32:] == 7).all()
    assert (data['gt_seg_map'][32:] == 0).all()
    assert data['scale_factor'] == (32 / 9, 32 / 9)


# --- both


@pytest.mark.parametrize('kind', [ResizeSquashed, ResizePadded])
@pytest.mark.parametrize('size', [(375, 500), (1000, 3), (3, 1000), (20, 20)])
def test_a_masks_values_are_kept_255_too(kind, size):
    data = sample(*size)
    before = set(np.unique(data['gt_seg_map']))
    after = set(np.unique(kind().transform(data)['gt_seg_map']))
    assert 255 in before and after <= before | {255}
    assert after - {255}


@pytest.mark.parametrize('kind', [ResizeSquashed, ResizePadded])
def test_what_came_in_is_not_written_to(kind):
    data = sample(60, 50)
    image, mask = data['img'], data['gt_seg_map']
    copies = image.copy(), mask.copy()
    kind(64).transform(data)
    np.testing.assert_array_equal(image, copies[0])
    np.testing.assert_array_equal(mask, copies[1])


@pytest.mark.parametrize('kind', [ResizeSquashed, ResizePadded])
@pytest.mark.parametrize(
    'size', [0, -8, 400.0, '400', None, True, (), (8, 8, 8), (8, 0)]
)
def test_a_senseless_size_is_an_error(kind, size):
    with pytest.raises(ValueError, match='size='):
        kind(size)


def test_a_square_too_small_for_its_multiple_is_an_error():
    assert ResizePadded(8).size == 8
    with pytest.raises(ValueError, match='size=7; expected an integer .*at least 8'):
        ResizePadded(7)


@pytest.mark.parametrize('kind', [ResizeSquashed, ResizePadded])
@pytest.mark.parametrize(
    'image',
    [
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((0, 9, 3), np.uint8),
        np.zeros((9, 9, 3), np.float64),
    ],
    ids=['grey', 'alpha', 'empty', 'float64'],
)
def test_an_image_of_another_kind_is_an_error(kind, image):
    with pytest.raises(ValueError, match=r'img is .*expected \(H,W,3\) uint8'):
        kind().transform(dict(img=image))


def test_pillow_takes_no_floats():
    with pytest.raises(ValueError, match='float32.*expected .* uint8'):
        ResizeSquashed().transform(dict(img=np.zeros((9, 9, 3), np.float32)))


@pytest.mark.parametrize(
    ('config', 'text'),
    [
        (
            dict(type='ResizeSquashed', size=[300, 400]),
            'ResizeSquashed(size=(300, 400), resize_mask=True)',
        ),
        (
            dict(type='ResizePadded', size=641, resize_mask=False),
            'ResizePadded(size=641, resize_mask=False, multiple=8, pad_val=0, '
            'seg_pad_val=255)',
        ),
    ],
)
def test_built_by_name_and_tells_how(config, text):
    assert repr(TRANSFORMS.build(config)) == text


def test_a_mask_loaded_later_stays_at_its_original_size(tmp_path):
    data = sample(60, 50)
    mask = data.pop('gt_seg_map')
    for name, pixels in (('image', data.pop('img')), ('mask', mask)):
        Image.fromarray(pixels).save(tmp_path / f'{name}.png')
    paths = dict(
        img_path=str(tmp_path / 'image.png'), seg_map_path=str(tmp_path / 'mask.png')
    )
    for resize in (dict(type='ResizeSquashed'), dict(type='ResizePadded')):
        pipeline = Compose([dict(type='LoadImage'), resize, dict(type='LoadMask')])
        loaded = pipeline(dict(paths, seg_fields=[]))
        np.testing.assert_array_equal(loaded['gt_seg_map'], mask)
        assert loaded['ori_shape'] == (60, 50) and loaded['img'].shape[0] >= 400

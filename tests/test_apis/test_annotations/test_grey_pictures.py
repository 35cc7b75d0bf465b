"""Black-and-white pictures, trimaps and alpha as masks: white is the object."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mmssp.apis.annotations.conversion import to_mask
from mmssp.datasets.coco.coco_masks import PNG_PALETTE
from mmssp.utils.image_io import has_palette, read_mask

IMAGE = np.zeros((60, 80, 3), np.uint8)
DISC = cv2.circle(np.zeros((60, 80), np.uint8), (40, 30), 18, 1, -1)
WHITE = DISC * 255


def band(low: int, width: int = 7) -> np.ndarray:
    kernel = np.ones((width, width), np.uint8)
    mask = cv2.dilate(WHITE, kernel) // 255 * low
    mask[cv2.erode(WHITE, kernel) > 0] = 255
    return mask


def with_pixels(value: int, count: int = 1) -> np.ndarray:
    mask = WHITE.copy()
    mask[0, :count] = value
    return mask


@pytest.mark.parametrize('unknown', [127, 128, 129])
def test_the_grey_band_of_a_trimap_is_ignored_and_white_the_object(unknown):
    trimap = band(unknown)
    mask = to_mask(trimap, IMAGE)
    np.testing.assert_array_equal(mask == 1, trimap == 255)
    np.testing.assert_array_equal(mask == 255, trimap == unknown)


@pytest.mark.parametrize(('value', 'expected'), [(254, 1), (200, 1), (120, 0)])
def test_stray_bright_pixels_change_nothing_else(value, expected):
    mask = to_mask(with_pixels(value), IMAGE)
    np.testing.assert_array_equal(mask[1:], DISC[1:])
    assert mask[0, 0] == expected


@pytest.mark.parametrize('sigma', [0.5, 1, 2])
def test_soft_edges_are_cut_at_half(sigma):
    soft = cv2.GaussianBlur(WHITE, (0, 0), sigma)
    np.testing.assert_array_equal(to_mask(soft, IMAGE), soft >= 128)


@pytest.mark.parametrize('quality', [30, 75, 95])
def test_a_mask_stored_as_jpeg_is_cut_at_half(tmp_path, quality):
    path = tmp_path / 'mask.jpg'
    Image.fromarray(WHITE).save(path, quality=quality)
    wrong = to_mask(path, IMAGE) != DISC
    assert wrong.mean() < 0.01


def test_one_row_of_half_covered_pixels_belongs_to_the_object():
    half = WHITE.copy()
    half[(DISC == 1) & (np.roll(DISC, 1, 0) == 0)] = 128
    np.testing.assert_array_equal(to_mask(half, IMAGE), DISC)


def test_an_antialiased_picture_shrunk_from_a_larger_one_is_cut_at_half():
    large = cv2.circle(np.zeros((240, 320), np.uint8), (160, 120), 72, 255, -1)
    small = cv2.resize(large, (80, 60), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(to_mask(small, IMAGE), small >= 128)


@pytest.mark.parametrize('value', [1, 7, 31])
def test_among_class_indices_255_stays_ignored(value):
    indices = np.where(band(128) == 255, value, np.where(band(128) == 128, 255, 0))
    mask = to_mask(indices.astype(np.uint8), IMAGE)
    np.testing.assert_array_equal(mask == 1, indices == value)
    np.testing.assert_array_equal(mask == 255, indices == 255)


@pytest.mark.parametrize(
    'ambiguous', [with_pixels(1), band(64), band(90), band(200), with_pixels(3, 5)]
)
def test_what_may_be_either_is_refused_with_the_values_and_the_option(ambiguous):
    with pytest.raises(ValueError, match=r'255.*class_value \(--class-value'):
        to_mask(ambiguous, IMAGE)
    chosen = to_mask(ambiguous, IMAGE, class_value=255)
    np.testing.assert_array_equal(chosen == 1, ambiguous == 255)


def test_a_photo_in_greys_is_no_mask():
    photo = np.random.default_rng(0).normal(128, 40, (60, 80)).clip(0, 255)
    with pytest.raises(ValueError, match='class_value'):
        to_mask(photo.astype(np.uint8), IMAGE)


def test_entries_of_a_palette_are_no_greys(tmp_path):
    picture = Image.fromarray(band(128))
    picture.putpalette([5, 6, 7] * 256)
    picture.save(tmp_path / 'mask.png')
    assert has_palette(tmp_path / 'mask.png')
    for own in (picture, tmp_path / 'mask.png'):
        mask = to_mask(own, IMAGE)
        np.testing.assert_array_equal(mask == 1, band(128) == 128)


def test_a_palette_of_all_greys_is_a_picture(tmp_path):
    picture = Image.fromarray(band(128))
    picture.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    picture.save(tmp_path / 'mask.png')
    mask = to_mask(tmp_path / 'mask.png', IMAGE)
    np.testing.assert_array_equal(mask == 1, band(128) == 255)


@pytest.mark.parametrize('colour', [0, 255, (200, 30, 30)])
@pytest.mark.parametrize('alpha', [WHITE, cv2.GaussianBlur(WHITE, (5, 5), 1)])
def test_a_mask_in_alpha_alone_is_read(tmp_path, colour, alpha):
    pixels = np.dstack([np.full((60, 80, 3), colour, np.uint8), alpha])
    Image.fromarray(pixels).save(tmp_path / 'mask.png')
    for own in (pixels, Image.fromarray(pixels), tmp_path / 'mask.png'):
        np.testing.assert_array_equal(to_mask(own, IMAGE), alpha >= 128)
    np.testing.assert_array_equal(read_mask(tmp_path / 'mask.png'), alpha)


def test_a_mask_in_the_alpha_of_grey_is_read():
    pixels = np.dstack([np.full_like(WHITE, 255), WHITE])
    picture = Image.fromarray(pixels, 'LA')
    np.testing.assert_array_equal(to_mask(picture, IMAGE), DISC)


def test_colour_is_the_mask_where_alpha_hides_background_only():
    shown = cv2.dilate(WHITE, np.ones((9, 9), np.uint8))
    pixels = np.dstack([WHITE, WHITE, WHITE, shown])
    np.testing.assert_array_equal(to_mask(pixels, IMAGE), DISC)


def test_colour_and_alpha_of_different_objects_are_refused():
    pixels = np.dstack([WHITE, WHITE, WHITE, np.roll(WHITE, 20, 1)])
    with pytest.raises(ValueError, match='different objects'):
        to_mask(pixels, IMAGE)


def test_masks_of_earlier_versions_have_a_palette_and_are_read(tmp_path):
    labels = np.zeros((12, 16), np.uint8)
    labels[2:6, 3:9], labels[7:11, 3:9] = 1, 2
    picture = Image.fromarray(labels)
    picture.putpalette(PNG_PALETTE)
    picture.save(tmp_path / 'mask.png')
    np.testing.assert_array_equal(read_mask(tmp_path / 'mask.png'), labels)
    photo = np.zeros((12, 16, 3), np.uint8)
    for value in (1, 2):
        mask = to_mask(tmp_path / 'mask.png', photo, class_value=value)
        np.testing.assert_array_equal(mask == 1, labels == value)

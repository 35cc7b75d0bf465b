"""Reading whatever holds an image: the same RGB pixels, or an error with a way out."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np
from PIL import Image

from mmssp.apis.images import read_any_image

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encode(image, file_format: str = 'PNG', **kwargs) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **kwargs)
    return buffer.getvalue()


@pytest.fixture
def png(tmp_path) -> Path:
    path = tmp_path / 'photo.png'
    path.write_bytes(encode(COLOUR))
    return path


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :6] = 255
    return encode(pixels, 'JPEG', exif=exif, quality=100)


@pytest.mark.parametrize('convert', [Path, str, Path.read_bytes, Image.open])
def test_files_of_every_holder_are_rgb(png, convert):
    result = read_any_image(convert(png))
    np.testing.assert_array_equal(result, COLOUR)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous and result.flags.writeable


def test_channel_order_turns_arrays_only(png):
    bgr = np.ascontiguousarray(COLOUR[..., ::-1])
    for image in (bgr, png, Image.open(png)):
        np.testing.assert_array_equal(
            read_any_image(image, channel_order='bgr'), COLOUR
        )


def test_bgr_with_alpha_loses_alpha():
    alpha = np.full((6, 9, 1), 7, np.uint8)
    image = np.concatenate([COLOUR[..., ::-1], alpha], axis=2)
    np.testing.assert_array_equal(read_any_image(image, channel_order='bgr'), COLOUR)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('open_file', [bytes, lambda b: Image.open(io.BytesIO(b))])
def test_exif_turns_upright(orientation, open_file):
    result = read_any_image(open_file(rotated(orientation)))
    white = result[..., 0] > 128
    expected = {
        1: np.s_[:8, :6], 2: np.s_[:8, -6:], 3: np.s_[-8:, -6:], 4: np.s_[-8:, :6],
        5: np.s_[:6, :8], 6: np.s_[:6, -8:], 7: np.s_[-6:, -8:], 8: np.s_[-6:, :8],
    }[orientation]  # fmt: skip
    assert result.shape == ((16, 24, 3) if orientation < 5 else (24, 16, 3))
    assert white[expected].all()
    assert white.sum() == 48


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGBA', 'CMYK', 'YCbCr', 'HSV'])
def test_pil_of_any_mode_becomes_rgb(mode):
    image = Image.fromarray(COLOUR)
    image = image.convert('L').convert(mode) if mode == 'LA' else image.convert(mode)
    expected = np.asarray(image.convert('RGB'))
    np.testing.assert_array_equal(read_any_image(image), expected)


def test_pil_of_16_bits_is_scaled_by_its_full_range():
    image = Image.fromarray(np.array([[0, 65535, 257 * 100]], np.uint16))
    np.testing.assert_array_equal(read_any_image(image)[0, :, 0], [0, 255, 100])


def test_pil_of_floats_is_refused():
    with pytest.raises(ValueError, match='no agreed range'):
        read_any_image(Image.fromarray(np.ones((2, 2), np.float32)))


@given(
    st_np.arrays(
        np.uint8,
        st.tuples(st.integers(1, 5), st.integers(1, 5)).flatmap(
            lambda hw: st.sampled_from([hw, (*hw, 1), (*hw, 3), (*hw, 4)])
        ),
    )
)
def test_arrays_keep_their_values_and_their_memory(array):
    result = read_any_image(array)
    colour = array if array.ndim == 3 else array[..., None]
    assert result.shape == (*array.shape[:2], 3)
    assert (result == colour[..., :3]).all()
    assert not np.shares_memory(result, array)


@given(
    st_np.arrays(
        st.one_of(
            st_np.boolean_dtypes(),
            st_np.integer_dtypes(),
            st_np.floating_dtypes(),
            st_np.complex_number_dtypes(),
            st_np.unicode_string_dtypes(),
        ),
        st_np.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_any_other_array_is_an_image_or_a_sentence(array):
    try:
        result = read_any_image(array)
    except ValueError as error:
        assert 'expected' in str(error)
    else:
        assert result.dtype == np.uint8
        values = array if array.ndim == 3 else array[..., None]
        assert np.abs(result - values[..., :3].astype(float)).max() <= 0.5


@pytest.mark.parametrize(
    ('array', 'message'),
    [
        (np.ones((4, 4), bool), 'mask'),
        (np.full((4, 4, 3), np.nan), 'NaN'),
        (np.full((4, 4, 3), 256.0), '256'),
        (np.full((4, 4, 3), -1), '-1'),
        (np.full((4, 4, 3), 0.5), r'\* 255'),
        (np.zeros((3, 4, 5), np.uint8), 'transpose'),
        (np.zeros((4, 4, 2), np.uint8), r'\(H,W,3\)'),
        (np.zeros((0, 4, 3), np.uint8), 'at least one pixel'),
        (torch.zeros(3, 4, 4), 'permute'),
        ('https://example.org/a.png', 'nothing is downloaded'),
        ('HTTP://example.org/a.png', 'nothing is downloaded'),
        (b'', 'empty'),
        (b'no image', 'not an image'),
        (None, 'NoneType'),
        ([[1, 2]], 'list'),
    ],
)
def test_no_image_is_refused_with_a_way_out(array, message):
    with pytest.raises(ValueError, match=message):
        read_any_image(array)


def test_wrong_channel_order_is_refused():
    with pytest.raises(ValueError, match="'rgb' or 'bgr'"):
        read_any_image(COLOUR, channel_order='RGB ')


def test_one_pixel_is_an_image():
    assert read_any_image(np.zeros((1, 1), np.uint8)).shape == (1, 1, 3)
    assert read_any_image(encode(COLOUR[:1, :1])).shape == (1, 1, 3)


@pytest.mark.parametrize('holder', [bytes, lambda b: Image.open(io.BytesIO(b))])
def test_too_many_pixels_are_refused_before_decoding(holder):
    damaged = encode(np.zeros((100, 200), np.uint8))[:60]  # decoding would fail
    with pytest.raises(ValueError, match='200x100 = 20000 pixels'):
        read_any_image(holder(damaged), max_pixels=19_999)


def test_bomb_is_refused_by_its_header():
    bomb = encode(Image.new('1', (20_000, 20_000)))
    with pytest.raises(ValueError, match='pixels'):
        read_any_image(bomb)


def test_limit_holds_for_arrays_too():
    with pytest.raises(ValueError, match='at most 53'):
        read_any_image(COLOUR, max_pixels=53)
    assert read_any_image(COLOUR, max_pixels=54).shape == COLOUR.shape


@pytest.mark.parametrize('file_format', ['PNG', 'JPEG'])
def test_truncated_file_is_named(tmp_path, file_format):
    path = tmp_path / f'half.{file_format.lower()}'
    whole = encode(np.tile(COLOUR, (20, 20, 1)), file_format)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=path.name):
        read_any_image(path)
    with pytest.raises(ValueError, match=path.name):
        read_any_image(Image.open(path))


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere\.png'):
        read_any_image(tmp_path / 'nowhere.png')
    with pytest.raises(ValueError, match='is a folder'):
        read_any_image(tmp_path)


@given(st.binary(max_size=200))
def test_random_bytes_give_a_sentence(data):
    with pytest.raises(ValueError, match=r'\w'):
        read_any_image(data)

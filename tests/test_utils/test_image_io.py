"""Reading images and index masks: every kind of pixels, every kind of damage."""

import io
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from mmssp.utils.image_io import (
    image_orientation,
    image_size,
    is_local,
    orient,
    read_image,
    read_mask,
)

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
INDICES = RNG.integers(0, 21, (6, 9), dtype=np.uint8)


def encode(image, file_format: str = 'PNG', **kwargs) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **kwargs)
    return buffer.getvalue()


def palette_image(indices: np.ndarray) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette(np.random.default_rng(1).integers(0, 256, 768, np.uint8).tobytes())
    return image


def opencv_png(pixels: np.ndarray) -> bytes:
    return cv2.imencode('.png', pixels)[1].tobytes()


def rotated_jpeg(orientation: int, size: tuple[int, int] = (16, 24)) -> bytes:
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[: size[0] // 2, : size[1] // 4] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(pixels, 'JPEG', exif=exif, quality=100)


# ------------------------------------------------------------------------- read_image


def test_image_is_bgr_uint8_and_contiguous():
    image = read_image(encode(COLOUR))
    np.testing.assert_array_equal(image, COLOUR[..., ::-1])
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable


def test_image_is_read_from_a_path_as_string_or_path(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(encode(COLOUR))
    np.testing.assert_array_equal(read_image(path), COLOUR[..., ::-1])
    np.testing.assert_array_equal(read_image(str(path)), COLOUR[..., ::-1])


def test_alpha_is_dropped_and_not_blended():
    rgba = np.dstack([COLOUR, np.zeros_like(GREY)])
    np.testing.assert_array_equal(read_image(encode(rgba)), COLOUR[..., ::-1])


@pytest.mark.parametrize('with_alpha', [False, True])
def test_grey_becomes_three_equal_channels(with_alpha):
    image = Image.fromarray(GREY)
    if with_alpha:
        image.putalpha(0)
        assert image.mode == 'LA'
    expected = np.dstack([GREY] * 3)
    np.testing.assert_array_equal(read_image(encode(image)), expected)


def test_black_and_white_becomes_0_and_255():
    bits = GREY > 127
    expected = np.dstack([bits * np.uint8(255)] * 3)
    np.testing.assert_array_equal(read_image(encode(Image.fromarray(bits))), expected)


def test_palette_becomes_colours():
    image = palette_image(INDICES)
    expected = np.asarray(image.convert('RGB'))[..., ::-1]
    np.testing.assert_array_equal(read_image(encode(image)), expected)


def test_palette_with_transparency_becomes_colours():
    image = palette_image(INDICES)
    expected = np.asarray(image.convert('RGB'))[..., ::-1]
    data = encode(image, transparency=bytes(range(20)))
    np.testing.assert_array_equal(read_image(data), expected)


def test_cmyk_jpeg_keeps_its_colour():
    red = Image.new('RGB', (16, 16), (255, 0, 0)).convert('CMYK')
    image = read_image(encode(red, 'JPEG', quality=100))
    assert np.abs(image.astype(int) - [0, 0, 255]).max() < 8


def test_16_bit_grey_is_scaled_by_its_full_range():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.round(values / 257)
    for data in (encode(values), encode(values, 'TIFF'), opencv_png(values)):
        image = read_image(data)
        np.testing.assert_array_equal(image[..., 0], expected)
        assert image.shape == (256, 256, 3)


def test_16_bit_colour_is_neither_saturated_nor_wrapped():
    values = RNG.integers(0, 65536, (6, 9, 3)).astype(np.uint16)  # BGR, for OpenCV
    difference = read_image(opencv_png(values)).astype(int) - values / 257
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(
    'pixels', [np.full((2, 2), 70000, np.int32), np.full((2, 2), 0.5, np.float32)]
)
def test_pixels_without_an_agreed_range_are_an_error(pixels):
    with pytest.raises(ValueError, match='no agreed range'):
        read_image(encode(pixels, 'TIFF'))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_image_is_turned_upright(orientation):
    data = rotated_jpeg(orientation)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    expected = np.asarray(upright.convert('RGB'))[..., ::-1]
    np.testing.assert_array_equal(read_image(data), expected)


def test_orientation_can_be_left_alone():
    data = rotated_jpeg(6)
    stored = np.asarray(Image.open(io.BytesIO(data)))[..., ::-1]
    np.testing.assert_array_equal(read_image(data, apply_orientation=False), stored)


def test_orientation_in_a_png_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(encode(COLOUR, exif=exif)).shape == (9, 6, 3)


@pytest.mark.parametrize('orientation', [0, 9, 77])
def test_impossible_orientation_counts_as_none(orientation):
    assert read_image(rotated_jpeg(orientation)).shape == (16, 24, 3)


def test_damaged_exif_does_not_spoil_the_image():
    data = encode(COLOUR, 'JPEG', exif=b'Exif\x00\x00II*\x00\xff\xff\xff\x7f')
    assert read_image(data).shape == COLOUR.shape
    assert image_orientation(data) == 1


# -------------------------------------------------------------------------- read_mask


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_palette_mask_gives_indices_not_colours(bits):
    indices = INDICES & (2**bits - 1)
    mask = read_mask(encode(palette_image(indices), bits=bits))
    np.testing.assert_array_equal(mask, indices)
    assert mask.dtype == np.uint8
    assert mask.flags.writeable


def test_grey_mask_gives_its_values_255_included():
    indices = INDICES.copy()
    indices[0] = 255
    np.testing.assert_array_equal(read_mask(encode(indices)), indices)


@pytest.mark.parametrize('bits', [2, 4])
def test_grey_mask_of_few_bits_gives_the_stored_samples(bits):
    indices = INDICES & (2**bits - 1)
    np.testing.assert_array_equal(read_mask(grey_png(indices, bits)), indices)


def grey_png(samples: np.ndarray, bits: int) -> bytes:
    """A grey PNG of 2 or 4 bits a sample, which Pillow does not write in every version."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', checksum)

    height, width = samples.shape
    rows = b''
    for row in samples:
        flat = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
        rows += b'\0' + np.packbits(flat.ravel()).tobytes()
    header = struct.pack('>IIBBBBB', width, height, bits, 0, 0, 0, 0)
    return (
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', header)
        + chunk(b'IDAT', zlib.compress(rows))
        + chunk(b'IEND', b'')
    )


def test_black_and_white_mask_gives_0_and_1():
    bits = GREY > 127
    np.testing.assert_array_equal(read_mask(encode(Image.fromarray(bits))), bits)


@pytest.mark.parametrize(
    ('dtype', 'file_format'), [('uint16', 'PNG'), ('uint16', 'TIFF'), ('int32', 'TIFF')]
)
def test_deep_mask_with_small_values_is_kept(dtype, file_format):
    data = encode(INDICES.astype(dtype), file_format)
    mask = read_mask(data)
    np.testing.assert_array_equal(mask, INDICES)
    assert mask.dtype == np.uint8


@pytest.mark.parametrize('value', [256, 257, 65535])
def test_16_bit_mask_beyond_255_is_an_error_and_never_wraps(value):
    indices = INDICES.astype(np.uint16)
    indices[0, 0] = value
    with pytest.raises(ValueError, match=f'{value} in a mask .* 0..255'):
        read_mask(encode(indices))


def test_32_bit_mask_below_0_is_an_error():
    with pytest.raises(ValueError, match='-1..'):
        read_mask(encode(INDICES.astype(np.int32) - 1 - INDICES, 'TIFF'))


def test_colour_mask_with_equal_channels_gives_that_channel():
    data = encode(np.dstack([INDICES] * 3))
    np.testing.assert_array_equal(read_mask(data), INDICES)


@pytest.mark.parametrize('channels', [1, 3])
def test_alpha_of_a_mask_is_dropped(channels):
    alpha = np.full_like(INDICES, 7)
    data = encode(np.dstack([*[INDICES] * channels, alpha]))
    np.testing.assert_array_equal(read_mask(data), INDICES)


def test_colour_mask_is_an_error_that_asks_for_indices():
    with pytest.raises(ValueError, match='expected index masks'):
        read_mask(encode(COLOUR))


def test_mask_of_16_bit_colour_is_an_error_and_not_all_zero():
    data = opencv_png(np.dstack([INDICES.astype(np.uint16)] * 3))
    with pytest.raises(ValueError, match='16 bits'):
        read_mask(data)


def test_mask_of_fractions_is_an_error():
    with pytest.raises(ValueError, match='expected index masks'):
        read_mask(encode(INDICES.astype(np.float32), 'TIFF'))


def test_mask_of_one_row_keeps_two_dimensions():
    assert read_mask(encode(INDICES[:1])).shape == (1, 9)


# ------------------------------------------------------------------- sizes, orientation


@pytest.mark.parametrize('orientation', range(1, 9))
def test_orient_agrees_with_pillow(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.open(io.BytesIO(encode(COLOUR, exif=exif)))
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(orient(COLOUR, orientation), expected)


def test_size_is_of_the_stored_pixels_and_orientation_apart():
    data = rotated_jpeg(8)
    assert image_size(data) == (16, 24)
    assert image_orientation(data) == 8


def test_size_reads_the_header_only(tmp_path):
    path = tmp_path / 'a.jpg'
    path.write_bytes(rotated_jpeg(1, (400, 300))[:1000])
    assert image_size(path) == (400, 300)


def test_only_paths_of_a_remote_backend_are_not_local():
    assert is_local('some/file.png')
    assert not is_local('https://host/file.png')


def test_file_backend_is_used(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(encode(INDICES))
    mask = read_mask('file.png', backend_args={'backend': '_fixed', 'path': str(path)})
    np.testing.assert_array_equal(mask, INDICES)


@pytest.fixture(autouse=True, scope='module')
def _fixed_backend():
    from mmengine import fileio

    class FixedBackend(fileio.BaseStorageBackend):
        """Gives one file, whatever is asked for."""

        def __init__(self, path: str) -> None:
            self.path = path

        def get(self, filepath: str) -> bytes:
            with open(self.path, 'rb') as file:
                return file.read()

        def get_text(self, filepath: str) -> str:
            raise NotImplementedError

    fileio.register_backend('_fixed', FixedBackend, force=True)


# -------------------------------------------------------------------------- bad files

READERS = pytest.mark.parametrize('read', [read_image, read_mask, image_size])


@READERS
def test_missing_file_is_named_with_a_hint(read, tmp_path):
    path = tmp_path / 'none' / 'a.png'
    with pytest.raises(
        FileNotFoundError, match='does not exist either.*data_root'
    ) as e:
        read(path)
    assert str(path) in str(e.value)


@READERS
def test_empty_file_is_named(read, tmp_path):
    path = tmp_path / 'a.png'
    path.touch()
    with pytest.raises(ValueError, match='a.png: the file is empty'):
        read(path)


@READERS
def test_text_is_no_image(read, tmp_path):
    path = tmp_path / 'a.png'
    path.write_text('<html>404</html>')
    with pytest.raises(ValueError, match='a.png: not an image'):
        read(path)


@READERS
def test_folder_is_no_image(read, tmp_path):
    with pytest.raises(ValueError, match='is a folder'):
        read(tmp_path)


@READERS
def test_decompression_bomb_is_an_error(read, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 20)
    with pytest.raises(ValueError, match='MAX_IMAGE_PIXELS'):
        read(encode(GREY))


@READERS
def test_large_image_below_the_limit_gives_no_warning(read, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 40)  # 54 pixels: Pillow only warns
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        read(encode(GREY))


@pytest.mark.parametrize(
    ('read', 'data', 'step'),
    [
        (read_image, encode(np.tile(COLOUR, (9, 9, 1)), 'JPEG'), 97),
        (read_image, encode(COLOUR), 1),
        (read_mask, encode(palette_image(INDICES)), 7),
        (read_mask, encode(INDICES), 1),
    ],
    ids=['jpeg', 'png', 'palette mask', 'grey mask'],
)
def test_truncation_anywhere_is_an_error(read, data, step, tmp_path):
    path = tmp_path / 'cut'
    # The last four bytes are a PNG's check sum of nothing.
    for length in [*range(1, len(data) - 4, step), len(data) - 5]:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=f'^{path}: '):
            read(path)


def test_a_changed_byte_in_a_png_never_changes_the_mask_unnoticed():
    # Well compressed, as masks are: Pillow's decoder alone lets many of these pass.
    indices = np.kron(INDICES, np.ones((20, 20), np.uint8))
    data = encode(palette_image(indices))
    for position in range(data.index(b'IDAT'), len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x55
        try:
            mask = read_mask(bytes(damaged))
        except ValueError:
            continue
        np.testing.assert_array_equal(mask, indices, f'byte {position}')

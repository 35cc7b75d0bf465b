"""Image and mask files: what is read has the pixels that were written, or is refused."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from mutations import damaged
from PIL import Image
from sandbox import Sandbox, inputs, left_over

from mmssp.apis.annotations.conversion import to_mask
from mmssp.apis.images import read_any_image
from mmssp.datasets.class_index import ClassIndex
from mmssp.datasets.transforms.loading import LoadMask
from mmssp.datasets.wrapped import build_dataset
from mmssp.utils.image_io import MAX_PIXELS, image_orientation, image_size, read_image
from mmssp.utils.image_io import read_mask as read_index_mask

HEIGHT, WIDTH = 12, 17
RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
MASK = np.repeat(np.repeat(RNG.integers(0, 4, (4, 6), np.uint8), 3, 0), 3, 1)[:, :WIDTH]


def encoded(pixels: np.ndarray, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    if options.pop('palette', False):
        image.putpalette(bytes(range(256)) * 3)
    image.save(stream, kind, **options)
    return stream.getvalue()


TURNED = Image.Exif()
TURNED[0x0112] = 6
PHOTOS = {
    'jpeg': encoded(PHOTO, 'JPEG', exif=TURNED),
    'progressive': encoded(PHOTO, 'JPEG', progressive=True),
    'png': encoded(PHOTO, 'PNG'),
    'webp': encoded(PHOTO, 'WEBP'),
    'bmp': encoded(PHOTO, 'BMP'),
    'tiff': encoded(PHOTO, 'TIFF', compression='tiff_deflate'),
    'gif': encoded(PHOTO[..., 0], 'GIF'),
    '16 bit': encoded(PHOTO[..., 0].astype(np.uint16) * 257, 'PNG'),
}  # fmt: skip
MASKS = {
    'grey': encoded(MASK, 'PNG'),
    'palette': encoded(MASK, 'PNG', palette=True),
    '16 bit': encoded(MASK.astype(np.uint16), 'PNG'),
    'colour': encoded(np.repeat(MASK[..., None], 3, 2), 'PNG'),
    'one bit': encoded(MASK > 1, 'PNG'),
    'tiff': encoded(MASK, 'TIFF'),
    'bmp': encoded(MASK, 'BMP'),
}


def read_photo(data: bytes, lossless: bool) -> None:
    height, width = image_size(data)
    assert 1 <= image_orientation(data) <= 8
    pixels = read_image(data)
    assert pixels.dtype == np.uint8
    assert pixels.shape in ((height, width, 3), (width, height, 3))
    np.testing.assert_array_equal(read_any_image(data), pixels[..., ::-1])
    if lossless:
        np.testing.assert_array_equal(pixels[..., ::-1], PHOTO)


@inputs(450)
@given(data=st.data())
def test_damaged_photos(data, photos):
    kind = data.draw(st.sampled_from(sorted(PHOTOS)))
    # PNG alone has checksums: what is read from it must be what was written
    photos(data.draw(damaged(PHOTOS[kind])), kind == 'png')


def read_mask(data: bytes, has_checksums: bool) -> None:
    """By all readers that there are; they agree."""
    mask = read_index_mask(data)
    assert mask.ndim == 2 and mask.dtype == np.uint8
    if has_checksums:
        np.testing.assert_array_equal(mask, MASK)
    image = np.zeros((*mask.shape, 3), np.uint8)
    values = [int(v) for v in np.unique(mask) if v not in (0, 255)]
    if values:
        marked = to_mask(data, image, class_value=values[0])
        np.testing.assert_array_equal(marked == 1, mask == values[0])


@inputs(350)
@given(data=st.data())
def test_damaged_masks(data, masks):
    kind = data.draw(st.sampled_from(sorted(MASKS)))
    masks(data.draw(damaged(MASKS[kind])), kind in ('grey', 'palette', 'colour'))


MODES = st.sampled_from(
    ('1', 'L', 'LA', 'P', 'PA', 'RGB', 'RGBA', 'CMYK', 'I', 'F', 'I;16')
)
VALUES = st.sampled_from((0, 1, 3, 127, 254, 255, 256, 65_535, 65_536, -1, 2**31 - 1))


@inputs(150)
@given(
    mode=MODES,
    value=VALUES,
    size=st.sampled_from(((WIDTH, HEIGHT), (HEIGHT, WIDTH), (1, 1), (3000, 1))),
    kind=st.sampled_from(('PNG', 'TIFF', 'BMP')),
)
def test_masks_of_other_modes_values_and_sizes(mode, value, size, kind, masks):
    """What is read is the stored value; what no mask can hold is refused."""
    array = np.full(size[::-1], np.clip(value, 0, 255), np.uint8)
    if mode in ('I', 'F', 'I;16'):
        array = np.full(size[::-1], value, np.int64)
        array = array.astype({'I': np.int32, 'F': np.float32, 'I;16': np.uint16}[mode])
        image = Image.fromarray(array)
    else:
        image = Image.fromarray(array).convert(mode)
    stream = io.BytesIO()
    try:
        image.save(stream, kind)
    except (OSError, ValueError):
        return  # no such file exists
    data = stream.getvalue()
    refused = masks(data, False)
    if mode in ('I', 'I;16') and kind == 'PNG' and 256 <= value <= 65_535:
        assert refused is not None
    if mode in ('L', 'P') and 0 <= value <= 255:
        assert refused is None
        np.testing.assert_array_equal(read_index_mask(data), array)


def huge_png(width: int, height: int, rows: int = 1) -> bytes:
    """A PNG of a size that it declares, of black, as small as a PNG can be."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack('>I', zlib.crc32(name + data))
        return struct.pack('>I', len(data)) + name + data + checksum

    head = struct.pack('>IIBBBBB', width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(min((width + 1) * rows, 2**20)), 9)
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        chunk(*c) for c in ((b'IHDR', head), (b'IDAT', pixels), (b'IEND', b''))
    )


@inputs(60)
@given(
    width=st.sampled_from((1, 60_000, 2**20, 2**31 - 1)),
    height=st.sampled_from((1, 20_000, 2**24, 2**31 - 1)),
)
def test_huge_declared_sizes(width, height, photos):
    data = huge_png(width, height)
    refused = photos(data, False)
    if width * height > MAX_PIXELS:
        assert refused is not None


def test_a_decompression_bomb_is_refused_before_it_is_decoded(photos, masks):
    bomb = huge_png(60_000, 60_000)
    assert len(bomb) < 10_000
    assert 'pixels' in photos(bomb, False)
    assert 'pixels' in masks(bomb, False)


def scan(folder: Path, mask: bytes, photo: bytes, names: bytes) -> None:
    """A whole data set with one damaged file; the counts of the others are right."""
    for name, data in (('a', (photo, mask)), ('b', (PHOTOS['png'], MASKS['grey']))):
        (folder / f'{name}.jpg').write_bytes(data[0])
        (folder / f'{name}.png').write_bytes(data[1])
    (folder / 'list.txt').write_bytes(names)
    init_default_scope('mmseg')
    cache = folder / 'cache'
    dataset = build_dataset(
        dict(
            type='BaseSegDataset',
            data_root=str(folder),
            ann_file='list.txt',
            data_prefix=dict(img_path='', seg_map_path=''),
            metainfo=dict(classes=('0', '1', '2', '3')),
            reduce_zero_label=False,
        )
    )
    try:
        index = ClassIndex.build(dataset, LoadMask(), cache_dir=cache, workers=1)
    finally:
        assert not left_over(cache) if cache.exists() else True
    for i in range(len(dataset)):
        path = dataset.get_data_info(i)['seg_map_path']
        stored = np.asarray(Image.open(path))
        if stored.ndim == 3:
            stored = stored[..., 0]
        if path.endswith('b.png'):
            np.testing.assert_array_equal(stored, MASK)
        expected = {
            int(v): int((stored == v).sum()) for v in np.unique(stored) if v != 255
        }
        assert index.classes_in(i) == expected


@inputs(200)
@given(
    mask=st.one_of(st.just(MASKS['grey']), damaged(MASKS['palette'], 2)),
    photo=st.one_of(st.just(PHOTOS['png']), damaged(PHOTOS['jpeg'], 2)),
)
def test_counts_of_a_data_set_with_damaged_files(mask, photo, scanning):
    scanning(mask, photo, b'a\nb\n')


@inputs(100)
@given(names=damaged(b'a\nb\na\n'))
def test_damaged_lists(names, scanning):
    scanning(MASKS['grey'], PHOTOS['png'], names)


@pytest.fixture(scope='module')
def photos():
    with Sandbox(read_photo) as sandbox:
        yield sandbox


@pytest.fixture(scope='module')
def masks():
    with Sandbox(read_mask) as sandbox:
        yield sandbox


@pytest.fixture(scope='module')
def scanning(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scan')
    with Sandbox(lambda *args: scan(folder, *args)) as sandbox:
        yield sandbox

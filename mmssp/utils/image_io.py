"""Images and index masks from files: exact, or an error that names the file."""

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from .image_formats import HEAD, register_readers, unread_format
from .mask_channels import mask_channel

Source = str | os.PathLike[str] | bytes | bytearray | memoryview

ORIENTATION_TAG = 0x0112  # of EXIF
MAX_PIXELS = 200_000_000
"""Of an image, unless said otherwise: 600 MB as colour."""
_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
register_readers()

# Pillow spreads grey of 2 and 4 bits over 0..255; these steps give the samples back.
_GREY_STEPS = {'L;2': 85, 'L;4': 17}


def read_image(
    source: Source,
    *,
    apply_orientation: bool = True,
    backend_args: dict[str, Any] | None = None,
) -> np.ndarray:
    """Read a photo as colour, whatever its kind of pixels.

    Grey becomes three equal channels, alpha is dropped, a palette and CMYK become
    colours, 16 bits are scaled to 8 by their full range (/257).

    Args:
        source: Path, in any backend of :mod:`mmengine.fileio`, or the file's bytes.
        apply_orientation: Turn the image upright as its EXIF orientation says.
        backend_args: Arguments of the file backend.

    Returns:
        (H,W,3) uint8, BGR, contiguous.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated, damaged, no image, too large for Pillow's
            limit, or of floats or 32-bit integers, which have no agreed range.
    """
    with _opened(source, backend_args) as image:
        orientation = pil_orientation(image) if apply_orientation else 1
        deep_grey = image.mode.startswith('I') or image.mode == 'F'
        as_is = deep_grey or image.mode == 'RGB'
        pixels = np.asarray(image if as_is else image.convert('RGB'))
    if deep_grey:
        pixels = scale_deep_grey(pixels, _name(source))
        code = cv2.COLOR_GRAY2BGR
    else:
        code = cv2.COLOR_RGB2BGR
    return np.ascontiguousarray(orient(cv2.cvtColor(pixels, code), orientation))


def read_mask(
    source: Source, *, backend_args: dict[str, Any] | None = None
) -> np.ndarray:
    """Read a mask of class indices; the stored numbers, not the colours they show as.

    Indices may be stored as palette entries, as grey of 1 to 32 bits, or as colour
    with three equal channels. Alpha is dropped, unless it is the only channel that
    tells pixels apart. An EXIF orientation is not applied.

    Args:
        source: Path, in any backend of :mod:`mmengine.fileio`, or the file's bytes.
        backend_args: Arguments of the file backend.

    Returns:
        (H,W) uint8 of class indices, writable.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated, damaged, no image or too large for Pillow's
            limit; or it holds colours, fractions, or indices beyond 0..255.
    """
    with _opened(source, backend_args) as image:
        raw_mode = _raw_mode(image)
        mode = image.mode
        pixels = np.array(image)
    name = _name(source)
    if mode in ('P', 'L'):
        return pixels // _GREY_STEPS[raw_mode] if raw_mode in _GREY_STEPS else pixels
    if mode == '1':
        return pixels.astype(np.uint8)
    if mode.startswith('I'):
        low, high = int(pixels.min()), int(pixels.max())
        if low < 0 or high > 255:
            raise ValueError(
                f'{name}: values {low}..{high} in a mask of class indices; expected '
                '0..255 (255 is ignored). If it holds instance ids or a depth, convert '
                'it to class indices first.'
            )
        return pixels.astype(np.uint8)
    if ';16' in raw_mode:
        # Pillow keeps the high byte only: indices would all silently become 0.
        raise ValueError(
            f'{name}: a mask with several channels of 16 bits; expected class indices '
            'in one channel. Save it as a palette or grey PNG of 8 bits.'
        )
    if mode == 'PA':
        return np.ascontiguousarray(pixels[..., 0])
    if mode in ('LA', 'RGB', 'RGBA', 'RGBX'):
        pixels = pixels[..., :3] if mode == 'RGBX' else pixels
        return np.ascontiguousarray(mask_channel(pixels, name))
    raise ValueError(
        f'{name}: a mask of colours (mode {mode}); expected index masks, in which the '
        'value of a pixel is its class (palette or grey PNG). Convert colours to class '
        'indices first.'
    )


def has_palette(
    source: Source | Image.Image, *, backend_args: dict[str, Any] | None = None
) -> bool:
    """Whether pixels are entries of a palette, so that their numbers are no greys.

    Args:
        source: Path, in any backend of :mod:`mmengine.fileio`, the file's bytes, or an
            open image.
        backend_args: Arguments of the file backend.

    Returns:
        False also for the palette in which entry i is grey i.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, no image, or too large for Pillow's limit.
    """
    if not isinstance(source, Image.Image):
        with _opened(source, backend_args, check=False) as image:
            return has_palette(image)
    if source.mode != 'P':
        return False
    palette = np.array(source.getpalette() or [], np.uint8).reshape(-1, 3)
    return bool((palette != np.arange(len(palette))[:, None]).any())


def image_size(
    source: Source, *, backend_args: dict[str, Any] | None = None
) -> tuple[int, int]:
    """Size from the header, without decoding; before any EXIF orientation.

    Args:
        source: Path, in any backend of :mod:`mmengine.fileio`, or the file's bytes.
        backend_args: Arguments of the file backend.

    Returns:
        (height, width) of the stored pixels.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, no image, or too large for Pillow's limit.
    """
    with _opened(source, backend_args, check=False) as image:
        return image.height, image.width


def image_orientation(
    source: Source, *, backend_args: dict[str, Any] | None = None
) -> int:
    """EXIF orientation; with 5 to 8, the upright image's sides are swapped.

    Args:
        source: Path, in any backend of :mod:`mmengine.fileio`, or the file's bytes.
        backend_args: Arguments of the file backend.

    Returns:
        1..8, and 1 where there is none.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, no image, or too large for Pillow's limit.
    """
    with _opened(source, backend_args, check=False) as image:
        return pil_orientation(image)


def orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels upright.

    Args:
        pixels: (H,W) or (H,W,C).
        orientation: EXIF orientation, 1..8.

    Returns:
        A view: (H,W), for orientations 5 to 8 (W,H), and C as before.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def is_local(
    path: str | os.PathLike[str], backend_args: dict[str, Any] | None = None
) -> bool:
    """Whether mmengine reads this path from the local file system."""
    from mmengine import fileio  # late: it takes seconds

    backend = fileio.get_file_backend(
        path, backend_args=backend_args, enable_singleton=True
    )
    return isinstance(backend, fileio.LocalBackend)


@contextmanager
def _opened(
    source: Source, backend_args: dict[str, Any] | None, check: bool = True
) -> Iterator[Image.Image]:
    """Pillow's image, to be decoded inside; decoding errors get the file's name."""
    name = _name(source)
    with _stream(source, backend_args) as stream, warnings.catch_warnings():
        # What Pillow only warns of (a large image, odd EXIF) is fine here, and must
        # not stop a run under -W error.
        warnings.simplefilter('ignore')
        signature = stream.read(len(_PNG_SIGNATURE))
        stream.seek(0)
        if not signature:
            raise ValueError(
                f'{name}: the file is empty (0 bytes); expected an image. Copy or '
                'download it again.'
            )
        try:
            if check and signature == _PNG_SIGNATURE:
                # The decoder doesn't look at check sums: flipped bits would go unseen.
                Image.open(stream).verify()
                stream.seek(0)
            with Image.open(stream) as image:
                yield image
        except MemoryError:
            raise
        except UnidentifiedImageError as error:
            stream.seek(0)
            raise ValueError(f'{name}: {unread_format(stream.read(HEAD))}') from error
        except Image.DecompressionBombError as error:
            raise ValueError(
                f'{name}: {error}. If you trust the file, raise '
                'PIL.Image.MAX_IMAGE_PIXELS; or store it smaller.'
            ) from error
        except Exception as error:  # Pillow's decoders raise nearly every kind
            raise ValueError(
                f'{name}: cannot be decoded, probably truncated or damaged '
                f'({type(error).__name__}: {error}). Copy or download it again.'
            ) from error


@contextmanager
def _stream(source: Source, backend_args: dict[str, Any] | None) -> Iterator[BinaryIO]:
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source)
        return
    try:
        if is_local(source, backend_args):
            stream: BinaryIO = open(source, 'rb')  # noqa: SIM115 (closed below)
        else:
            from mmengine import fileio

            stream = io.BytesIO(fileio.get(source, backend_args=backend_args))
    except FileNotFoundError as error:
        raise FileNotFoundError(_missing(source)) from error
    except IsADirectoryError as error:
        raise ValueError(f'{source} is a folder; expected an image file.') from error
    with stream:
        yield stream


def _missing(path: str | os.PathLike[str]) -> str:
    folder = Path(path).parent
    state = 'exists' if folder.is_dir() else 'does not exist either'
    return (
        f'{path} does not exist (its folder {state}). Check data_root, data_prefix, '
        'the file suffixes and the list file of the data set.'
    )


def _name(source: Source) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return f'image of {len(source)} bytes'


def _raw_mode(image: Image.Image) -> str:
    """How the file stores pixels, e.g. 'L;4' or 'RGB;16B'; only before decoding."""
    tile = getattr(image, 'tile', None)
    arguments = tile[0][3] if tile else ''
    if isinstance(arguments, tuple):
        arguments = arguments[0] if arguments else ''
    return arguments if isinstance(arguments, str) else ''


def pil_orientation(image: Image.Image) -> int:
    """EXIF orientation of an open image, 1..8; 1 where there is none or it is damaged."""
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF takes nothing from the pixels, which are fine
        return 1
    return orientation if orientation in range(1, 9) else 1


def scale_deep_grey(pixels: np.ndarray, name: str) -> np.ndarray:
    """Grey levels of 16 bits, scaled to 8.

    Args:
        pixels: (H,W), any integers in 0..65535.
        name: Of the image, for the message.

    Returns:
        (H,W) uint8; rounded to nearest.

    Raises:
        ValueError: Floats, or values out of that range.
    """
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind == 'f' or low < 0 or high > 65535:
        raise ValueError(
            f'{name}: {pixels.dtype} values {low}..{high} have no agreed range; '
            'expected 8 or 16 bits a channel. Convert the image.'
        )
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)

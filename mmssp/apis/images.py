"""Any image that a user may hold, as upright RGB pixels: file, bytes, PIL or NumPy."""

import os
import warnings
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..utils.image_io import (
    MAX_PIXELS,
    Source,
    image_size,
    orient,
    pil_orientation,
    read_image,
    scale_deep_grey,
)

CHANNEL_ORDERS = ('rgb', 'bgr')


def read_any_image(
    image: str | os.PathLike[str] | bytes | Image.Image | np.ndarray,
    *,
    channel_order: str = 'rgb',
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """One image as colour, whatever holds it.

    Files, bytes and PIL images are turned upright as their EXIF orientation says; grey
    becomes three equal channels, alpha is dropped, 16 bits are scaled to 8. Nothing is
    ever downloaded.

    Args:
        image: Path, an image file's bytes, a PIL image of any mode, or an array (H,W),
            (H,W,1), (H,W,3) or (H,W,4) of values 0..255: uint8, or other integers or
            floats in that range, which are rounded.
        channel_order: ``'rgb'`` or ``'bgr'`` (as OpenCV reads): of arrays only, since
            files and PIL images know theirs.
        max_pixels: A larger image is refused, before it is decoded.

    Returns:
        (H,W,3) uint8, RGB, contiguous; never shares memory with an array given.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a URL, damaged, empty, too large, or no image; or an array of
            another shape, type or range.
    """
    if channel_order not in CHANNEL_ORDERS:
        raise ValueError(
            f"channel_order is {channel_order!r}; expected 'rgb' or 'bgr' (what "
            'cv2.imread gives).'
        )
    if isinstance(image, str | os.PathLike | bytes | bytearray | memoryview):
        check_source(image, max_pixels=max_pixels)
        return np.ascontiguousarray(read_image(image)[..., ::-1])
    if isinstance(image, Image.Image):
        return _from_pil(image, max_pixels)
    refuse_tensor(image, 'image')
    if isinstance(image, np.ndarray):
        return _from_array(image, channel_order, max_pixels)
    raise ValueError(
        f'an image is a {type(image).__name__}; expected a path, the bytes of an image '
        'file, a PIL image or a NumPy array.'
    )


def check_source(
    source: Source, *, max_pixels: int = MAX_PIXELS, expected: str = 'an image file'
) -> tuple[int, int]:
    """Refuse what must not be decoded, by looking at the header only.

    Args:
        source: Path or an image file's bytes.
        max_pixels: The largest size allowed.
        expected: Words for messages.

    Returns:
        (height, width) of the stored pixels, before any EXIF orientation.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A URL, a folder, an unreadable file, no image, or too many pixels.
    """
    name = 'the image'
    if isinstance(source, str | os.PathLike):
        check_file(source, expected)
        name = os.fspath(source)
    height, width = image_size(source)
    check_size(height, width, name, max_pixels)
    return height, width


def check_file(path: str | os.PathLike[str], expected: str = 'an image file') -> None:
    """Refuse what is no readable local file.

    Args:
        path: Where the file should be.
        expected: Words for messages.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A URL, a folder or other special file, or no permission to read it.
    """
    text = os.fspath(path)
    if isinstance(text, str) and '://' in text:
        raise ValueError(
            f'{text} is a URL, and nothing is downloaded; expected the path of '
            f'{expected}. Download it yourself and pass the path or the bytes.'
        )
    if os.path.isfile(path):
        if not os.access(path, os.R_OK):
            raise ValueError(f'{text} cannot be read: permission denied.')
    elif os.path.exists(path):
        kind = 'a folder' if os.path.isdir(path) else 'no regular file'
        raise ValueError(f'{text} is {kind}; expected {expected}.')
    else:
        raise FileNotFoundError(
            f'{text} does not exist; expected {expected}. Relative paths start at '
            f'{os.getcwd()}.'
        )


def check_size(
    height: int, width: int, name: str, max_pixels: int = MAX_PIXELS
) -> None:
    """Refuse images without a pixel or with too many.

    Raises:
        ValueError: It is so.
    """
    if height < 1 or width < 1:
        raise ValueError(
            f'{name} has {width}x{height} pixels; expected at least one pixel.'
        )
    if height * width > max_pixels:
        raise ValueError(
            f'{name} has {width}x{height} = {height * width} pixels; at most '
            f'{max_pixels} are read. Store it smaller, or cut it into pieces.'
        )


def refuse_tensor(value: Any, what: str) -> None:
    """Refuse a tensor: its layout and range are not known.

    Raises:
        ValueError: ``value`` is a :class:`torch.Tensor`.
    """
    if isinstance(value, torch.Tensor):
        raise ValueError(
            f'the {what} is a torch.Tensor of the shape {tuple(value.shape)} and '
            f'{value.dtype}; expected a NumPy array with channels last and values '
            '0..255. From a (3,H,W) tensor of 0..1: '
            '(tensor * 255).round().byte().permute(1, 2, 0).cpu().numpy().'
        )


def load_pil(image: Image.Image, what: str, max_pixels: int = MAX_PIXELS) -> str:
    """Decode a PIL image that may still be a file only.

    Args:
        image: The image; loaded in place.
        what: Word for messages.
        max_pixels: The largest size allowed.

    Returns:
        Its name for messages.

    Raises:
        ValueError: It has too many pixels, or cannot be decoded.
    """
    name = os.fspath(getattr(image, 'filename', '')) or f'the PIL {what}'
    check_size(image.height, image.width, name, max_pixels)
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly every kind
        raise ValueError(
            f'{name}: cannot be decoded, probably truncated, damaged or closed '
            f'({type(error).__name__}: {error}).'
        ) from error
    return name


def _from_pil(image: Image.Image, max_pixels: int) -> np.ndarray:
    with warnings.catch_warnings():
        # Odd EXIF or palette transparency; neither changes the colours read.
        warnings.simplefilter('ignore')
        name = load_pil(image, 'image', max_pixels)
        orientation = pil_orientation(image)
        deep_grey = image.mode.startswith('I') or image.mode == 'F'
        pixels = np.asarray(image if deep_grey else image.convert('RGB'))
    if deep_grey:
        grey = scale_deep_grey(pixels, name)
        pixels = np.broadcast_to(grey[..., None], (*grey.shape, 3))
    return np.array(orient(pixels, orientation), order='C')


def _from_array(array: np.ndarray, channel_order: str, max_pixels: int) -> np.ndarray:
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        channels_first = array.ndim == 3 and shape[0] in (1, 3, 4)
        hint = (
            ' Channels come last: array.transpose(1, 2, 0).' if channels_first else ''
        )
        raise ValueError(
            f'the image array has the shape {shape}; expected (H,W), (H,W,1), (H,W,3) '
            f'or (H,W,4).{hint}'
        )
    check_size(shape[0], shape[1], f'the image array of the shape {shape}', max_pixels)
    pixels = _as_bytes(array)[..., :3]
    if channel_order == 'bgr':
        pixels = pixels[..., ::-1]
    return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), order='C')


def _as_bytes(array: np.ndarray) -> np.ndarray:
    """Values 0..255 as uint8."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in 'iuf':
        hint = ' A mask belongs to the annotations.' if array.dtype == bool else ''
        raise ValueError(
            f'the image array is of {array.dtype}; expected uint8 values 0..255.{hint}'
        )
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):  # NaN fails too
        raise ValueError(
            f'the image array ({array.dtype}) has values {low}..{high}; expected '
            '0..255 without NaN. Scale it and convert it to uint8.'
        )
    if array.dtype.kind == 'f' and high <= 1:
        raise ValueError(
            f'the image array ({array.dtype}) has values {low}..{high}, so perhaps 0..1 '
            'stands for black to white; expected 0..255. Convert it: '
            '(array * 255).round().astype(np.uint8).'
        )
    return np.rint(array).astype(np.uint8)

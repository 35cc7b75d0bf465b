"""Kinds of picture files: which are read, and what to say of those that are not."""

import contextlib
from importlib import import_module

from PIL import Image

IMAGE_SUFFIXES = frozenset(
    ('.apng', '.avif', '.bmp', '.dib', '.gif', '.j2k', '.jfif', '.jp2', '.jpe', '.jpeg')
    + ('.jpg', '.mpo', '.pbm', '.pgm', '.png', '.pnm', '.ppm', '.tga', '.tif', '.tiff')
    + ('.webp', '.heic', '.heif')
)
"""How files of photos end, in lower case; HEIC's need pillow-heif."""
OTHER_SUFFIXES = frozenset(
    ('.3fr', '.arw', '.bpg', '.cr2', '.cr3', '.dng', '.exr', '.hdr', '.ico', '.jxl')
    + ('.nef', '.orf', '.pcx', '.pef', '.psd', '.qoi', '.raf', '.raw', '.rw2', '.svg')
    + ('.dcm', '.nii', '.svs', '.xcf', '.ai', '.eps', '.pdf')
)
"""Of pictures that are not looked for."""
HEAD = 64
"""Bytes by which a format shows itself."""

_HEIF = {b'heic', b'heix', b'hevc', b'hevx', b'heim', b'heis', b'mif1', b'msf1'}
_SIGNATURES = [
    (b'\xff\x0a', 'JPEG XL'),
    (b'\0\0\0\x0cJXL ', 'JPEG XL'),
    (b'8BPS', 'Photoshop (PSD)'),
    (b'%PDF', 'PDF'),
    (b'v/1\x01', 'OpenEXR'),
    (b'gimp xcf', 'GIMP (XCF)'),
    (b'BPG\xfb', 'BPG'),
    (b'<svg', 'SVG'),
    (b'<?xml', 'XML, perhaps SVG'),
    (b'<!DOCTYPE', 'a web page (HTML)'),
    (b'<html', 'a web page (HTML)'),
    (b'version https://git-lfs', 'a pointer of Git LFS'),
    (b'II*\0', 'TIFF of a kind that Pillow does not read (its bands or bits)'),
    (b'MM\0*', 'TIFF of a kind that Pillow does not read (its bands or bits)'),
]

_NO_PICTURES = ('a web page (HTML)', 'a pointer of Git LFS')


def register_readers() -> None:
    """Let Pillow read HEIC, if ``pillow-heif`` is installed."""
    with contextlib.suppress(ImportError):
        import_module('pillow_heif').register_heif_opener()


def reads_heic() -> bool:
    """Whether Pillow has been given a reader of HEIC."""
    return 'HEIF' in Image.OPEN


def unread_format(head: bytes) -> str:
    """What to say of a file that Pillow does not identify.

    Args:
        head: Its first :data:`HEAD` bytes.

    Returns:
        A sentence: another format by name, or damage.
    """
    kind = _known(head)
    if kind == 'HEIC' and not reads_heic():
        return (
            'not damaged, but HEIC, as phones store photos, whatever its name; expected '
            'a format that Pillow reads. Install pillow-heif, or convert it to JPEG.'
        )
    if kind in _NO_PICTURES:
        return f'not an image, but {kind}. Download the picture itself.'
    if kind is not None and kind != 'HEIC':
        return (
            f'not damaged, as it seems, but {kind}; expected JPEG, PNG or another format '
            'that Pillow reads. Convert it.'
        )
    return (
        'not an image, or its header is damaged; expected JPEG, PNG or another format '
        'that Pillow reads. Copy or download it again.'
    )


def _known(head: bytes) -> str | None:
    if head[4:8] == b'ftyp':
        return 'HEIC' if head[8:12] in _HEIF else 'a video, or AVIF of a newer kind'
    return next((kind for sign, kind in _SIGNATURES if head.startswith(sign)), None)

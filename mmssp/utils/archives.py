"""Zip archives from elsewhere: whole, and no larger than they look."""

import os
import zipfile
from typing import BinaryIO


def check_archive(source: str | os.PathLike[str] | BinaryIO, size: int) -> None:
    """Refuse a zip archive of stored files that is not whole, or unpacks to more.

    PyTorch and NumPy store what they save, so an honest file of theirs never holds more
    than its own bytes: what is compressed, or lies on top of other entries, is a bomb.
    PyTorch does not look at the checksums that it wrote; here they are.

    Args:
        source: The archive, of ``torch.save`` or ``numpy.savez``.
        size: Its bytes.

    Raises:
        ValueError: It is so, or is no zip archive.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise ValueError('it is compressed, which no such file is when written')
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > size:
                raise ValueError(f'its {size} bytes claim to hold {unpacked}')
            names = [entry.filename for entry in entries]
            if len(set(names)) < len(names):
                raise ValueError('it holds two files of one name')
            damaged = archive.testzip()
    except ValueError:
        raise
    # random bytes make zipfile raise nearly anything
    except Exception as error:
        raise ValueError(
            f'its zip archive is damaged ({type(error).__name__}: {error})'
        ) from error
    if damaged is not None:
        raise ValueError(
            f'the checksum of {damaged!r} in it is wrong, or was left out when it was '
            'saved (torch.serialization.set_crc32_options)'
        )

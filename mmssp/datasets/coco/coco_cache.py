"""The label masks of a COCO JSON: drawn once, in parallel, and kept as small PNGs."""

import hashlib
import json
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from mmssp.utils.files import atomic_path, cache_root, locked
from mmssp.utils.parallel import parallel_map

from . import coco_json
from .coco_json import ImageOutlines
from .coco_masks import PNG_PALETTE, count_degenerate, draw_mask

RENDERING = 1  # raise it when the same JSON shall give other masks or another manifest


class Masks(NamedTuple):
    """The masks of one JSON on disk."""

    folder: Path
    """Where the mask files are."""
    classes: tuple[str, ...]
    """The names of labels 0..N, 'background' first."""
    images: list[dict[str, Any]]
    """In the JSON's order ``file_name``, ``height``, ``width`` (pixels), ``mask`` (path
    in ``folder``) and ``bytes`` (the mask file's size) of each image."""


def write_mask(path: str | os.PathLike[str], mask: np.ndarray) -> int:
    """Write a label mask as an 8-bit palette PNG, whole or not at all.

    Args:
        path: Where to.
        mask: (H, W) uint8.

    Returns:
        The file's size in bytes.
    """
    image = Image.fromarray(mask)
    image.putpalette(PNG_PALETTE)
    with atomic_path(path) as temporary:
        image.save(temporary)
        return temporary.stat().st_size


def is_whole_mask(path: str | os.PathLike[str], height: int, width: int) -> bool:
    """Whether it is an 8-bit palette PNG of this size with all its checksums right.

    Without decoding a pixel: tens of microseconds.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return False
    head = struct.pack('>8sI4sIIBB', _PNG_START, 13, b'IHDR', width, height, 8, 3)
    if not data.startswith(head):
        return False
    offset = len(_PNG_START)
    while offset + 12 <= len(data):
        length, kind = struct.unpack_from('>I4s', data, offset)
        end = offset + 8 + length
        checksum = zlib.crc32(data[offset + 4 : end])
        if data[end : end + 4] != checksum.to_bytes(4, 'big'):
            return False
        offset = end + 4
        if kind == b'IEND':
            return offset == len(data)
    return False


_PNG_START = b'\x89PNG\r\n\x1a\n'


class _Task(NamedTuple):
    image: ImageOutlines
    path: Path


def _draw_file(task: _Task) -> tuple[int, int]:
    image = task.image
    if is_whole_mask(task.path, image.height, image.width):
        size = task.path.stat().st_size
    else:
        try:
            mask = draw_mask(image.outlines, image.height, image.width)
        except ValueError as error:
            raise ValueError(f'image {image.file_name}: {error}') from error
        size = write_mask(task.path, mask)
    return size, sum(count_degenerate(o.segmentation) for o in image.outlines)


def cache_folder(
    ann_file: str | os.PathLike[str],
    classes: Sequence[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """The folder for this JSON (its path, size, time of change) and class list."""
    root = Path(cache_dir).expanduser() if cache_dir else cache_root() / 'coco'
    path = Path(ann_file).absolute()
    coco_json.check_exists(path)
    state = path.stat()
    key = [str(path), state.st_size, state.st_mtime_ns, RENDERING]
    return root / _digest([*key, list(classes) if classes else None])[:20]


def load_masks(folder: Path) -> Masks | None:
    """The finished masks in a cache folder; None if there are none, or not all whole.

    The manifest is checked by its checksum, each mask file by its size.
    """
    path = folder / 'manifest.json'
    try:
        manifest = json.loads(path.read_bytes())
        content = manifest['content']
        if manifest['sha256'] != _digest(content) or content['key'] != folder.name:
            raise ValueError('its checksum is wrong')
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        warnings.warn(f'{path} is damaged ({error!r}): made anew.', stacklevel=2)
        return None
    lost = {image['mask']: image['bytes'] for image in content['images']}
    for parent in {PurePosixPath(name).parent for name in lost}:
        if (folder / parent).is_dir():
            with os.scandir(folder / parent) as entries:
                for entry in entries:
                    name = str(parent / entry.name)
                    if name in lost and entry.stat().st_size == lost[name]:
                        del lost[name]
    if lost:
        warnings.warn(
            f'{folder}: {len(lost)} of {len(content["images"])} masks are missing or '
            f'damaged ({next(iter(lost))}, ...): drawn again.',
            stacklevel=2,
        )
        return None
    return Masks(folder, tuple(content['classes']), content['images'])


def render_masks(
    ann_file: str | os.PathLike[str],
    classes: Sequence[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    workers: int | None = None,
) -> Masks:
    """The masks of a COCO instance JSON: from the cache, or drawn now.

    When all is in the cache, the JSON is not opened. Of several processes that start
    together one draws and the others wait for it. An interrupted drawing goes on where
    it stopped.

    Args:
        ann_file: A COCO ``instances_*.json``.
        classes: 'background' and the names that get the labels 1..N; categories that
            are not among them become background. None takes all categories, by id.
        cache_dir: Where the masks are kept; None: ``coco`` in
            :func:`mmssp.utils.files.cache_root`. It may be deleted at any time.
        workers: Processes; None takes all CPUs.

    Returns:
        The folder, the class names and the images.

    Raises:
        FileNotFoundError: There is no such JSON.
        ValueError: It cannot be read as what it should be, or the cache folder cannot
            be written.
    """
    folder = cache_folder(ann_file, classes, cache_dir)
    masks = load_masks(folder)
    if masks is None:
        with ExitStack() as stack:
            with _writable(folder):
                stack.enter_context(locked(folder, f'draws the masks of {ann_file}'))
            masks = load_masks(folder)  # another process may have been first
            if masks is None:
                masks = _render(folder, ann_file, classes, workers)
    return masks


def _render(
    folder: Path,
    ann_file: str | os.PathLike[str],
    classes: Sequence[str] | None,
    workers: int | None,
) -> Masks:
    print(f'Reading {ann_file} ...', file=sys.stderr)
    content = coco_json.load_json(ann_file)
    names = coco_json.category_names(content, ann_file)
    classes = tuple(classes or coco_json.class_list(names))
    labels = coco_json.category_labels(names, classes, ann_file)
    images = coco_json.read_outlines(content, labels, ann_file)
    del content
    files = _mask_names(images)
    tasks = [_Task(i, folder / f) for i, f in zip(images, files, strict=True)]
    with _writable(folder):
        try:
            results = parallel_map(
                _draw_file, tasks, workers, f'Drawing the masks of {ann_file}'
            )
        except ValueError as error:
            raise ValueError(f'{ann_file}: {error}') from error
    skipped = sum(degenerate for _, degenerate in results)
    if skipped:
        warnings.warn(
            f'{ann_file}: left out {skipped} polygons of fewer than 3 points, or '
            'annotations without any.',
            stacklevel=2,
        )
    records = [
        {
            'file_name': i.file_name,
            'height': i.height,
            'width': i.width,
            'mask': f,
            'bytes': size,
        }
        for i, f, (size, _) in zip(images, files, results, strict=True)
    ]
    content = {'key': folder.name, 'classes': list(classes), 'images': records}
    with _writable(folder), atomic_path(folder / 'manifest.json') as temporary:
        text = json.dumps({'sha256': _digest(content), 'content': content})
        temporary.write_text(text, encoding='utf-8')
    return Masks(folder, classes, records)


def _mask_names(images: Sequence[ImageOutlines]) -> list[str]:
    names = [str(PurePosixPath(i.file_name).with_suffix('.png')) for i in images]
    # a.jpg beside a.png; a.jpg beside A.jpg on a file system that sees no difference.
    if len({name.lower() for name in names}) < len(names):
        ids = [image.id for image in images]
        # ids that are texts may be no names of files
        numbers = ids if all(isinstance(i, int) for i in ids) else range(len(ids))
        names = [f'{number}.png' for number in numbers]
    return names


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f'Cannot write the masks to {folder} ({error}). Name a folder that can be '
            'written, with enough space, by cache_dir= or the environment variable '
            '$MMSSP_CACHE.'
        ) from error

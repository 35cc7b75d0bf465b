"""A folder's results in other tools' formats, made of the records that it holds."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from ...utils.files import check_folder_writable
from ..export.formats import FORMATS, WITH_IMAGES
from ..export.labelled_image import ExportSettings, LabelledImage
from .inputs import EXPORTS, ImageReader, InputItem
from .writers import whole_file

FRAMES = 'frames'
"""Below :data:`EXPORTS`: frames of videos, which formats name as images."""


def check_exports(output: Path, formats: Sequence[str]) -> None:
    """Fail before the run where exports could not be written after it.

    Raises:
        OSError: The message says what and why.
    """
    for name in formats:
        place = output / EXPORTS / name
        while not place.exists() and place != output:
            place = place.parent  # made when there is something to write
        check_folder_writable(place)


def write_exports(
    found: Sequence[tuple[InputItem, dict[str, Any]]],
    output: Path,
    names: Sequence[str],
    formats: Sequence[str],
    settings: ExportSettings,
) -> None:
    """Write all images in each format, into ``output/exports/FORMAT``.

    Args:
        found: Images with their records.
        output: Folder of all outputs.
        names: Of the classes.
        formats: Keys of :data:`mmssp.apis.export.formats.FORMATS`.
        settings: Of outlines and objects.

    Raises:
        OSError: Something cannot be written.
    """
    frames = output / EXPORTS / FRAMES
    if WITH_IMAGES.intersection(formats):
        _write_frames((item for item, _ in found), frames)
    for name in formats:
        images = (labelled(item, record, names, frames) for item, record in found)
        folder = output / EXPORTS / name
        try:
            FORMATS[name](images, names, folder, settings)
        except OSError as error:
            raise OSError(
                f'{folder} cannot be written ({error.strerror or error}). The masks are '
                'whole; make room there, and the same command goes on from them.'
            ) from error


def labelled(
    item: InputItem, record: dict[str, Any], names: Sequence[str], frames: Path
) -> LabelledImage:
    """An image as its record has it.

    Args:
        item: The image.
        record: Of it.
        names: Of the classes.
        frames: Where frames of videos lie as images.
    """
    labels = np.zeros((record['height'], record['width']), np.uint8)
    for annotation in record['annotations']:
        region = coco_mask.decode(annotation['segmentation'])
        labels[region > 0] = annotation['category_id']
    scores = {own['name']: float(own['score']) for own in record['classes']}
    name, source = item.name, item.source
    if item.frame is not None:
        name, source = f'{item.stem}.jpg', frames / f'{item.stem}.jpg'
    return LabelledImage(name, item.stem, tuple(names), labels, scores, source)


def _write_frames(items: Iterable[InputItem], folder: Path) -> None:
    with ImageReader() as reader:
        for item in _missing(items, folder):
            with whole_file(folder / f'{item.stem}.jpg') as path:
                Image.fromarray(reader.read(item)).save(path, quality=95)


def _missing(items: Iterable[InputItem], folder: Path) -> Iterator[InputItem]:
    for item in items:
        if item.frame is None:
            continue
        path = folder / f'{item.stem}.jpg'
        made = path.stat().st_mtime_ns if path.is_file() else 0
        if made < item.source.stat().st_mtime_ns:
            yield item

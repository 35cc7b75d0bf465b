"""The formats by name: ``coco``, ``yolo``, ``labelme``, …, the same everywhere."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ...arguments.format_names import format_names
from . import (
    coco_export,
    cvat_export,
    labelme_export,
    labelstudio_export,
    masks_export,
    voc_export,
    yolo_export,
)
from .labelled_image import ExportSettings, LabelledImage

__all__ = ['FORMATS', 'WITH_IMAGES', 'Writer', 'format_names']

Writer = Callable[[Iterable[LabelledImage], Sequence[str], Path, ExportSettings], None]
FORMATS: dict[str, Writer] = {
    'coco': coco_export.write,
    'yolo': yolo_export.write,
    'labelme': labelme_export.write,
    'labelstudio': labelstudio_export.write,
    'cvat': cvat_export.write,
    'voc': voc_export.write,
    'masks': masks_export.write,
}
"""What writes the images of a folder: (images, classes, folder, settings)."""
WITH_IMAGES = {'coco', 'yolo', 'labelme', 'labelstudio', 'cvat', 'voc'}
"""Formats that name images by their files, so that frames of videos need some."""

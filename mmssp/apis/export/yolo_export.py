"""YOLO segmentation as Ultralytics documents it: a data set that its tools train on.

``data.yaml``, ``images/train`` (copies) and ``labels/train``: a line for each object, the
class from 0 on and an outline in shares of the width and the height. A line has one
outline: parts and holes are joined to it by bridges of no width.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml

from .export_files import copy_image, file_path, write_text
from .labelled_image import ExportSettings, LabelledImage, LabelledObject
from .outlines import joined, one_ring

DIGITS = 6


def write(
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    folder: Path,
    settings: ExportSettings,
) -> None:
    """Write the data set; of an image without objects the file of labels is empty."""
    for image in images:
        path = file_path(folder / 'labels' / 'train', image.stem, '.txt')
        write_text(path, ''.join(f'{line}\n' for line in lines(image, settings)))
        if image.source is not None:
            suffix = image.source.suffix
            target = file_path(folder / 'images' / 'train', image.stem, suffix)
            copy_image(image.source, target)
    names = dict(enumerate(classes))
    text = yaml.safe_dump(
        dict(train='images/train', val='images/train', names=names),
        allow_unicode=True,
        sort_keys=False,
    )
    write_text(folder / 'data.yaml', text)


def lines(image: LabelledImage, settings: ExportSettings) -> list[str]:
    """The lines of one image."""
    size = np.array([image.width, image.height], float)
    return [
        ' '.join(
            [str(found.label - 1), *_numbers(np.clip(outline(found) / size, 0, 1))]
        )
        for found in image.objects(settings)
    ]


def outline(found: LabelledObject) -> np.ndarray:
    """An object as one outline (N,2), pixels."""
    return joined([one_ring(polygon) for polygon in found.polygons])


def _numbers(points: np.ndarray) -> list[str]:
    return [f'{value:.{DIGITS}f}'.rstrip('0').rstrip('.') for value in points.ravel()]

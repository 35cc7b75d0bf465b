"""LabelMe: a JSON for each image, with the image's path relative to it.

A part without holes is a ``polygon``, one with holes a ``mask``, since LabelMe's polygons
have none. Parts of one object share a ``group_id``.
"""

import base64
import io
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...utils.json_files import read_json
from ..annotations.shapes import Polygon
from .export_files import file_path, write_json
from .labelled_image import ExportSettings, LabelledImage, rounded
from .outlines import drawn

VERSION = '5.5.0+mmssp'
"""LabelMe writes its own when a person saves, by which corrected files are known."""


def write(
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    folder: Path,
    settings: ExportSettings,
) -> None:
    """Write ``folder/STEM.json`` for each image; files saved by a person stay."""
    kept = 0
    for image in images:
        path = file_path(folder, image.stem, '.json')
        if saved_by_others(path):
            kept += 1
            continue
        found = content(image, settings, image_path=relative_path(image, path))
        write_json(path, found, readable=True)
    if kept:
        print(
            f'{folder}: {kept} file(s) that were saved by another program since stay as '
            'they are; remove them to have them written anew',
            file=sys.stderr,
        )


def content(
    image: LabelledImage,
    settings: ExportSettings,
    *,
    image_path: str,
    pixels: np.ndarray | None = None,
) -> dict[str, Any]:
    """What a LabelMe file holds.

    Args:
        image: With its labels.
        settings: Of the objects.
        image_path: Relative to the folder of the JSON, forward slashes.
        pixels: (H,W,3) uint8 RGB, to be kept in the file; None to leave it to the path.

    Returns:
        Plain JSON.
    """
    shapes = []
    for number, found in enumerate(image.objects(settings), start=1):
        for polygon in found.polygons:
            shapes.append(
                dict(
                    label=found.name,
                    **_shape(polygon),
                    group_id=number,
                    description='',
                    flags={},
                )
            )
    return dict(
        version=VERSION,
        flags={},
        shapes=shapes,
        imagePath=image_path,
        imageData=None if pixels is None else _base64_png(pixels),
        imageHeight=image.height,
        imageWidth=image.width,
    )


def relative_path(image: LabelledImage, path: Path) -> str:
    """An image's path from the folder of a JSON, with forward slashes.

    Whole, where there is no way from the one to the other, as between Windows' drives;
    the name, where there is no file.
    """
    if image.source is None:
        return image.name
    source = Path(os.path.abspath(image.source))
    try:
        return Path(os.path.relpath(source, os.path.abspath(path.parent))).as_posix()
    except ValueError:
        return source.as_posix()


def saved_by_others(path: Path) -> bool:
    """Whether a LabelMe file is there that another program has written."""
    if not path.is_file():
        return False
    try:
        found = read_json(path, 'expected a LabelMe file')
    except ValueError:  # not one that could be gone on with
        return False
    return isinstance(found, dict) and found.get('version') != VERSION


def _shape(polygon: Polygon) -> dict[str, Any]:
    if not polygon.holes:
        return dict(shape_type='polygon', points=rounded(polygon.points), mask=None)
    left, top, inside = drawn(polygon)
    height, width = inside.shape
    return dict(
        shape_type='mask',
        # both are of pixels that belong to it
        points=[[left, top], [left + width - 1, top + height - 1]],
        mask=_base64_png(inside.astype(np.uint8) * 255),
    )


def _base64_png(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, 'PNG')
    return base64.b64encode(stream.getvalue()).decode('ascii')

"""COCO: one JSON of images, categories and annotations (cocodataset.org/#format-data).

An object of outlines without holes is a list of polygons; one with a hole, which COCO's
polygons cannot have, is compressed RLE, as ``pycocotools`` writes and reads it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .export_files import write_json
from .labelled_image import ExportSettings, LabelledImage, LabelledObject, rounded

FILE = 'annotations.json'


def write(
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    folder: Path,
    settings: ExportSettings,
) -> None:
    """Write all images into ``folder/annotations.json``."""
    write_json(folder / FILE, content(images, classes, settings))


def content(
    images: Iterable[LabelledImage], classes: Sequence[str], settings: ExportSettings
) -> dict[str, Any]:
    """What a COCO file holds.

    Args:
        images: In order; ids count from 1.
        classes: Likewise.
        settings: Of the objects.

    Returns:
        Plain JSON: ``info``, ``licenses``, ``images``, ``annotations``, ``categories``.
    """
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in images:
        number = len(listed) + 1
        listed.append(
            dict(
                id=number,
                file_name=image.name,
                width=image.width,
                height=image.height,
            )
        )
        for found in image.objects(settings):
            annotations.append(
                dict(
                    annotation(found),
                    id=len(annotations) + 1,
                    image_id=number,
                )
            )
    return dict(
        info=dict(description='Segmented by mmssp'),
        licenses=[],
        images=listed,
        annotations=annotations,
        categories=[
            dict(id=i, name=name, supercategory='')
            for i, name in enumerate(classes, start=1)
        ],
    )


def annotation(found: LabelledObject) -> dict[str, Any]:
    """An object as COCO's annotation, without ids of its own or of the image."""
    left, top, right, bottom = found.box
    segmentation: Any
    if any(polygon.holes for polygon in found.polygons):
        rle = coco_mask.encode(np.asfortranarray(found.region, np.uint8))
        height, width = found.region.shape
        segmentation = dict(size=[height, width], counts=rle['counts'].decode())
    else:
        segmentation = [
            [value for point in rounded(polygon.points) for value in point]
            for polygon in found.polygons
        ]
    return dict(
        category_id=found.label,
        segmentation=segmentation,
        area=found.area,
        bbox=[left, top, right - left, bottom - top],
        iscrowd=0,
        score=round(found.score, 6),
    )

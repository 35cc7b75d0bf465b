"""Label Studio: tasks with predictions, and the labelling configuration they need.

Coordinates are percents. Its polygons have no holes, so a hole is joined to the outline by
a bridge of no width.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np

from ...datasets.coco.coco_masks import label_palette
from .export_files import plain_text, write_json, write_xml
from .labelled_image import ExportSettings, LabelledImage
from .outlines import one_ring

FROM, TO = 'label', 'image'
"""Names of the tags of the configuration."""
LOCAL = '/data/local-files/?d='
"""How Label Studio names a file below its LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""


def write(
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    folder: Path,
    settings: ExportSettings,
) -> None:
    """Write ``folder/tasks.json`` and ``folder/label_config.xml``."""
    write_json(folder / 'tasks.json', [task(image, settings) for image in images])
    write_xml(folder / 'label_config.xml', configuration(classes), declaration=False)


def task(image: LabelledImage, settings: ExportSettings) -> dict[str, Any]:
    """An image as a task with one prediction."""
    size = np.array([image.width, image.height], float)
    regions: list[dict[str, Any]] = []
    for found in image.objects(settings):
        for polygon in found.polygons:
            percents = np.round(one_ring(polygon) / size * 100, 4)
            regions.append(
                dict(
                    id=f'{len(regions) + 1}',
                    type='polygonlabels',
                    from_name=FROM,
                    to_name=TO,
                    original_width=image.width,
                    original_height=image.height,
                    image_rotation=0,
                    score=round(found.score, 6),
                    value=dict(
                        points=percents.tolist(),
                        polygonlabels=[found.name],
                        closed=True,
                    ),
                )
            )
    prediction = dict(
        model_version='mmssp',
        score=round(max(image.scores.values(), default=0.0), 6),
        result=regions,
    )
    return dict(data=dict(image=address(image)), predictions=[prediction])


def address(image: LabelledImage) -> str:
    """Where Label Studio finds an image: below the folder that holds its folder."""
    path = image.name
    depth = len(Path(image.name).parts)
    if image.source is not None:
        # the last parts of the file's path, one more than the name has
        path = '/'.join(image.source.resolve().parts[-depth - 1 :]).lstrip('/')
    return LOCAL + quote(path, errors='surrogateescape')


def configuration(classes: Sequence[str]) -> ElementTree.Element:
    """The labelling configuration: an image, and polygons of the classes."""
    root = ElementTree.Element('View')
    ElementTree.SubElement(root, 'Image', name=TO, value='$image', zoom='true')
    labels = ElementTree.SubElement(root, 'PolygonLabels', name=FROM, toName=TO)
    colours = label_palette(len(classes) + 1)[1:]
    for name, (red, green, blue) in zip(classes, colours, strict=True):
        ElementTree.SubElement(
            labels,
            'Label',
            value=plain_text(name),
            background=f'#{red:02x}{green:02x}{blue:02x}',
        )
    return root

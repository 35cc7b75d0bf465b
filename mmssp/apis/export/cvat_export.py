"""CVAT for images 1.1: one XML, polygons, and masks for parts with holes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...datasets.coco.coco_masks import label_palette
from ..annotations.shapes import Polygon
from .export_files import plain_text, write_xml
from .labelled_image import DIGITS, ExportSettings, LabelledImage
from .outlines import drawn

FILE = 'annotations.xml'


def write(
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    folder: Path,
    settings: ExportSettings,
) -> None:
    """Write all images into ``folder/annotations.xml``."""
    write_xml(folder / FILE, content(images, classes, settings))


def content(
    images: Iterable[LabelledImage], classes: Sequence[str], settings: ExportSettings
) -> ElementTree.Element:
    """The XML's root."""
    root = ElementTree.Element('annotations')
    ElementTree.SubElement(root, 'version').text = '1.1'
    meta = ElementTree.SubElement(root, 'meta')
    task = ElementTree.SubElement(meta, 'task')
    labels = ElementTree.SubElement(task, 'labels')
    colours = label_palette(len(classes) + 1)[1:]
    for name, (red, green, blue) in zip(classes, colours, strict=True):
        label = ElementTree.SubElement(labels, 'label')
        ElementTree.SubElement(label, 'name').text = plain_text(name)
        colour = f'#{red:02x}{green:02x}{blue:02x}'
        ElementTree.SubElement(label, 'color').text = colour
        ElementTree.SubElement(label, 'type').text = 'any'
        ElementTree.SubElement(label, 'attributes')
    for number, image in enumerate(images):
        shown = ElementTree.SubElement(
            root,
            'image',
            id=str(number),
            name=plain_text(image.name),
            width=str(image.width),
            height=str(image.height),
        )
        for group, found in enumerate(image.objects(settings), start=1):
            # parts of one object belong together
            several = len(found.polygons) > 1
            common = dict(label=plain_text(found.name), source='auto', occluded='0')
            more = dict(z_order='0', **(dict(group_id=str(group)) if several else {}))
            for polygon in found.polygons:
                kind, own = _shape(polygon)
                ElementTree.SubElement(shown, kind, {**common, **own, **more})
    return root


def row_runs(mask: np.ndarray) -> list[int]:
    """Lengths of runs along the rows, those of the background first.

    Args:
        mask: (h,w) bool.
    """
    flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(n) for n in np.diff(ends, prepend=0)]


def _shape(polygon: Polygon) -> tuple[str, dict[str, str]]:
    if not polygon.holes:
        points = ';'.join(f'{x:.{DIGITS}f},{y:.{DIGITS}f}' for x, y in polygon.points)
        return 'polygon', dict(points=points)
    left, top, inside = drawn(polygon)
    return 'mask', dict(
        rle=', '.join(map(str, row_runs(inside))),
        left=str(left),
        top=str(top),
        width=str(inside.shape[1]),
        height=str(inside.shape[0]),
    )

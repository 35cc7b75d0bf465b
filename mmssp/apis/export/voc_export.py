"""Pascal VOC's devkit layout: class and object masks, boxes, and the list of images.

Its PNGs have a palette, as VOC's have: read them by Pillow, or take the format ``masks``
for OpenCV.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from .export_files import copy_image, file_path, plain_text, write_png, write_text
from .export_files import write_xml as write_tree
from .labelled_image import ExportSettings, LabelledImage, LabelledObject

MOST = 254
"""Objects of an image that 8 bits can tell apart, 255 being the border's value."""


def write(
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    folder: Path,
    settings: ExportSettings,
) -> None:
    """Write ``JPEGImages``, ``SegmentationClass``, ``SegmentationObject``, ``Annotations``,
    ``ImageSets/Segmentation/default.txt`` and ``labelmap.txt``."""
    stems = []
    for image in images:
        objects = list(image.objects(settings))
        kept = image.kept_labels(settings)
        write_png(
            file_path(folder / 'SegmentationClass', image.stem, '.png'), indexed(kept)
        )
        write_png(
            file_path(folder / 'SegmentationObject', image.stem, '.png'),
            indexed(object_numbers(objects, kept.shape)),
        )
        write_tree(
            file_path(folder / 'Annotations', image.stem, '.xml'),
            boxes(image, objects),
        )
        if image.source is not None:
            suffix = image.source.suffix
            copy_image(
                image.source, file_path(folder / 'JPEGImages', image.stem, suffix)
            )
        stems.append(image.stem)
    write_text(
        folder / 'ImageSets' / 'Segmentation' / 'default.txt',
        ''.join(f'{stem}\n' for stem in stems),
    )
    write_text(folder / 'labelmap.txt', label_map(classes))


def indexed(values: np.ndarray) -> Image.Image:
    """A mask (H,W) as a picture with colours, or of 16 bits where 8 are too few."""
    if values.dtype != np.uint8:
        return Image.fromarray(values)
    picture = Image.fromarray(values)
    picture.putpalette([value for i in range(256) for value in colour(i)])
    return picture


def colour(index: int) -> tuple[int, int, int]:
    """VOC's colour of a class or an object, as its devkit's ``VOClabelcolormap`` has it:
    the bits of the index, three at a time, are the highest ones of red, green and blue."""
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            bit = index >> (3 * place + channel) & 1
            channels[channel] |= bit << (7 - place)
    return channels[0], channels[1], channels[2]


def object_numbers(
    objects: Sequence[LabelledObject], shape: tuple[int, ...]
) -> np.ndarray:
    """(H,W) uint8, uint16 for more than :data:`MOST` objects: i the i'th one."""
    kind = np.uint8 if len(objects) <= MOST else np.uint16
    numbers = np.zeros(shape, kind)
    for i, found in enumerate(objects, start=1):
        left, top, right, bottom = found.box
        numbers[top:bottom, left:right][found.part.inside] = i
    return numbers


def boxes(
    image: LabelledImage, objects: Sequence[LabelledObject]
) -> ElementTree.Element:
    """VOC's annotation; columns and rows count from 1, the last ones included."""
    root = ElementTree.Element('annotation')
    folder, _, name = image.name.rpartition('/')
    ElementTree.SubElement(root, 'folder').text = plain_text(folder)
    ElementTree.SubElement(root, 'filename').text = plain_text(name)
    size = ElementTree.SubElement(root, 'size')
    for key, value in dict(width=image.width, height=image.height, depth=3).items():
        ElementTree.SubElement(size, key).text = str(value)
    ElementTree.SubElement(root, 'segmented').text = str(int(bool(objects)))
    for found in objects:
        shown = ElementTree.SubElement(root, 'object')
        ElementTree.SubElement(shown, 'name').text = plain_text(found.name)
        ElementTree.SubElement(shown, 'pose').text = 'Unspecified'
        ElementTree.SubElement(shown, 'truncated').text = '0'
        ElementTree.SubElement(shown, 'difficult').text = '0'
        box = ElementTree.SubElement(shown, 'bndbox')
        left, top, right, bottom = found.box
        for key, value in dict(
            xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom
        ).items():
            ElementTree.SubElement(box, key).text = str(value)
    return root


def label_map(classes: Sequence[str]) -> str:
    """Names and colours, background first, as CVAT and datumaro read them.

    A colon in a name, which divides the fields, becomes an underscore.
    """
    names = ['background', *(name.replace(':', '_') for name in classes)]
    rows = [
        f'{" ".join(name.splitlines())}:{",".join(map(str, colour(i)))}::'
        for i, name in enumerate(names)
    ]
    return '\n'.join(['# label:color_rgb:parts:actions', *rows, ''])

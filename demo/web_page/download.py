"""The results as one zip: masks, overlays, COCO annotations and a table."""

import csv
import io
import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmssp.apis.result import Result
from mmssp.datasets.coco.coco_masks import label_palette
from mmssp.utils.files import atomic_path

README = """\
masks/        one PNG an image: 0 background, 1, 2, ... the classes of coco.json
overlays/     the same drawn over the images
coco.json     images, categories and annotations (compressed RLE) in COCO's format
scores.csv    presence score, whether present, and pixels of each class in each image
"""


def write_zip(path: Path, names: Sequence[str], results: Sequence[Result]) -> Path:
    """Write all results into a zip, whole or not at all.

    Args:
        path: Of the zip.
        names: Of the images' files.
        results: One for each, of the same classes.

    Returns:
        ``path``.

    Raises:
        ValueError: There are no results.
        OSError: It cannot be written.
    """
    if not results:
        raise ValueError('No results yet: segment query images first.')
    stems = unique_stems(names)
    with (
        atomic_path(path) as temporary,
        # the pictures are compressed already
        zipfile.ZipFile(temporary, 'w', zipfile.ZIP_STORED) as archive,
    ):
        for stem, result in zip(stems, results, strict=True):
            archive.writestr(f'masks/{stem}.png', _mask_png(result))
            archive.writestr(
                f'overlays/{stem}.png', _png(Image.fromarray(result.draw()))
            )
        archive.writestr('coco.json', json.dumps(coco(names, results), indent=1))
        archive.writestr('scores.csv', _table(names, results))
        archive.writestr('README.txt', README)
    return path


def coco(names: Sequence[str], results: Sequence[Result]) -> dict:
    """Images, categories and annotations as COCO's format has them.

    Args:
        names: Of the images' files.
        results: One for each, of the same classes.
    """
    images, annotations = [], []
    for image_id, (name, result) in enumerate(
        zip(names, results, strict=True), start=1
    ):
        height, width = result.mask.shape
        images.append(dict(id=image_id, file_name=name, height=height, width=width))
        for annotation in result.to_coco(image_id):
            annotations.append(dict(annotation, id=len(annotations) + 1))
    categories = [
        dict(id=i, name=name) for i, name in enumerate(results[0].names, start=1)
    ]
    return dict(images=images, categories=categories, annotations=annotations)


def unique_stems(names: Sequence[str]) -> list[str]:
    """File names without suffix that are safe in a zip and differ from each other."""
    stems: list[str] = []
    for name in names:
        plain = re.sub(r'[^\w.-]+', '_', Path(name).stem).lstrip('.') or 'image'
        stem, number = plain, 1
        # some file systems know no difference between a and A
        while stem.lower() in (other.lower() for other in stems):
            number += 1
            stem = f'{plain}_{number}'
        stems.append(stem)
    return stems


def _mask_png(result: Result) -> bytes:
    image = Image.fromarray(result.mask)
    palette = np.asarray(label_palette(len(result.names) + 1), np.uint8)
    image.putpalette(palette.tobytes())
    return _png(image)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, 'PNG')
    return stream.getvalue()


def _table(names: Sequence[str], results: Sequence[Result]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(['image', 'class', 'presence_score', 'present', 'pixels'])
    for name, result in zip(names, results, strict=True):
        for label in result.names:
            score = f'{result.scores[label]:.4f}'
            present = int(result.present[label])
            writer.writerow([name, label, score, present, result.areas[label]])
    return stream.getvalue()

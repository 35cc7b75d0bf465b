"""The results as one zip: masks, overlays, COCO annotations, a table, other formats."""

import csv
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from mmssp.apis.export.formats import FORMATS, format_names
from mmssp.apis.export.labelled_image import ExportSettings
from mmssp.apis.export.masks_export import grey
from mmssp.apis.export.result_export import labelled
from mmssp.apis.result import Result
from mmssp.utils.files import atomic_path

README = """\
masks/        one PNG an image: 0 background, 1, 2, ... the classes of coco.json
overlays/     the same drawn over the images
coco.json     images, categories and annotations (compressed RLE) in COCO's format
scores.csv    presence score, whether present, and pixels of each class in each image
"""
FORMATS_README = """\
images/       the images, as the files in exports name them
exports/      a folder for each of the formats that were asked for
"""


def write_zip(
    path: Path,
    names: Sequence[str],
    results: Sequence[Result],
    formats: Sequence[str] = (),
) -> Path:
    """Write all results into a zip, whole or not at all.

    Args:
        path: Of the zip.
        names: Of the images' files.
        results: One for each, of the same classes.
        formats: Names of other tools' formats, as the command line has them.

    Returns:
        ``path``.

    Raises:
        ValueError: There are no results, or there is no such format.
        OSError: It cannot be written.
    """
    if not results:
        raise ValueError('No results yet: segment query images first.')
    formats = format_names(formats) if formats else ()
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
        if formats:
            _add_exports(archive, stems, results, formats)
        archive.writestr('README.txt', README + (FORMATS_README if formats else ''))
    return path


def _add_exports(
    archive: zipfile.ZipFile,
    stems: Sequence[str],
    results: Sequence[Result],
    formats: Sequence[str],
) -> None:
    """Add the images, and what each format makes of the results."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / 'images').mkdir()
        images = []
        for stem, result in zip(stems, results, strict=True):
            source = root / 'images' / f'{stem}.png'
            Image.fromarray(result.image).save(source)
            images.append(
                replace(labelled(result), name=source.name, stem=stem, source=source)
            )
        for name in formats:
            FORMATS[name](
                images, results[0].names, root / 'exports' / name, ExportSettings()
            )
        for path in sorted(root.rglob('*')):
            if path.is_file():
                archive.write(path, path.relative_to(root).as_posix())


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
    return _png(grey(result.mask))


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

"""The files a prediction leaves: per image, and for all images together."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ...utils.files import atomic_path
from ...visualization.overlay import fit_size, resize_image
from ..export.masks_export import grey
from .inputs import OUTPUT_SUFFIXES, InputItem

CSV_COLUMNS = ('file', 'class', 'area', 'share', 'presence_score', 'present')


MASKS = 'grey'
"""What masks are, as records say it: beside those of a palette, as they were once, others
would be a mixture that OpenCV reads differently."""


class ResultLike(Protocol):
    """What is used of a result of the inferencer."""

    mask: np.ndarray
    names: tuple[str, ...]
    scores: dict[str, float]
    present: dict[str, bool]
    areas: dict[str, int]
    doubt: float

    def draw(self) -> np.ndarray: ...

    def to_coco(self, image_id: int = 0, file_name: str | None = None) -> list[Any]: ...


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """As :func:`atomic_path`, with a sentence where nothing can be written.

    Raises:
        OSError: No permission, no space left, and the like.
    """
    try:
        with atomic_path(path) as temporary:
            yield temporary
    except OSError as error:
        raise OSError(
            f'{path} cannot be written ({error.strerror or error}). Choose another '
            'output folder, or make room there; what is finished stays, and the same '
            'command goes on from it.'
        ) from error


def output_path(output: Path, kind: str, item: InputItem) -> Path:
    """Where an item's file of a kind (a key of :data:`OUTPUT_SUFFIXES`) belongs."""
    return output / kind / f'{item.stem}{OUTPUT_SUFFIXES[kind]}'


def write_result(
    result: ResultLike,
    item: InputItem,
    output: Path,
    *,
    digest: str,
    overlay_side: int = 4096,
    thumb_side: int = 320,
    quality: int = 90,
) -> None:
    """Write an image's mask, overlay, thumbnail and, as the last, its record.

    Args:
        result: What the model found.
        item: In which image.
        output: Folder of all outputs.
        digest: Of the settings, noted in the record.
        overlay_side: Overlays are shrunk to fit into a square of that side, in pixels.
        thumb_side: The same for thumbnails.
        quality: Of JPEG files, 1 to 95.

    Raises:
        OSError: They cannot be written.
    """
    with whole_file(output_path(output, 'masks', item)) as path:
        grey(result.mask).save(path)
    picture = result.draw()
    for kind, side in (('overlays', overlay_side), ('thumbs', thumb_side)):
        if max(picture.shape[:2]) > side:
            picture = resize_image(picture, fit_size(picture.shape, side, side))
        with whole_file(output_path(output, kind, item)) as path:
            Image.fromarray(picture).save(path, quality=quality)
    height, width = result.mask.shape
    record = dict(
        file=item.name,
        settings=digest,
        masks=MASKS,
        source=source_state(item),
        height=height,
        width=width,
        doubt=round(float(result.doubt), 6),
        classes=[
            {
                'name': name,
                'area': int(result.areas[name]),
                'score': round(float(result.scores[name]), 6),
                'present': bool(result.present[name]),
            }
            for name in result.names
        ],
        annotations=result.to_coco(image_id=0, file_name=item.name),
    )
    write_json(output_path(output, 'records', item), record)


def source_state(item: InputItem) -> list[int]:
    """Size in bytes and time of change (ns) by which another file shows itself."""
    state = item.source.stat()
    return [state.st_size, state.st_mtime_ns]


def read_record(item: InputItem, output: Path, digest: str) -> dict[str, Any] | None:
    """The record of an image that is finished.

    Args:
        item: The image.
        output: Folder of all outputs.
        digest: Of the settings it must be made with.

    Returns:
        None where there is no record, or one of other settings, of another image,
        damaged, or beside which a file is missing: the image has to be predicted again.
    """
    try:
        path = output_path(output, 'records', item)
        record = json.loads(path.read_text(encoding='utf-8'))
        made = [record[key] for key in ('settings', 'masks', 'file', 'source')]
        fits = made == [digest, MASKS, item.name, source_state(item)] and _is_record(
            record
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    files = all(output_path(output, kind, item).is_file() for kind in OUTPUT_SUFFIXES)
    return record if fits and files else None


def _is_record(record: dict[str, Any]) -> bool:
    """Whether all is there that the files about all images are made of."""
    sides = (record['height'], record['width'])
    return (
        all(type(side) is int and 0 < side < 2**31 for side in sides)
        and type(record['doubt']) in (int, float)
        and 0 <= record['doubt'] <= 1
        and isinstance(record['annotations'], list)
        and all(isinstance(a, dict) for a in record['annotations'])
        and isinstance(record['classes'], list)
        and all(
            isinstance(c['name'], str)
            and type(c['area']) is int
            and 0 <= c['area'] <= sides[0] * sides[1]
            and type(c['score']) in (int, float)
            and 0 <= c['score'] <= 1
            and type(c['present']) is bool
            for c in record['classes']
        )
    )


def write_json(path: Path, content: Any) -> None:
    """Write JSON, all at once; NumPy's numbers become plain ones."""
    with whole_file(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        json.dump(content, file, default=_plain)
        file.write('\n')


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, bytes):
        return value.decode('ascii')
    raise TypeError(f'{type(value).__name__} in a JSON file')


def write_coco(
    path: Path, records: Iterable[dict[str, Any]], names: Sequence[str]
) -> None:
    """All records as one COCO file; masks are compressed RLE.

    Args:
        path: The JSON file.
        records: In the order of the images; ids count from 1.
        names: Of the classes; ids count from 1.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, record in enumerate(records, start=1):
        images.append(
            dict(
                id=image_id,
                file_name=record['file'],
                width=record['width'],
                height=record['height'],
            )
        )
        for annotation in record['annotations']:
            number = len(annotations) + 1
            annotations.append(dict(annotation, id=number, image_id=image_id))
    categories = [dict(id=i, name=name) for i, name in enumerate(names, start=1)]
    write_json(
        path, dict(images=images, annotations=annotations, categories=categories)
    )


def write_csv(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """A line for each image and class: :data:`CSV_COLUMNS`.

    ``area`` is in pixels, ``share`` the part of the image, ``presence_score`` in [0,1],
    ``present`` 1 or 0.
    """
    with (
        whole_file(path) as temporary,
        # a file name need not be UTF-8; it is written as it is
        open(
            temporary, 'w', encoding='utf-8', errors='surrogateescape', newline=''
        ) as file,
    ):
        table = csv.writer(file, lineterminator='\n')
        table.writerow(CSV_COLUMNS)
        for record in records:
            pixels = record['height'] * record['width']
            for found in record['classes']:
                table.writerow(
                    [
                        record['file'],
                        found['name'],
                        found['area'],
                        f'{found["area"] / pixels:.6f}',
                        f'{found["score"]:.4f}',
                        int(found['present']),
                    ]
                )

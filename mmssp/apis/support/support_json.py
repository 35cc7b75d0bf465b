"""Support images that a JSON names: COCO's instances, or one LabelMe file."""

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ...datasets.coco.coco_json import category_names, load_json
from ...utils.files import found_path
from ...utils.json_files import read_json

NAME = 'object'


@dataclass(frozen=True)
class SupportClass:
    """One class's support: what ``FewShotInferencer.set_support`` takes.

    Attributes:
        name: Of the class.
        images: K files.
        annotations: For each image a mask or LabelMe file, or a list of COCO's
            annotations.
        class_value: Label in LabelMe files, or value in masks; None if there is one.
    """

    name: str
    images: tuple[Path, ...]
    annotations: tuple[Path | list[dict[str, Any]], ...]
    class_value: int | str | None = None


def by_label(
    name: str,
    pairs: tuple[tuple[Path, ...], tuple[Path, ...]],
    class_value: int | str | None,
) -> list[SupportClass]:
    """One class; or, where LabelMe files name what they mark, one for each label."""
    images, annotations = pairs
    if class_value is not None or any(a.suffix.lower() != '.json' for a in annotations):
        return [SupportClass(name, images, annotations, class_value)]
    labels: dict[str, list[tuple[Path, Path]]] = {}
    for image, annotation in zip(images, annotations, strict=True):
        for label in _labels(annotation):
            labels.setdefault(label, []).append((image, annotation))
    if not labels:
        raise ValueError(f'{annotations[0]}: nothing is marked in it.')
    return [
        SupportClass(
            label,
            tuple(image for image, _ in found),
            tuple(annotation for _, annotation in found),
            label,
        )
        for label, found in sorted(labels.items())
    ]


def _labels(path: Path) -> list[str]:
    content = read_json(path, 'expected a COCO or LabelMe file')
    shapes = content.get('shapes') if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        raise ValueError(f'{path} is no LabelMe file: it has no list named "shapes".')
    labels = {s.get('label') for s in shapes if isinstance(s, dict)}
    # numbers too, as some programs write them; it is by its text that a label is chosen
    return sorted({str(x) for x in labels if isinstance(x, str | int | float)})


def in_json(
    path: Path,
    class_value: int | str | None,
    allow_outside: bool,
    folders: Sequence[Path] = (),
) -> list[SupportClass]:
    """The classes of a JSON.

    Args:
        path: COCO instances, or a LabelMe file.
        class_value: As for ``find_support``.
        allow_outside: Likewise.
        folders: Where images may lie, first first; none for that of the JSON.

    Raises:
        FileNotFoundError: An image is in none of the folders.
        ValueError: Nothing is marked, or a path leads out of a folder.
    """
    folders = folders or [path.parent]
    content = read_json(path, 'expected a COCO or LabelMe file')
    if isinstance(content, dict) and 'shapes' in content:
        image = _image(path, content.get('imagePath'), folders, allow_outside)
        return by_label(NAME, ((image,), (path,)), class_value)
    content = load_json(path)
    names = category_names(content, path)
    images = {
        item['id']: item
        for item in content['images']
        if isinstance(item, dict) and type(item.get('id')) in (int, str)
    }
    marked: dict[int, dict[int | str, list[dict[str, Any]]]] = {
        number: {} for number in names
    }
    for item in content['annotations']:
        category = item.get('category_id') if isinstance(item, dict) else None
        owner: Any = item.get('image_id') if isinstance(item, dict) else None
        known = type(category) is int and type(owner) in (int, str)
        if not known or category not in names or owner not in images:
            raise ValueError(
                f'{path}: an annotation belongs to the image {owner!r} '
                f'({type(owner).__name__}) and the category {category!r} '
                f'({type(category).__name__}), which the JSON does not have both.'
            )
        if not item.get('iscrowd'):
            marked[category].setdefault(owner, []).append(_plain(item))
    classes = [
        SupportClass(
            names[number],
            tuple(
                _image(path, images[owner].get('file_name'), folders, allow_outside)
                for owner in owners
            ),
            tuple(owners.values()),
        )
        for number, owners in marked.items()
        if owners
    ]
    if not classes:
        raise ValueError(f'{path}: no category has an annotation.')
    return classes


def _plain(annotation: dict[str, Any]) -> dict[str, Any]:
    polygons = annotation.get('segmentation')
    if not isinstance(polygons, list):
        return annotation
    return dict(
        annotation,
        segmentation=[list(p) if isinstance(p, array) else p for p in polygons],
    )


def is_coco(path: Path) -> bool:
    """Whether a JSON file has what COCO's instances have."""
    content = read_json(path, 'expected a COCO or LabelMe file')
    return isinstance(content, dict) and {'images', 'annotations'} <= {*content}


def _image(path: Path, name: Any, folders: Sequence[Path], allow_outside: bool) -> Path:
    if not isinstance(name, str) or not name:
        raise ValueError(f'{path}: an image has the file name {name!r}.')
    # Both readings: a name made on Windows must not escape here, nor the reverse.
    readings = (PureWindowsPath(name), PurePosixPath(name))
    if not allow_outside and any(p.anchor or '..' in p.parts for p in readings):
        raise ValueError(_leads_out(path, name))
    for folder in folders:
        try:
            image = found_path(folder, name)
            exists = image.is_file()
            inside = image.resolve().is_relative_to(folder.resolve())
        except (OSError, ValueError, RuntimeError) as error:  # what no system can name
            raise ValueError(
                f'{path}: the image name {name[:80]!r} cannot be one ({error}).'
            ) from error
        if exists and not (inside or allow_outside):
            raise ValueError(_leads_out(path, name))
        if exists:
            return image
    searched = ', '.join(os.fspath(folder) for folder in folders)
    raise FileNotFoundError(
        f'{path}: its image {name} does not exist in {searched}. Name the folder of '
        'images (images_in=…, --support-images on the command line).'
    )


def _leads_out(path: Path, name: str) -> str:
    return (
        f'{path}: the image {name!r} is not inside the folder of images. Put it '
        'there, or allow it (allow_outside=True, --allow-outside on the command '
        'line) if you trust the file.'
    )

"""Support images and their annotations as they lie in folders and JSON files."""

import hashlib
import json
import os
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ...datasets.coco.coco_json import category_names, load_json
from ...utils.json_files import read_json
from ..folder.inputs import IMAGE_SUFFIXES

NAME = 'object'
MASK_SUFFIXES = ('.png', '.bmp', '.tif', '.tiff', '.webp')
MASK_MARK = '_mask'
LAYOUTS = (
    'images/*.jpg with masks/*.png of the same names; or NAME.jpg beside NAME_mask.png, '
    'NAME.png or a LabelMe file NAME.json; or a folder of these for each class'
)


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


def find_support(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    class_value: int | str | None = None,
    allow_outside: bool = False,
) -> list[SupportClass]:
    """Find labelled images.

    Args:
        path: A folder of :data:`LAYOUTS`; a COCO instance JSON, whose categories are the
            classes; or a LabelMe file. Images of a JSON lie relative to its folder.
        name: Of the class, if there is only one; by default :data:`NAME`, the folder's
            or what the JSON says.
        class_value: Which value of masks, or label of LabelMe files, is meant; by
            default each label of a LabelMe file is a class.
        allow_outside: Follow paths in a JSON, and links, that lead out of its folder.

    Returns:
        The classes, at least one, each with at least one image.

    Raises:
        FileNotFoundError: Nothing is there, or an image of a JSON is missing.
        ValueError: No labelled image, an image or a mask without the other, a path that
            leads out, or ``name`` for several classes.
    """
    path = Path(path)
    if path.is_dir():
        found = _in_folder(path, class_value)
    elif path.is_file() and path.suffix.lower() == '.json':
        found = _in_json(path, class_value, allow_outside)
    elif path.exists():
        raise ValueError(
            f'{path} is no support; expected a folder ({LAYOUTS}) or a COCO or LabelMe '
            'JSON.'
        )
    else:
        raise FileNotFoundError(
            f'There is no support {path}; expected a folder or JSON.'
        )
    if name is None:
        return found
    if len(found) > 1:
        raise ValueError(
            f'{path} has {len(found)} classes ({", ".join(c.name for c in found)}), '
            f'which one name, {name!r}, cannot be for. Leave the name out.'
        )
    return [replace(found[0], name=name)]


def support_digest(classes: Iterable[SupportClass], *settings: Any) -> str:
    """A fingerprint of files' contents and settings: equal support, equal digest."""
    digest = hashlib.sha256(repr(settings).encode())
    for own in classes:
        digest.update(repr((own.name, own.class_value, len(own.images))).encode())
        for image, annotation in zip(own.images, own.annotations, strict=True):
            for part in (image, annotation):
                content = (
                    part.read_bytes()
                    if isinstance(part, Path)
                    else json.dumps(part, sort_keys=True).encode()
                )
                digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def _in_folder(folder: Path, class_value: int | str | None) -> list[SupportClass]:
    if _has_images(folder) or (folder / 'images').is_dir():
        return _by_label(NAME, _pairs(folder), class_value)
    classes = [
        SupportClass(own.name, *_pairs(own), class_value)
        for own in sorted(folder.iterdir())
        if own.is_dir()
        and own.name[0] != '.'
        and (_has_images(own) or (own / 'images').is_dir())
    ]
    if not classes:
        raise ValueError(f'{folder} holds no labelled image; expected {LAYOUTS}.')
    return classes


def _pairs(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    apart = (folder / 'images').is_dir()
    images, masks = ({}, {})
    if apart:
        if not (folder / 'masks').is_dir():
            masks_in = folder / 'images'
        else:
            masks_in = folder / 'masks'
        files = _files(folder / 'images')
        others = _files(masks_in)
        images = _images(files, set())
        masks = {f.stem: f for f in others if f.suffix.lower() == '.json'}
        if masks_in != folder / 'images':
            masks.update(
                {f.stem: f for f in others if f.suffix.lower() in MASK_SUFFIXES}
            )
    else:
        files = _files(folder)
        masks = _side_by_side(files)
        images = _images(files, set(masks.values()))
    missing = sorted(set(images) - set(masks))
    if missing or not images:
        names = ', '.join(images[stem].name for stem in missing[:5]) or 'any image'
        raise ValueError(
            f'{folder}: no annotation found for {names}'
            f'{" and more" if len(missing) > 5 else ""}; expected {LAYOUTS}.'
        )
    spare = sorted(set(masks) - set(images))
    if spare:
        names = ', '.join(masks[stem].name for stem in spare[:5])
        raise ValueError(f'{folder}: no image found for {names}; expected {LAYOUTS}.')
    stems = sorted(images)
    return tuple(images[s] for s in stems), tuple(masks[s] for s in stems)


def _side_by_side(files: list[Path]) -> dict[str, Path]:
    """Stem of an image → its annotation in the same folder; the clearest one wins."""
    masks = {f.stem: f for f in files if f.suffix.lower() == '.json'}
    photos = {f.stem for f in files if f.suffix.lower() in IMAGE_SUFFIXES - {'.png'}}
    for file in files:
        if file.suffix.lower() == '.png' and file.stem in photos:
            masks.setdefault(file.stem, file)
    for file in files:
        stem = file.stem.removesuffix(MASK_MARK)
        if file.suffix.lower() in MASK_SUFFIXES and stem != file.stem:
            masks[stem] = file
    return masks


def _images(files: list[Path], masks: set[Path]) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for file in files:
        if file.suffix.lower() not in IMAGE_SUFFIXES or file in masks:
            continue
        if file.stem in images:
            raise ValueError(
                f'{images[file.stem]} and {file.name}: two images of one name; which '
                'of them the annotation belongs to is not clear. Rename one.'
            )
        images[file.stem] = file
    return images


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_file() and f.name[0] != '.')


def _has_images(folder: Path) -> bool:
    return any(f.suffix.lower() in IMAGE_SUFFIXES for f in _files(folder))


def _by_label(
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
    return sorted(label for label in labels if isinstance(label, str))


def _in_json(
    path: Path, class_value: int | str | None, allow_outside: bool
) -> list[SupportClass]:
    content = read_json(path, 'expected a COCO or LabelMe file')
    if isinstance(content, dict) and 'shapes' in content:
        image = _image(path, content.get('imagePath'), allow_outside)
        return _by_label(NAME, ((image,), (path,)), class_value)
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
                f'{path}: an annotation belongs to the image {owner!r} and the category '
                f'{category!r}, which the JSON does not have both.'
            )
        if not item.get('iscrowd'):
            marked[category].setdefault(owner, []).append(_plain(item))
    classes = [
        SupportClass(
            names[number],
            tuple(
                _image(path, images[owner].get('file_name'), allow_outside)
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


def _image(path: Path, name: Any, allow_outside: bool) -> Path:
    if not isinstance(name, str) or not name:
        raise ValueError(f'{path}: an image has the file name {name!r}.')
    # Both readings: a name made on Windows must not escape here, nor the reverse.
    readings = (PureWindowsPath(name), PurePosixPath(name))
    if not allow_outside and any(p.anchor or '..' in p.parts for p in readings):
        raise ValueError(_leads_out(path, name))
    image = path.parent / name
    try:
        exists = image.is_file()
        inside = image.resolve().is_relative_to(path.parent.resolve())
    except (OSError, ValueError, RuntimeError) as error:  # what no system can name
        raise ValueError(
            f'{path}: the image name {name[:80]!r} cannot be one ({error}).'
        ) from error
    if not exists:
        raise FileNotFoundError(f'{path}: its image {image} does not exist.')
    if not allow_outside and not inside:
        raise ValueError(_leads_out(path, name))
    return image


def _leads_out(path: Path, name: str) -> str:
    return (
        f'{path}: the image {name!r} is not inside the folder of the JSON. Put it '
        'there, or allow it (allow_outside=True, --allow-outside on the command '
        'line) if you trust the file.'
    )

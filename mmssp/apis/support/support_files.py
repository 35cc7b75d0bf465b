"""Support images and their annotations as they lie in folders and JSON files."""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...datasets.class_names import same_letters
from ...utils.image_formats import IMAGE_SUFFIXES
from .support_json import NAME, SupportClass, by_label, in_json, is_coco

__all__ = ['SupportClass', 'find_support', 'support_digests']
MASK_MARK = '_mask'
MASK_MARKS = (MASK_MARK, '-mask', '_label', '_seg', '_gt')
"""What a mask's name may have after its image's, in a folder of masks alone."""
LAYOUTS = (
    'images/*.jpg with masks/*.png of the same names (or NAME_mask.png, and any other '
    'image format); or NAME.jpg beside NAME_mask.png, NAME.png or a LabelMe file '
    'NAME.json; or a COCO JSON with its images; or a folder of these for each class'
)


def find_support(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    class_value: int | str | None = None,
    allow_outside: bool = False,
    images_in: str | os.PathLike[str] | None = None,
) -> list[SupportClass]:
    """Find labelled images.

    Args:
        path: A folder of :data:`LAYOUTS`; a COCO instance JSON, whose categories are the
            classes; or a LabelMe file. Images of a JSON lie relative to its folder; in a
            folder with a COCO JSON, there, in the folder, or in ``images`` in it.
        name: Of the class, if there is only one; by default :data:`NAME`, the folder's
            or what the JSON says.
        class_value: Which value of masks, or label of LabelMe files, is meant; by
            default each label of a LabelMe file is a class.
        allow_outside: Follow paths in a JSON, and links, that lead out of its folder.
        images_in: Instead of these, the folder that image names of a JSON start at.

    Returns:
        The classes, at least one, each with at least one image.

    Raises:
        FileNotFoundError: Nothing is there, or an image of a JSON is missing.
        ValueError: No labelled image, an image or a mask without the other, a path that
            leads out, or ``name`` for several classes.
    """
    path = Path(path)
    folders = [] if images_in is None else [Path(images_in)]
    if folders and not folders[0].is_dir():
        raise FileNotFoundError(
            f'{folders[0]} is no folder; expected that of the images'
        )
    if path.is_dir():
        found = _in_folder(path, class_value, allow_outside, folders)
    elif path.is_file() and path.suffix.lower() == '.json':
        found = in_json(path, class_value, allow_outside, folders)
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


def support_digests(classes: Iterable[SupportClass], *settings: Any) -> list[str]:
    """Fingerprints of labelled images: of what they are, not of where they lie.

    Args:
        classes: Of :func:`find_support`.
        *settings: What else each of them depends on.

    Returns:
        16 hexadecimal digits for each image, sorted: equal support, equal list; more
        images of the same, a longer list with these in it.
    """
    digests = []
    for own in classes:
        for pair in zip(own.images, own.annotations, strict=True):
            digest = hashlib.sha256(
                repr((settings, own.name, own.class_value)).encode()
            )
            for part in pair:
                content = (
                    part.read_bytes()
                    if isinstance(part, Path)
                    else json.dumps(part, sort_keys=True).encode()
                )
                digest.update(hashlib.sha256(content).digest())
            digests.append(digest.hexdigest()[:16])
    return sorted(digests)


def _in_folder(
    folder: Path,
    class_value: int | str | None,
    allow_outside: bool,
    images_in: list[Path],
) -> list[SupportClass]:
    json = _coco_file(folder)
    if json is not None:
        folders = images_in or [json.parent, folder, folder / 'images']
        return in_json(json, class_value, allow_outside, folders)
    if images_in:
        raise ValueError(
            f'{folder} holds no COCO JSON, whose images the folder {images_in[0]} could '
            'be of'
        )
    if _has_images(folder) or (folder / 'images').is_dir():
        return by_label(NAME, _pairs(folder), class_value)
    classes = [
        SupportClass(own.name, *_pairs(own), class_value)
        for own in sorted(folder.iterdir())
        if own.is_dir()
        and own.name[0] != '.'
        and (_has_images(own) or (own / 'images').is_dir())
    ]
    if not classes:
        raise ValueError(
            f'{folder} holds no labelled image, but {_contents(folder)}; expected '
            f'{LAYOUTS}.'
        )
    return classes


def _coco_file(folder: Path) -> Path | None:
    """The COCO JSON in a folder or its ``annotations``; None if there is none."""
    stems = {_stem(f) for f in _files(folder) if f.suffix.lower() in IMAGE_SUFFIXES}
    found = [
        file
        for place in (folder, folder / 'annotations')
        if place.is_dir()
        for file in _files(place)
        # one that is called like an image is LabelMe's
        if file.suffix.lower() == '.json' and _stem(file) not in stems and is_coco(file)
    ]
    if len(found) > 1:
        raise ValueError(
            f'{folder} holds {len(found)} COCO files, {found[0].name}, {found[1].name}'
            f'{" and more" if len(found) > 2 else ""}; name the one that is meant.'
        )
    return found[0] if found else None


def _contents(folder: Path) -> str:
    """What there is instead of labelled images, for people."""
    names = sorted(
        f'{own.name}/' if own.is_dir() else own.name
        for own in folder.iterdir()
        if own.name[0] != '.'
    )
    more = f' and {len(names) - 5} more' if len(names) > 5 else ''
    return (', '.join(names[:5]) or 'nothing') + more


def _pairs(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    if (folder / 'images').is_dir():
        files = _files(folder / 'images')
        if (folder / 'masks').is_dir():
            masks = _apart(_files(folder / 'masks'), {_stem(f) for f in files})
        else:
            masks = _side_by_side(files)
        images = _images(files, set(masks.values()))
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


def _apart(files: list[Path], stems: set[str]) -> dict[str, Path]:
    """Stem of an image → its annotation in a folder of annotations alone."""
    masks: dict[str, Path] = {}
    for file in files:
        if file.suffix.lower() not in IMAGE_SUFFIXES | {'.json'}:
            continue
        stem = _stem(file) if _stem(file) in stems else _unmarked(_stem(file))
        if stem in masks:
            raise ValueError(
                f'{masks[stem]} and {file.name}: two annotations of one image; which of '
                'them is meant is not clear. Remove one.'
            )
        masks[stem] = file
    return masks


def _stem(file: Path) -> str:
    """What a file and its annotation have in common, in one of Unicode's forms."""
    return same_letters(file.stem)


def _unmarked(stem: str) -> str:
    for mark in MASK_MARKS:
        if stem.endswith(mark):
            return stem[: -len(mark)]
    return stem


def _side_by_side(files: list[Path]) -> dict[str, Path]:
    """Stem of an image → its annotation in the same folder; the clearest one wins."""
    masks = {_stem(f): f for f in files if f.suffix.lower() == '.json'}
    photos = {_stem(f) for f in files if f.suffix.lower() in IMAGE_SUFFIXES - {'.png'}}
    for file in files:
        if file.suffix.lower() == '.png' and _stem(file) in photos:
            masks.setdefault(_stem(file), file)
    for file in files:
        stem = _stem(file).removesuffix(MASK_MARK)
        if file.suffix.lower() in IMAGE_SUFFIXES and stem != _stem(file):
            masks[stem] = file
    return masks


def _images(files: list[Path], masks: set[Path]) -> dict[str, Path]:
    images: dict[str, Path] = {}
    for file in files:
        if file.suffix.lower() not in IMAGE_SUFFIXES or file in masks:
            continue
        if _stem(file) in images:
            raise ValueError(
                f'{images[_stem(file)]} and {file.name}: two images of one name; which '
                'of them the annotation belongs to is not clear. Rename one.'
            )
        images[_stem(file)] = file
    return images


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_file() and f.name[0] != '.')


def _has_images(folder: Path) -> bool:
    return any(f.suffix.lower() in IMAGE_SUFFIXES for f in _files(folder))

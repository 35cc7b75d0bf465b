"""Reads a COCO instance JSON and checks it: images with their labelled outlines."""

import os
from array import array
from collections.abc import Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

from ...utils.files import any_system_path
from ...utils.image_io import MAX_PIXELS
from ...utils.json_files import read_json
from .coco_habits import made_one

BACKGROUND = 'background'
CROWD_LABEL = 255
MAX_CLASSES = 254  # labels 1..254; 0 is background, 255 is ignored

_WHOLE = (
    'an interrupted download is cut off like that; fetch the file again and compare its '
    'size'
)
_EXPECTED = (
    'Expected is a COCO instances_*.json (as instances_train2017.json), not the '
    'captions, person key points, panoptic or image_info file.'
)


class Outline(NamedTuple):
    """One annotation, ready to be drawn."""

    id: Any
    """The annotation's id in the JSON, for messages."""
    segmentation: list[Any] | dict[str, Any] | None
    """Polygons (each a flat x, y, x, y, … in pixels) or an RLE."""
    label: int
    """What its pixels become: 0..254, or 255 for a crowd region."""


class ImageOutlines(NamedTuple):
    """One image of the JSON with all its annotations, in file order."""

    id: int | str
    file_name: str
    height: int
    width: int
    outlines: list[Outline]


def check_exists(ann_file: str | os.PathLike[str]) -> None:
    """Raise FileNotFoundError with a way out if there is no such file."""
    if not os.path.isfile(ann_file):
        raise FileNotFoundError(
            f'There is no annotation file {ann_file}. Expected is a COCO '
            'instances_*.json; set data_root= and ann_file= so that they lead to it.'
        )


def load_json(ann_file: str | os.PathLike[str]) -> dict[str, Any]:
    """Parse the file; polygons become ``array('d')``, a quarter of the lists' memory.

    Args:
        ann_file: The JSON.

    Returns:
        Its top-level object.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not JSON (cut off, perhaps), or not an instance JSON.
    """
    check_exists(ann_file)
    content = read_json(ann_file, _WHOLE, object_hook=_pack_polygons)
    keys = ('images', 'annotations', 'categories')
    found = content if isinstance(content, dict) else {}
    missing = [key for key in keys if not isinstance(found.get(key), list)]
    if missing:
        raise ValueError(
            f'{ann_file} has no list named {" or ".join(missing)}; found '
            f'{sorted(found) or type(content).__name__}. {_EXPECTED}'
        )
    return made_one(content)


def _pack_polygons(item: dict[str, Any]) -> dict[str, Any]:
    polygons = item.get('segmentation')
    if isinstance(polygons, list):
        item['segmentation'] = [_pack(polygon) for polygon in polygons]
    return item


def _pack(polygon: Any) -> Any:
    try:
        return array('d', polygon)
    except (TypeError, OverflowError):
        return polygon  # no numbers: drawing it complains, and names the image


def category_names(
    content: dict[str, Any], ann_file: str | os.PathLike[str]
) -> dict[int, str]:
    """Category id → name, sorted by id.

    Raises:
        ValueError: No category at all, one without an id or a name, or one twice.
    """
    names: dict[int, str] = {}
    for category in content['categories']:
        number = _field(category, 'id', int, 'category', ann_file)
        name = _field(category, 'name', str, f'category {number}', ann_file)
        if number in names or name in names.values():
            raise ValueError(
                f'{ann_file}: category id {number}, name {name!r} occurs twice in '
                '"categories"; every id and every name must be unique.'
            )
        names[number] = name
    if not names:
        raise ValueError(f'{ann_file}: "categories" is empty. {_EXPECTED}')
    return dict(sorted(names.items()))


def class_list(names: dict[int, str]) -> tuple[str, ...]:
    """'background', then the categories' names in the order of their ids."""
    return (BACKGROUND, *(name for name in names.values() if name != BACKGROUND))


def category_labels(
    names: dict[int, str], classes: Sequence[str], ann_file: str | os.PathLike[str]
) -> dict[int, int]:
    """Category id → label: its name's place in ``classes``, 0 if it is not there.

    Args:
        names: Category id → name.
        classes: 'background' and the wanted names.
        ann_file: For messages.

    Returns:
        Labels 0..len(classes) - 1.

    Raises:
        ValueError: A wanted name is no category of the JSON, or there are more
            classes than labels.
    """
    if len(classes) - 1 > MAX_CLASSES:
        raise ValueError(
            f'{ann_file}: {len(classes) - 1} classes, but a mask of 8 bits holds at '
            f'most {MAX_CLASSES} (0 is background, 255 is ignored). Name fewer with '
            'metainfo=dict(classes=...), or write a data set that reads the mask of a '
            'class by itself, see docs/adding_a_dataset.md.'
        )
    missing = sorted(set(classes) - set(names.values()) - {BACKGROUND})
    if missing:
        raise ValueError(
            f'{ann_file}: its categories have no {missing}. They are '
            f'{sorted(names.values())}. Correct metainfo=dict(classes=...), or use the '
            'JSON that these classes belong to.'
        )
    places = {name: label for label, name in enumerate(classes)}
    return {number: places.get(name, 0) for number, name in names.items()}


def read_outlines(
    content: dict[str, Any], labels: dict[int, int], ann_file: str | os.PathLike[str]
) -> list[ImageOutlines]:
    """The JSON's images, in its order, each with its labelled annotations.

    A crowd region gets 255; one of a class that has no label is background, as its
    single objects are.

    Args:
        content: What :func:`load_json` gave.
        labels: Category id → label.
        ann_file: For messages.

    Raises:
        ValueError: A missing or impossible field, an unknown image or category id, a
            path that leads out of the image folder, or no segmentation anywhere.
    """
    images = {}
    for item in content['images']:
        number = _field(item, 'id', (int, str), 'image', ann_file)
        what = f'image {number}'
        name = _field(item, 'file_name', str, what, ann_file)
        height = _field(item, 'height', int, what, ann_file)
        width = _field(item, 'width', int, what, ann_file)
        if number in images:
            raise ValueError(f'{ann_file}: image id {number} occurs twice.')
        if height < 1 or width < 1:
            raise ValueError(f'{ann_file}: {what} has the size {height}x{width}.')
        if height * width > MAX_PIXELS:
            raise ValueError(
                f'{ann_file}: {what} has {width}x{height} pixels; at most {MAX_PIXELS} '
                'are read. Correct its height and width, or cut it into pieces.'
            )
        _check_inside(name, ann_file)
        images[number] = ImageOutlines(number, any_system_path(name), height, width, [])

    drawable = False
    for item in content['annotations']:
        owner = item.get('image_id') if isinstance(item, dict) else None
        image = images.get(owner) if isinstance(owner, int | str) else None
        if image is None:
            raise ValueError(
                f'{ann_file}: {_named(item)} belongs to image {owner!r} '
                f'({type(owner).__name__}), which is not among the "images".'
            )
        # The category may be missing in files that are no instance files at all.
        category = item.get('category_id')
        segmentation = item.get('segmentation')
        drawable = drawable or bool(segmentation)
        label = labels.get(category) if isinstance(category, int) else None
        if label is None:
            raise ValueError(
                f'{ann_file}: {_named(item)} has the category id {category!r} '
                f'({type(category).__name__}); the "categories" have {list(labels)}.'
                + (f' {_EXPECTED}' if category is None else '')
            )
        if item.get('iscrowd') and label:
            label = CROWD_LABEL
        image.outlines.append(Outline(item.get('id'), segmentation, label))
    if not drawable:
        raise ValueError(
            f'{ann_file} has {len(content["annotations"])} annotations and not one '
            f'"segmentation". {_EXPECTED}'
        )
    return list(images.values())


def _field(
    item: Any,
    key: str,
    kind: type | tuple[type, ...],
    what: str,
    path: str | os.PathLike[str],
) -> Any:
    value = item.get(key) if isinstance(item, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise ValueError(
            f'{path}: {what} needs the field "{key}" of type '
            f'{" or ".join(own.__name__ for own in kinds)}; found a '
            f'{type(value).__name__} in {str(item)[:200]}. {_EXPECTED}'
        )
    return value


def _named(item: Any) -> str:
    return f'annotation {item.get("id") if isinstance(item, dict) else item!r}'


def _check_inside(name: str, path: str | os.PathLike[str]) -> None:
    # Both readings: a name made on Windows must not escape here, nor the reverse.
    windows = PureWindowsPath(name)
    if windows.anchor or '..' in windows.parts or not PurePosixPath(name).name:
        raise ValueError(
            f'{path}: file_name {name!r} is absolute, empty or leads out of the image '
            'folder; expected is a path inside it, such as "000000000009.jpg".'
        )

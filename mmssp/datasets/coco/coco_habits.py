"""Habits of programs that export COCO, made one: ids, sizes, crowds, nesting, roots.

What is unambiguous is read as pycocotools would; the rest is left as it is, for the reader
to refuse with a sentence.
"""

from array import array
from numbers import Real
from typing import Any

IDS = {
    'images': ('id',),
    'categories': ('id',),
    'annotations': ('image_id', 'category_id'),
}
NO_PARENT = ('none', '')


def made_one(content: dict[str, Any]) -> dict[str, Any]:
    """A file's content with plain ids and numbers.

    Whole numbers stored as text or floats become integers (ids, sizes, ``iscrowd``), a
    category's name that is a number becomes text, and a root category that nothing is
    marked as is left out.

    Args:
        content: With lists ``images``, ``annotations``, ``categories``; changed in place.

    Returns:
        The same object.
    """
    for name, keys in IDS.items():
        for item in content[name]:
            if isinstance(item, dict):
                for key in keys:
                    if key in item:
                        item[key] = plain_number(item[key])
    for image in content['images']:
        if isinstance(image, dict):
            for key in ('height', 'width'):
                image[key] = plain_number(image.get(key))
    for annotation in content['annotations']:
        if isinstance(annotation, dict) and 'iscrowd' in annotation:
            annotation['iscrowd'] = plain_number(annotation['iscrowd'])
    for category in content['categories']:
        if isinstance(category, dict) and type(category.get('name')) in (int, float):
            category['name'] = str(category['name'])
    content['categories'] = _without_root(content)
    return content


def plain_number(value: Any) -> Any:
    """A whole number in another type as an integer; anything else as it is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        text = value.strip().removesuffix('.0')
        # 007 may be a name
        if text.isascii() and text.isdigit() and str(int(text[:20])) == text:
            return int(text)
    return value


def unnested(segmentation: Any) -> Any:
    """Polygons as flat lists in a list, where they are nested too little or too much.

    Args:
        segmentation: Any; of polygons ``[x, y, …]``, ``[[x, y], …]`` or
            ``[[[x, y], …], …]`` where ``[[x, y, …], …]`` is expected.

    Returns:
        The expected; what is not a list, or has other things in it, as it is.
    """
    if not isinstance(segmentation, list) or not segmentation:
        return segmentation
    if all(_is_number(value) for value in segmentation):
        return [segmentation]
    if len(segmentation) > 2 and _are_pairs(segmentation):
        return [_flat(segmentation)]
    polygons: list[Any] = []
    for polygon in segmentation:
        if _is_list(polygon) and len(polygon) and all(_is_list(p) for p in polygon):
            rings = all(len(p) > 2 and all(map(_is_number, p)) for p in polygon)
            flat = [_flat(polygon)] if _are_pairs(polygon) else [polygon]
            polygons += list(polygon) if rings else flat
        else:
            polygons.append(polygon)
    return polygons


def _without_root(content: dict[str, Any]) -> list[Any]:
    """Categories but those that only group others, as Roboflow puts them first."""
    categories = content['categories']
    used = {
        a['category_id']
        for a in content['annotations']
        if isinstance(a, dict) and isinstance(a.get('category_id'), int | str)
    }
    names = [c.get('name') for c in categories if isinstance(c, dict)]
    parents = {c.get('supercategory') for c in categories if _is_category(c)}
    kept = []
    for category in categories:
        root = (
            used
            and len(categories) > 1
            and _is_category(category)
            and category['id'] not in used
            and (
                names.count(category['name']) > 1
                or category['name'] in parents
                or (category['id'] == 0 and category.get('supercategory') == 'none')
            )
            and category.get('supercategory') in NO_PARENT
        )
        if not root:
            kept.append(category)
    return kept


def _is_category(category: Any) -> bool:
    return (
        isinstance(category, dict)
        and isinstance(category.get('id'), int | str)
        and isinstance(category.get('name'), str)
        and isinstance(category.get('supercategory'), str | None)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | array)


def _are_pairs(points: Any) -> bool:
    return all(_is_list(p) and len(p) == 2 and all(map(_is_number, p)) for p in points)


def _flat(points: Any) -> list[Any]:
    return [value for point in points for value in point]

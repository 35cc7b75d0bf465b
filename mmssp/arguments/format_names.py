"""Names of other tools' formats, as options and functions take them."""

from collections.abc import Iterable

FORMAT_NAMES = ('coco', 'yolo', 'labelme', 'labelstudio', 'cvat', 'voc', 'masks')
"""Keys of :data:`mmssp.apis.export.formats.FORMATS`, in its order."""


def format_names(text: str | Iterable[str]) -> tuple[str, ...]:
    """Names of formats.

    Args:
        text: Separated by commas, or several.

    Returns:
        Each once, in the order given.

    Raises:
        ValueError: None, or one that is not known; lists those that are.
    """
    given = text.split(',') if isinstance(text, str) else list(text)
    names = [name.strip().lower() for name in given]
    unknown = [name for name in names if name not in FORMAT_NAMES]
    if unknown or not names:
        raise ValueError(
            f'format {", ".join(map(repr, unknown)) or "missing"}: expected '
            f'one or more of {",".join(FORMAT_NAMES)}'
        )
    return tuple(dict.fromkeys(names))

"""Names of classes as people write them: which stand for the background, which are none."""

import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

SUSPECTS = frozenset(
    ('bg', 'ignore', 'ignored', 'none', 'nothing', 'other', 'others', 'unknown')
    + ('unlabeled', 'unlabelled', 'void')
)
"""What may stand for the background, or may be a class."""


def checked_names(classes: Any, owner: str) -> list[str]:
    """The names in a data set's metainfo.

    Args:
        classes: ``metainfo['classes']``.
        owner: Name of the data set, for messages.

    Returns:
        At least one name, each of them once.

    Raises:
        ValueError: None, a string alone, something else than strings, or a name twice.
    """
    if not isinstance(classes, str) and not classes:
        raise ValueError(f'{owner} names no classes: set metainfo=dict(classes=…)')
    if isinstance(classes, str):
        raise ValueError(
            f'{owner}: metainfo.classes is the text {classes[:80]!r}; expected a list of '
            f'names, and one name alone with a comma: classes=({classes[:80]!r},)'
        )
    if not isinstance(classes, Sequence) or not all(
        isinstance(name, str) for name in classes
    ):
        raise ValueError(
            f'{owner}: metainfo.classes is {str(classes)[:200]}; expected a list of '
            "names, texts such as 'dog'; a mask's value is a name's place in the list"
        )
    counted = Counter(same_letters(name) for name in classes)
    twice = [name for name, times in counted.items() if times > 1]
    if twice:
        raise ValueError(
            f'{owner}: metainfo.classes has {twice[:5]} more than once; expected every '
            'name once, since classes are told apart by name'
        )
    return list(classes)


def same_letters(name: str) -> str:
    """One spelling for names that look alike: Unicode's composed form."""
    return unicodedata.normalize('NFC', name)


def is_background(name: str, background_classes: Sequence[str]) -> bool:
    """Whether a name is one of the background's, however it is decorated.

    Without regard to case, and to spaces, hyphens and underscores around it, so that
    ``_background_`` (LabelMe) and ``Background`` are ``background``.
    """
    return _bare(name) in {_bare(own) for own in background_classes}


def warn_of_background(names: Sequence[str]) -> None:
    """Say which classes to be found may stand for the background."""
    suspects = [name for name in names if _bare(name) in SUSPECTS]
    if suspects:
        warnings.warn(
            f'the classes {suspects} are searched for as any other; if they stand for '
            f'the background, say so: background_classes={["background", *suspects]}',
            stacklevel=4,
        )


def _bare(name: str) -> str:
    return same_letters(name).strip(' _-').casefold()

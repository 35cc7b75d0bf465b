"""Base and novel classes: by fold, or by name."""

from collections.abc import Sequence
from typing import Literal

from ..utils.checks import texts
from .class_names import same_letters

FOLD_ORDERS = ('contiguous', 'interleaved')
SPLITS = ('base', 'novel')


def fold_classes(
    num_classes: int,
    fold: int,
    num_folds: int = 4,
    order: Literal['contiguous', 'interleaved'] = 'contiguous',
) -> list[int]:
    """Novel classes of a fold.

    Args:
        num_classes: Foreground classes of the data set.
        fold: 0-based.
        num_folds: Folds of equal size.
        order: ``'contiguous'`` gives fold i the classes i·n+1 … i·n+n (PASCAL-5i, and
            COCO-20i in SSP's release); ``'interleaved'`` gives i+1, i+1+num_folds, …
            (COCO-20i in HSNet, PFENet and most papers).

    Returns:
        1-based class ids, ascending.

    Raises:
        ValueError: If the fold is out of range or the classes don't divide evenly.
    """
    if order not in FOLD_ORDERS:
        raise ValueError(f'fold_order={order!r}: expected one of {FOLD_ORDERS}')
    if num_folds < 1 or num_classes % num_folds:
        raise ValueError(
            f'num_folds={num_folds}: {num_classes} classes do not divide into that many '
            'folds of equal size; choose another number, or name base_classes and '
            'novel_classes'
        )
    if not 0 <= fold < num_folds:
        raise ValueError(
            f'fold={fold}: expected 0 to {num_folds - 1} ({num_folds} folds)'
        )
    if order == 'interleaved':
        return list(range(fold + 1, num_classes + 1, num_folds))
    size = num_classes // num_folds
    return list(range(fold * size + 1, (fold + 1) * size + 1))


def split_classes(
    class_names: Sequence[str],
    split: Literal['base', 'novel'],
    *,
    fold: int | None = None,
    num_folds: int = 4,
    fold_order: Literal['contiguous', 'interleaved'] = 'contiguous',
    base_classes: Sequence[str] | None = None,
    novel_classes: Sequence[str] | None = None,
) -> list[int]:
    """Classes that the episodes of a split are about.

    By ``fold``, or by the names of base or novel classes (what is not named belongs to
    the other split; with both given, classes in neither are in no split). With none of
    the three, every class is in either split: for data that is only tested on.

    Args:
        class_names: Foreground classes in the order of their ids.
        split: ``'base'`` or ``'novel'``.
        fold: See :func:`fold_classes`.
        num_folds: See :func:`fold_classes`.
        fold_order: See :func:`fold_classes`.
        base_classes: Names.
        novel_classes: Names.

    Returns:
        1-based class ids, ascending.

    Raises:
        ValueError: If the arguments contradict one another or name unknown classes.
    """
    if split not in SPLITS:
        raise ValueError(f'split={split!r}: expected one of {SPLITS}')
    everything = set(range(1, len(class_names) + 1))
    base = _ids(class_names, base_classes, 'base_classes')
    novel = _ids(class_names, novel_classes, 'novel_classes')
    if fold is not None:
        if base is not None or novel is not None:
            raise ValueError('give either fold or base_classes/novel_classes, not both')
        novel = set(fold_classes(len(class_names), fold, num_folds, fold_order))
    own, other = (base, novel) if split == 'base' else (novel, base)
    if own is None:
        own = everything - (other or set())
    elif other is not None and own & other:
        both = [class_names[i - 1] for i in sorted(own & other)]
        raise ValueError(f'classes are both base and novel: {both}')
    chosen = sorted(own)
    if not chosen:
        raise ValueError(f'split {split!r} has no class')
    return chosen


def novel_to_remove(
    split: str, chosen: Sequence[int], novel: Sequence[int]
) -> Sequence[int]:
    """The novel classes whose images training leaves out.

    Args:
        split: What the episodes are about.
        chosen: Its classes.
        novel: Those of the novel split.

    Raises:
        ValueError: If these are no base classes, or not apart from the novel ones.
    """
    if split != 'base' or set(novel) & set(chosen):
        raise ValueError(
            "remove_novel_images: expected split='base', and novel classes "
            'that are known by fold, base_classes or novel_classes'
        )
    return novel


def _ids(
    class_names: Sequence[str], chosen: Sequence[str] | None, argument: str
) -> set[int] | None:
    if chosen is None:
        return None
    chosen = texts(argument, chosen)
    numbers = {same_letters(name): i for i, name in enumerate(class_names, start=1)}
    unknown = [name for name in chosen if same_letters(name) not in numbers]
    if unknown:
        raise ValueError(
            f'{argument}: {unknown} not among the classes of the data set: '
            f'{list(class_names)}'
        )
    return {numbers[same_letters(name)] for name in chosen}

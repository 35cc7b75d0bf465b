"""The data set below the episodes: built, checked, and what in it can be a target."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset, PascalVOCDataset
from mmseg.registry import DATASETS

from ..utils.command import own_message
from .class_masks import class_mask_reader
from .class_names import checked_names, is_background, warn_of_background
from .joined import joined
from .mask_scan import IGNORE
from .windows_paths import with_plain_paths


def build_dataset(dataset: dict[str, Any] | BaseSegDataset) -> BaseSegDataset:
    """Build and fully initialise a data set, naming what is missing on disk.

    Args:
        dataset: Config or instance; wrappers of MMEngine's are taken off, see
            :func:`mmssp.datasets.joined.joined`.

    Returns:
        The data set, with at least one image.

    Raises:
        FileNotFoundError: If building failed and the root, list or a folder is missing.
        ValueError: If there is no image, or the list is no text.
    """
    if isinstance(dataset, dict):
        try:
            built = joined(DATASETS.build(dataset))
            built.full_init()
        except (AssertionError, FileNotFoundError) as error:
            missing = _missing_paths(dataset)
            if not missing or own_message(error):
                raise
            raise FileNotFoundError(
                f'{dataset.get("type")}: {", ".join(missing)} not found; set data_root '
                '(the README shows the layouts that are expected)'
            ) from error
        except UnicodeDecodeError as error:
            raise ValueError(
                f'{dataset.get("type")}: its list {dataset.get("ann_file")} is not UTF-8 '
                f'text ({error}); expected one image name a line'
            ) from error
        except ValueError as error:
            # what NumPy says when mmengine serialises an empty list
            if 'need at least one array' not in str(error):
                raise
            raise ValueError(_no_image(dataset.get('type'))) from error
    else:
        built = joined(dataset)
        built.full_init()
    if not len(built):
        raise ValueError(_no_image(type(built).__name__))
    return with_plain_paths(built)


def _no_image(dataset: object) -> str:
    return f'{dataset}: no image found; check its list, its folders and their suffixes'


def _missing_paths(config: dict[str, Any]) -> list[str]:
    inner = [config.get('dataset'), *(config.get('datasets') or ())]
    wrapped = [part for part in inner if isinstance(part, dict)]
    if wrapped:
        return [path for part in wrapped for path in _missing_paths(part)]
    root = Path(config.get('data_root') or '')
    parts = [config.get('ann_file'), *(config.get('data_prefix') or {}).values()]
    candidates = [root, *(root / part for part in parts if part)]
    missing = [path for path in candidates if not path.exists()]
    # a missing root explains all that is missing below it
    return [str(root)] if root in missing else [str(path) for path in missing]


def foreground_classes(
    dataset: BaseSegDataset, background_classes: Sequence[str]
) -> tuple[list[int], list[str]]:
    """Classes that can be targets.

    Args:
        dataset: With ``classes`` in its metainfo.
        background_classes: Names that are not objects, see
            :func:`mmssp.datasets.class_names.is_background`.

    Returns:
        Their labels, which are the values in index masks, and their names, in order.

    Raises:
        ValueError: If the data set names no classes, names that are none or one twice,
            or more than its masks can hold, or leaves some out by its label map.
    """
    names = checked_names(dataset.metainfo.get('classes'), type(dataset).__name__)
    # where the data set itself reads a class's mask, others are none of it anyway
    label_map = {} if class_mask_reader(dataset) else dataset.label_map or {}
    dropped = [old for old, new in label_map.items() if new in (-1, IGNORE)]
    if dropped:
        raise ValueError(
            f'metainfo.classes leaves out {len(dropped)} of the classes of '
            f'{type(dataset).__name__}, and MMSegmentation turns their pixels into '
            '"ignored"; keep all classes, and choose by fold or by base_classes and '
            'novel_classes: other classes are background then'
        )
    foreground = [
        i for i, name in enumerate(names) if not is_background(name, background_classes)
    ]
    warn_of_background([names[i] for i in foreground])
    return foreground, [names[i] for i in foreground]


def benchmark_of(dataset: BaseSegDataset) -> str | None:
    """The benchmark that a data set is of.

    That is what its metainfo names. MMSegmentation's data set of PASCAL VOC names none,
    and is PASCAL-5i's if its classes are VOC's.

    Returns:
        A name; None for data of one's own, which no benchmark's protocol applies to.

    Raises:
        ValueError: If what it names is no name.
    """
    benchmark = dataset.metainfo.get('benchmark')
    if benchmark is None:
        voc = PascalVOCDataset.METAINFO['classes']
        classes = tuple(dataset.metainfo.get('classes') or ())
        is_voc = isinstance(dataset, PascalVOCDataset) and classes == tuple(voc)
        return 'pascal5i' if is_voc else None
    if not isinstance(benchmark, str) or not benchmark:
        raise ValueError(
            f'metainfo of {type(dataset).__name__}: benchmark={benchmark!r}; expected a '
            'name, see mmssp.protocols.add_benchmark'
        )
    return benchmark

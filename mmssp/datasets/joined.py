"""MMEngine's wrappers around data sets, as one data set below the episodes."""

import copy
from collections.abc import Sequence

from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmseg.datasets import BaseSegDataset

OWN_MASKS = ('class_mask', 'class_pixels')
"""Methods by which a data set reads masks itself, of its own files."""


def joined(dataset: BaseDataset | ConcatDataset | RepeatDataset) -> BaseSegDataset:
    """The data set that wrappers stand for.

    Args:
        dataset: A data set of MMSegmentation, or MMEngine's ``ConcatDataset`` or
            ``RepeatDataset`` of such, however deep.

    Returns:
        The same without a wrapper. Images of a ``ConcatDataset`` come one data set after
        the other. Those of a ``RepeatDataset`` come once: how often an image is seen is
        what ``num_episodes`` says, and a photo must not be its own support.

    Raises:
        ValueError: If it is another kind of data set, or data sets differ in what their
            masks mean, or read masks by themselves.
    """
    if isinstance(dataset, RepeatDataset):
        return joined(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        return _concatenated([joined(part) for part in dataset.datasets])
    if not isinstance(dataset, BaseSegDataset):
        raise ValueError(
            f'{type(dataset).__name__} is no data set for segmentation; expected one of '
            "MMSegmentation's, or MMEngine's ConcatDataset or RepeatDataset of such"
        )
    return dataset


def _concatenated(parts: Sequence[BaseSegDataset]) -> BaseSegDataset:
    first = parts[0]
    if len(parts) == 1:
        return first
    for name in ('metainfo', 'label_map', 'reduce_zero_label', 'ignore_index'):
        values = [getattr(part, name) for part in parts]
        if any(value != values[0] for value in values):
            raise ValueError(
                f'ConcatDataset: its {len(parts)} data sets differ in {name}, so that '
                'their masks do not mean the same; expected the same for all'
            )
    own = [p for p in parts if any(callable(getattr(p, m, None)) for m in OWN_MASKS)]
    if own:
        raise ValueError(
            f'ConcatDataset: {type(own[0]).__name__} reads masks of classes itself, of its '
            'own files only; expected one data set of that kind, by itself'
        )
    for part in parts:
        part.full_init()
    whole = copy.copy(first)
    whole.serialize_data = False
    whole.data_list = [
        part.get_data_info(i) for part in parts for i in range(len(part))
    ]
    return whole

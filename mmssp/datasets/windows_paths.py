"""Lists of images that were written on Windows, read on any system."""

import copy
import os
from typing import Any

from mmseg.datasets import BaseSegDataset

from ..utils.files import any_system_path

PATHS = ('img_path', 'seg_map_path')


def with_plain_paths(dataset: BaseSegDataset) -> BaseSegDataset:
    """A data set whose paths this system can follow.

    A back-slash in a list of MMSegmentation's (``ann_file``) may be part of a name on
    Linux; where there is no such file, it is Windows' slash.

    Args:
        dataset: Fully initialised.

    Returns:
        The same data set; a copy of it, if a path had to be written otherwise.
    """
    if os.sep == '\\' or not any(
        _is_foreign(info.get(name))
        for info in map(dataset.get_data_info, range(len(dataset)))
        for name in PATHS
    ):
        return dataset
    plain = copy.copy(dataset)
    plain.data_list = [_plain(dataset.get_data_info(i)) for i in range(len(dataset))]
    plain.serialize_data = False
    return plain


def _plain(info: dict[str, Any]) -> dict[str, Any]:
    changed = {
        name: any_system_path(info[name])
        for name in PATHS
        if _is_foreign(info.get(name))
    }
    return {**info, **changed}


def _is_foreign(path: Any) -> bool:
    return isinstance(path, str) and '\\' in path and not os.path.isfile(path)

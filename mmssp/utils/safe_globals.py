"""What a checkpoint of mmengine holds besides tensors, allowed by name and no further.

Since PyTorch 2.6, ``torch.load`` refuses all but tensors and plain containers. mmengine's
checkpoints also hold the log's history: NumPy arrays in ``HistoryBuffer`` objects, and
references to methods, which are pickled as calls of ``getattr``.
"""

from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler

try:
    from numpy._core import multiarray
except ImportError:  # NumPy 1
    from numpy.core import multiarray  # type: ignore[no-redef]

CURVES = [
    (OneCycleParamScheduler, name) for name in ('_annealing_cos', '_annealing_linear')
]


def known_method(owner: Any, name: str) -> Any:
    """Stands in for ``getattr`` while a checkpoint is read.

    Only what mmengine saves references to: HistoryBuffer's methods, and the two curves
    of OneCycleLR and its like.

    Raises:
        ValueError: For anything else.
    """
    of_history = owner is HistoryBuffer and not name.startswith('_')
    if not of_history and (owner, name) not in CURVES:
        raise ValueError(
            f'the checkpoint asks for {name!r} of {owner!r}, which no checkpoint of '
            'mmengine does; it is not loaded'
        )
    return getattr(owner, name)


def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load(weights_only=True)`` read what mmengine saves."""
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6):
        return  # there torch.load is not restricted unless asked to be
    names = ('float32', 'float64', 'int32', 'int64')
    core = multiarray.__name__
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            OneCycleParamScheduler,
            np.ndarray,
            np.dtype,
            *(type(np.dtype(name)) for name in names),
            (multiarray._reconstruct, f'{core}._reconstruct'),
            (multiarray.scalar, f'{core}.scalar'),
            (known_method, 'builtins.getattr'),
        ]
    )

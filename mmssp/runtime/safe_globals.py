"""What a checkpoint of mmengine holds besides tensors, allowed by name and no further.

Since PyTorch 2.6, ``torch.load`` refuses all but tensors and plain containers. mmengine's
checkpoints also hold the log's history: NumPy arrays in ``HistoryBuffer`` objects, and
references to methods, which are pickled as calls of ``getattr``.
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
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


def _allowed() -> dict[str, Any]:
    """By the name that a pickle calls it."""
    dtypes = [type(np.dtype(n)) for n in ('float32', 'float64', 'int32', 'int64')]
    named = {_path(c): c for c in (*dtypes, np.dtype)}
    for core in ('numpy._core', 'numpy.core'):  # of NumPy 2 and 1
        named[f'{core}.multiarray._reconstruct'] = multiarray._reconstruct
        named[f'{core}.multiarray.scalar'] = multiarray.scalar
    return {
        **named,
        _path(HistoryBuffer): HistoryBuffer,
        'numpy.ndarray': np.ndarray,
        _path(OneCycleParamScheduler): OneCycleParamScheduler,
        'builtins.getattr': known_method,
    }


def _path(kind: Any) -> str:
    return f'{kind.__module__}.{kind.__qualname__}'


@contextmanager
def mmengine_allowed() -> Iterator[bool]:
    """Let ``torch.load(weights_only=True)`` read what mmengine saves, inside.

    Outside, the process allows what it did before: what others load is their affair.

    Yields:
        False before PyTorch 2.6, whose ``weights_only`` cannot be told this; there
        :func:`restricted_pickle` does the same.
    """
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6):
        yield False
        return
    names = [(allowed, name) for name, allowed in _allowed().items()]
    before = torch.serialization.get_safe_globals()
    try:
        with torch.serialization.safe_globals(names):  # type: ignore[arg-type]
            yield True
    finally:
        # leaving takes away also what others had allowed themselves
        torch.serialization.add_safe_globals(before)


def restricted_pickle() -> SimpleNamespace:
    """A ``pickle_module`` for ``torch.load`` that imports by the same list and no further.

    Returns:
        With ``Unpickler`` and ``load``, as ``torch.load`` asks for.
    """
    from torch._weights_only_unpickler import _get_allowed_globals

    allowed = {**_get_allowed_globals(), **_allowed()}

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            # torch.save pickles with the names of Python 2
            path = f'{"builtins" if module == "__builtin__" else module}.{name}'
            if path not in allowed:
                raise pickle.UnpicklingError(f'GLOBAL {path} is refused')
            return allowed[path]

    def load(file: Any, **options: Any) -> Any:
        return Unpickler(file, **options).load()

    return SimpleNamespace(Unpickler=Unpickler, load=load, __name__='restricted_pickle')

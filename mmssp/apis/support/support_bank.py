"""Supports as a small file of numbers and names, without pickle."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...utils.archives import check_archive
from ...utils.files import atomic_path

VERSION = 1
LARGEST = 64 * 2**20
"""Bytes of a file; its arrays are not compressed."""


@dataclass(frozen=True)
class Support:
    """What is kept of one class's support.

    Attributes:
        prototypes: ``foreground`` and ``background``, (1,C) float32, the mean over shots.
        shots: (features (C,h,w), mask (h',w') uint8 in {0, 1, 255}) of each image; empty
            if it was loaded from a file.
        num_shots: K.
    """

    prototypes: dict[str, Tensor]
    shots: tuple[tuple[Tensor, Tensor], ...]
    num_shots: int


def save_bank(
    path: str | os.PathLike[str], supports: dict[str, Support], model: str
) -> None:
    """Write supports; the file appears whole or not at all.

    Args:
        path: The file, of any suffix.
        supports: By class.
        model: Fingerprint of the model that made them.
    """
    own = list(supports.values())
    arrays: dict[str, Any] = dict(
        version=np.array(VERSION),
        model=np.array(model),
        names=np.array(list(supports)),
        num_shots=np.array([s.num_shots for s in own]),
        **{
            side: np.concatenate([s.prototypes[side].cpu().numpy() for s in own])
            for side in ('foreground', 'background')
        },
    )
    with atomic_path(path) as temporary, temporary.open('wb') as stream:
        np.savez(stream, **arrays)


def load_bank(path: str | os.PathLike[str], model: str) -> dict[str, Support]:
    """Read supports.

    Args:
        path: A file of :func:`save_bank`.
        model: Fingerprint of the model that is to use them.

    Returns:
        By class.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged or no such file, or was made with another model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'support bank {path} not found')
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ValueError(f'it has {size} bytes, more than {LARGEST}')
        check_archive(path, size)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        found = str(arrays['model'])
        supports = _unpack(arrays)
    # random bytes make zip and NumPy raise nearly anything
    except Exception as error:
        raise ValueError(f'{path} is damaged, or no support bank: {error}') from error
    if found != model:
        raise ValueError(
            f'{path} was made with another model ({found[:12]}…, this one is '
            f'{model[:12]}…): set the support anew with this one'
        )
    return supports


def _unpack(arrays: dict[str, np.ndarray]) -> dict[str, Support]:
    if int(arrays['version']) != VERSION:
        raise ValueError(f'version {arrays["version"]}, expected {VERSION}')
    names = [str(name) for name in arrays['names']]
    sides = {side: arrays[side] for side in ('foreground', 'background')}
    shape = sides['foreground'].shape
    numbers = [*sides.values(), arrays['num_shots']]
    if (
        not names
        or len(set(names)) < len(names)
        or len(shape) != 2
        or arrays['num_shots'].ndim != 1
        or any(len(array) != len(names) for array in numbers)
        or sides['background'].shape != shape
        or any(array.dtype != np.float32 for array in sides.values())
        or arrays['num_shots'].dtype.kind not in 'iu'
        or not all(np.isfinite(array).all() for array in numbers)
        or not all(0 < shots < 2**31 for shots in arrays['num_shots'].ravel().tolist())
        or not all(name.strip() for name in names)
        or not shape[1]
    ):
        raise ValueError('names and arrays contradict each other')
    return {
        name: Support(
            prototypes={
                side: torch.from_numpy(array[i : i + 1].copy())
                for side, array in sides.items()
            },
            shots=(),
            num_shots=int(arrays['num_shots'][i]),
        )
        for i, name in enumerate(names)
    }

"""Supports as a small file of numbers and names, without pickle."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...models.decode_heads.matching_head import State
from ...utils.archives import check_archive
from ...utils.files import atomic_path
from ..encoding import View

VERSION = 2
"""1, of mmssp 0.1, held the prototypes of SSPHead alone."""
LARGEST = 512 * 2**20
"""Bytes of a file; its arrays are not compressed. Prototypes take kilobytes, a tuned
backbone as much as its later part."""
PARTS = ('state', 'adapted')


@dataclass(frozen=True)
class SupportShot:
    """A labelled image, encoded.

    Attributes:
        features: (1,C,h,w).
        mask: (h',w') uint8 in {0, 1, 255}, as the head takes it with these features.
        view: The image as it is encoded once something was learned, which is finer.
        annotation: (H,W) uint8 in {0, 1, 255}, of that size.
    """

    features: Tensor
    mask: Tensor
    view: View
    annotation: np.ndarray

    @property
    def shows(self) -> bool:
        """Whether the object is in the image; else it is one without it."""
        return bool((self.annotation == 1).any() or (self.mask == 1).any())


@dataclass(frozen=True)
class Support:
    """What is kept of one class's support.

    Attributes:
        state: What the head made of all shots, tensors (1,…).
        num_shots: K.
        num_shown: Of the K, those that show the object, which are what is matched with.
        shots: The labelled images; empty if it was loaded from a file.
        learned: What was learned from them, tensors by name: empty where learning found
            that matching as it was decides better; None if nothing was learned yet.
    """

    state: State
    num_shots: int
    num_shown: int
    shots: tuple[SupportShot, ...] = ()
    learned: State | None = None

    @property
    def adapted(self) -> State:
        """What was learned, and decides; empty for nothing."""
        return self.learned or {}


def save_bank(
    path: str | os.PathLike[str],
    supports: dict[str, Support],
    model: str,
    head: str,
    adapter: str = '',
) -> None:
    """Write supports; the file appears whole or not at all.

    Args:
        path: The file, of any suffix.
        supports: By class.
        model: Fingerprint of the model that made them.
        head: Kind of its head.
        adapter: Kind of its adapter, if anything was adapted.

    Raises:
        ValueError: If they take more than a bank can hold.
        OSError: If it cannot be written.
    """
    arrays: dict[str, Any] = dict(
        version=np.array(VERSION),
        model=np.array(model),
        head=np.array(head),
        adapter=np.array(adapter if any(s.adapted for s in supports.values()) else ''),
        names=np.array(list(supports)),
        num_shots=np.array([s.num_shots for s in supports.values()]),
        num_shown=np.array([s.num_shown for s in supports.values()]),
        learned=np.array([s.learned is not None for s in supports.values()]),
    )
    first: dict[int, str] = {}
    same = []
    for i, support in enumerate(supports.values()):
        for part in PARTS:
            for name, value in getattr(support, part).items():
                key = f'{part}/{i}/{name}'
                if first.setdefault(id(value), key) == key:
                    arrays[key] = value.cpu().numpy()
                else:
                    same.append((key, first[id(value)]))
    # what classes share, as a tuned backbone, is written once
    arrays['same'] = np.array(same, dtype=str).reshape(-1, 2)
    size = sum(array.nbytes for array in arrays.values())
    if size > LARGEST - 2**16:
        raise ValueError(
            f'{path}: the supports take {size} bytes, and a bank holds at most {LARGEST}'
        )
    with atomic_path(path) as temporary, temporary.open('wb') as stream:
        np.savez(stream, **arrays)


def load_bank(
    path: str | os.PathLike[str],
    model: str,
    head: str,
    adapter: str = '',
    first_model: str | None = None,
) -> dict[str, Support]:
    """Read supports.

    Args:
        path: A file of :func:`save_bank`.
        model: Fingerprint of the model that is to use them.
        head: Kind of its head.
        adapter: Kind of its adapter, which has to be that of adapted supports.
        first_model: Its fingerprint as mmssp 0.1 made it, for files of that time.

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
        version = int(arrays['version'])
        if version == 1:
            arrays = _from_version_1(arrays)
        elif version != VERSION:
            raise ValueError(f'version {version}, expected {VERSION}')
        found, found_head, found_adapter = (
            str(arrays[name]) for name in ('model', 'head', 'adapter')
        )
        supports = _unpack(arrays)
    # random bytes make zip and NumPy raise nearly anything
    except Exception as error:
        raise ValueError(f'{path} is damaged, or no support bank: {error}') from error
    if found_head != head:
        raise ValueError(
            f'{path} was made with {found_head[:80]}, and this model has {head}: set the '
            'support anew with this one'
        )
    if found_adapter not in ('', adapter):
        raise ValueError(
            f'{path} holds supports adapted by {found_adapter[:80]}, and this model has '
            f'{adapter or "no adapter"}: set the support anew with this one'
        )
    expected = first_model if version == 1 else model
    if found != expected:
        raise ValueError(
            f'{path} was made with another model, or images of another size '
            f'({found[:12]}…, here it is {(expected or "?")[:12]}…): set the support anew '
            'with this one'
        )
    return supports


def _from_version_1(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A file of mmssp 0.1, two arrays (N,C) for N classes, as one of this version."""
    sides = ('foreground', 'background')
    of_class = {
        f'state/{i}/{side}': arrays[side][i : i + 1]
        for side in sides
        for i in range(len(arrays['names']))
    }
    if any(len(arrays[side]) != len(arrays['names']) for side in sides):
        raise ValueError('names and arrays contradict each other')
    kept = {name: arrays[name] for name in ('model', 'names', 'num_shots')}
    return dict(kept, head=np.array('SSPHead'), adapter=np.array(''), **of_class)


def _unpack(arrays: dict[str, np.ndarray]) -> dict[str, Support]:
    names = [str(name) for name in arrays['names']]
    shots = arrays['num_shots']
    # files of an earlier time counted all images alone
    shown = arrays.get('num_shown', shots)
    parts: list[dict[str, State]] = [{part: {} for part in PARTS} for _ in names]
    numbers = [shots, shown]
    # files that were written before learning was noted have what was learned alone
    noted = arrays.get('learned', np.zeros(len(names), bool))
    tensors = {}
    for key, array in arrays.items():
        if '/' in key:
            tensors[key] = torch.from_numpy(array.copy())
            numbers.append(array)
    shared = {str(key): str(first) for key, first in arrays.get('same', ())}
    for key in (*tensors, *shared):
        part, place, name = key.split('/', 2)
        parts[int(place)][part][name] = tensors[shared.get(key, key)]
    if (
        not names
        or len(set(names)) < len(names)
        or not all(name.strip() for name in names)
        or shots.ndim != 1
        or len(shots) != len(names)
        or shots.dtype.kind not in 'iu'
        or shown.shape != shots.shape
        or shown.dtype.kind not in 'iu'
        or not all(
            0 < shows <= k < 2**31
            for shows, k in zip(shown.tolist(), shots.tolist(), strict=True)
        )
        or noted.dtype.kind != 'b'
        or noted.shape != shots.shape
        or any(array.dtype.kind not in 'fiub' for array in numbers)
        or not all(np.isfinite(array).all() for array in numbers)
        or not all(own['state'] for own in parts)
        or not all(
            value.dim() and len(value) == 1 and value.numel()
            for own in parts
            for value in own['state'].values()
        )
    ):
        raise ValueError('names and arrays contradict each other')
    return {
        name: Support(
            own['state'],
            int(k),
            int(shows),
            learned=own['adapted'] if own['adapted'] or learned else None,
        )
        for name, k, shows, own, learned in zip(
            names, shots, shown, parts, noted, strict=True
        )
    }

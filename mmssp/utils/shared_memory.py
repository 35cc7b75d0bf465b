"""Shared memory of data loaders' workers: too little of it is an error, not a hang."""

import shutil
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch.utils.data import get_worker_info

SHARED = '/dev/shm'
SMALL = 128 * 2**20
"""Bytes; a container of Docker's has half of that, unless it is asked for more."""
REMEDY = (
    'start the container with a larger one (docker run --shm-size=8g, or --ipc=host), or '
    'take smaller batches or fewer workers (--cfg-options train_dataloader.num_workers=0 '
    'train_dataloader.persistent_workers=False, and the same for val_dataloader and '
    'test_dataloader)'
)


def small_shared_memory(workers: int) -> str | None:
    """What to say before data loaders start, if their batches may not find room.

    Args:
        workers: Of all data loaders that may be at work at a time.

    Returns:
        A sentence; None where there is room, or nothing is known of it.
    """
    try:
        size = shutil.disk_usage(SHARED)
    except OSError:  # not this kind of system
        return None
    if not workers or size.total >= SMALL:
        return None
    return (
        f'{SHARED} has {size.total // 2**20} MiB for the batches that {workers} workers of '
        f'data loaders send, which may be too little; if so, {REMEDY}'
    )


def share_from_worker(batch: Any) -> Any:
    """In a data loader's worker, put a batch's tensors where the other process sees them.

    PyTorch does so when it sends them, in a thread whose errors nobody hears: the job
    then waits for ever for a batch that was lost.

    Args:
        batch: Tensors in lists, tuples, dicts, dataclasses and mmengine's elements.

    Returns:
        The batch.

    Raises:
        OSError: There is no room.
    """
    if get_worker_info() is not None:
        try:
            _share(batch)
        except RuntimeError as error:
            raise OSError(_too_small(error)) from error
    return batch


def _share(value: Any) -> None:
    if isinstance(value, torch.Tensor):
        if value.device.type == 'cpu' and value.layout == torch.strided:
            value.share_memory_()
    elif isinstance(value, BaseDataElement):
        _share(value.all_values())
    elif isinstance(value, Mapping):
        _share(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            _share(item)
    elif is_dataclass(value):
        _share([getattr(value, field.name) for field in fields(value)])


def _too_small(error: RuntimeError) -> str:
    try:
        size = shutil.disk_usage(SHARED)
        room = f' ({size.total // 2**20} MiB, {size.free // 2**20} MiB of them free)'
    except OSError:
        room = ''
    return (
        f"{SHARED}{room} is too small for the batches that data loaders' workers send: "
        f'{REMEDY}. The system said: {str(error)[:200]}'
    )

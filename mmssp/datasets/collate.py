"""Collation of episodes."""

from collections.abc import Sequence
from typing import Any

from mmengine.registry import FUNCTIONS

from ..utils.shared_memory import share_from_worker


@FUNCTIONS.register_module()
def episode_collate(data_batch: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Gather B items of :class:`EpisodicDataset` without stacking or transposing.

    mmengine's own collate functions turn B lists of K supports into K lists of B.

    Args:
        data_batch: B items, ``dict(inputs=dict(query, support, support_mask),
            data_samples)``.

    Returns:
        ``inputs`` of ``query`` (B tensors), ``support`` and ``support_mask`` (B lists of
        K tensors), and ``data_samples`` (B samples); in a worker's shared memory.

    Raises:
        OSError: That is too small.
    """
    batch = dict(
        inputs={
            name: [item['inputs'][name] for item in data_batch]
            for name in ('query', 'support', 'support_mask')
        },
        data_samples=[item['data_samples'] for item in data_batch],
    )
    share_from_worker(batch)
    return batch

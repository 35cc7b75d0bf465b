"""From per-episode pixel counts to scores: pure functions on records."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def pixel_counts(
    prediction: Tensor, truth: Tensor, ignore_index: int = 255
) -> dict[str, list[int]]:
    """Intersection and union of background and foreground in one image.

    Args:
        prediction: (H,W) integer, 1 foreground and 0 background.
        truth: (H,W) integer in {0, 1, ignore_index}; ignored pixels are left out.

    Returns:
        ``intersection`` and ``union``, [background, foreground] pixels each.
    """
    return by_label(count_pixels(prediction, truth, ignore_index))


def count_pixels(prediction: Tensor, truth: Tensor, ignore_index: int = 255) -> Tensor:
    """What :func:`pixel_counts` needs, on the masks' device, which nobody waits for.

    Args:
        prediction: As for :func:`pixel_counts`.
        truth: Likewise.
        ignore_index: Likewise.

    Returns:
        (3,) int64: pixels that count, foreground in both, foreground in either.
    """
    valid = truth != ignore_index
    predicted, target = (prediction == 1) & valid, (truth == 1) & valid
    # one transfer from the device
    return torch.stack(
        [x.sum() for x in (valid, predicted & target, predicted | target)]
    )


def by_label(counts: Tensor) -> dict[str, list[int]]:
    """:func:`pixel_counts` from the counts of :func:`count_pixels`."""
    total, fg_both, fg_either = counts.tolist()
    return dict(
        intersection=[total - fg_either, fg_both], union=[total - fg_both, fg_either]
    )


def each_once(
    records: Sequence[dict[str, Any]], size: int, meta: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """The records of all episodes of a test, if they are that.

    Args:
        records: With ``run`` and ``index``; what a sampler padded is there again.
        size: Episodes of all runs together.
        meta: Metainfo of the :class:`EpisodicDataset`, whose ``seeds`` and
            ``num_episodes`` say which episodes there are; without them, only their
            number is compared.

    Returns:
        One for each episode, by run and index.

    Raises:
        ValueError: If some are missing, foreign, or different for one episode.
    """
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for record in records:
        key = record['run'], record['index']
        if found.setdefault(key, record) != record:
            raise ValueError(
                f'run {key[0]}, episode {key[1]} has two different records: expected one '
                'result of each episode'
            )
    seeds, length = ((meta or {}).get(name) for name in ('seeds', 'num_episodes'))
    expected = None
    # a part of the data set may be tested, by a wrapper that leaves its metainfo
    if seeds and length and len(seeds) * length == size:
        expected = {
            (run, index) for run in range(len(seeds)) for index in range(length)
        }
    if len(found) != size or (expected is not None and found.keys() != expected):
        missing = sorted((expected or set()) - found.keys())
        foreign = sorted(found.keys() - expected) if expected is not None else []
        example = ''.join(
            f'; {what}: {len(keys)}, as run {keys[0][0]}, episode {keys[0][1]}'
            for what, keys in (('missing', missing), ('not of this test', foreign))
            if keys
        )
        raise ValueError(
            f'records of {len(found)} episodes where the test has {size}{example}: no '
            'score is made of them; was the test stopped, or did two write into one metric?'
        )
    return [found[key] for key in sorted(found)]


def score_run(
    records: Sequence[Mapping[str, Any]],
    class_ids: Sequence[int],
    undrawn_classes_count: bool = False,
) -> dict[str, Any]:
    """Scores of one run: sums over all its episodes, then ratios.

    Args:
        records: ``class_id``, ``intersection`` and ``union`` ([bg, fg] pixels) of each
            episode.
        class_ids: The classes that episodes can be about.
        undrawn_classes_count: Whether a class without an episode counts as IoU 0 in the
            mean; else it is left out.

    Returns:
        ``mIoU`` (mean over classes of foreground IoU), ``FB-IoU`` (mean of foreground
        and background IoU over all episodes together), ``per_class`` {class id: IoU, nan
        where undrawn}; in percent, [0, 100].
    """
    intersection = dict.fromkeys(class_ids, 0)
    union = dict.fromkeys(class_ids, 0)
    drawn = set()
    both = np.zeros(2, np.int64)
    either = np.zeros(2, np.int64)
    for record in records:
        class_id = record['class_id']
        drawn.add(class_id)
        intersection[class_id] += record['intersection'][1]
        union[class_id] += record['union'][1]
        both += record['intersection']
        either += record['union']
    per_class = {
        c: 100.0 * intersection[c] / max(union[c], 1) if c in drawn else float('nan')
        for c in class_ids
    }
    counted = [
        0.0 if c not in drawn else per_class[c]
        for c in class_ids
        if c in drawn or undrawn_classes_count
    ]
    return {
        'mIoU': float(np.mean(counted)) if counted else float('nan'),
        'FB-IoU': float(np.mean(100.0 * both / np.maximum(either, 1))),
        'per_class': per_class,
    }


def score_runs(
    records: Sequence[Mapping[str, Any]],
    class_ids: Sequence[int],
    undrawn_classes_count: bool = False,
) -> dict[str, Any]:
    """Scores over several runs: each run on its own, then their mean.

    Args:
        records: As :func:`score_run`, with ``run`` besides.
        class_ids: As :func:`score_run`.
        undrawn_classes_count: As :func:`score_run`.

    Returns:
        ``mIoU``, ``FB-IoU`` (means over runs), ``mIoU_std`` (sample standard deviation
        over runs, 0 for one run), ``per_class`` (mean over the runs that drew the
        class), and ``runs``, a dict of :func:`score_run` with ``run`` for each.
    """
    runs = []
    for run in sorted({record['run'] for record in records}):
        own = [record for record in records if record['run'] == run]
        runs.append(dict(run=run, **score_run(own, class_ids, undrawn_classes_count)))
    means = [run['mIoU'] for run in runs]
    per_class = {}
    for c in class_ids:
        values = [r['per_class'][c] for r in runs if not np.isnan(r['per_class'][c])]
        per_class[c] = float(np.mean(values)) if values else float('nan')
    return {
        'mIoU': float(np.mean(means)) if means else float('nan'),
        'mIoU_std': float(np.std(means, ddof=1)) if len(means) > 1 else 0.0,
        'FB-IoU': float(np.mean([r['FB-IoU'] for r in runs])) if runs else float('nan'),
        'per_class': per_class,
        'runs': runs,
    }

"""How much scores depend on which episodes were drawn: resampling them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

CHUNK = 4_000_000  # multiplicities held at a time: 32 MB


def bootstrap_interval(
    records: Sequence[Mapping[str, Any]],
    class_ids: Sequence[int],
    undrawn_classes_count: bool = False,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of mIoU by resampling episodes, within each run.

    Args:
        records: As :func:`mmssp.evaluation.scores.score_runs`; at least one.
        class_ids: As there.
        undrawn_classes_count: As :func:`bootstrap_scores`.
        resamples: Bootstrap samples.
        seed: The only source of chance.

    Returns:
        2.5th and 97.5th percentile of the mean over runs of mIoU, in percent.
    """
    samples = bootstrap_scores(
        [records], class_ids, undrawn_classes_count, resamples, seed
    )
    low, high = np.percentile(samples['mIoU'][0], [2.5, 97.5])
    return float(low), float(high)


def bootstrap_scores(
    results: Sequence[Sequence[Mapping[str, Any]]],
    class_ids: Sequence[int],
    undrawn_classes_count: bool = False,
    resamples: int = 10000,
    seed: int | Sequence[int] = 0,
) -> dict[str, np.ndarray]:
    """Scores of resampled episodes; each resample is the same for all results.

    Episodes are drawn with replacement within each run, and scored as in
    :func:`mmssp.evaluation.scores.score_runs`.

    Args:
        results: N lists of records of the same episodes in the same order.
        class_ids: C classes that episodes can be about.
        undrawn_classes_count: Whether a class that no episode of a run is about counts
            as IoU 0 in the mean; else it is left out. One that only a resample lacks is
            left out in any case, or the mean would sink with the number of classes that
            chance leaves out.
        resamples: R, bootstrap samples.
        seed: The only source of chance.

    Returns:
        ``mIoU`` (N,R), ``FB-IoU`` (N,R) and ``per_class`` (N,R,C), nan where no run of
        a resample drew the class; float64, in percent.

    Raises:
        ValueError: If ``resamples`` or ``seed`` is out of range.
    """
    if resamples < 1:
        raise ValueError(f'resamples={resamples}: expected 1 or more')
    if np.min(seed) < 0:
        raise ValueError(f'seed={seed}: expected 0 or more')
    rng = np.random.default_rng(seed)
    column = {c: i for i, c in enumerate(class_ids)}
    size = len(results), resamples
    miou, fb_iou = np.zeros(size), np.zeros(size)
    class_iou = np.zeros((*size, len(column)))
    class_runs = np.zeros((resamples, len(column)))
    runs = sorted({record['run'] for record in results[0]})
    for run in runs:
        own = [[r for r in records if r['run'] == run] for records in results]
        episodes = len(own[0])
        # (episodes, C): which class an episode is about
        about = np.zeros((episodes, len(column)))
        about[range(episodes), [column[r['class_id']] for r in own[0]]] = 1
        never = about.sum(0) == 0
        # (N, episodes, 2, 2): intersection and union of background and foreground
        pixels = np.array(
            [[(r['intersection'], r['union']) for r in rows] for rows in own], float
        )
        chunk = max(1, CHUNK // episodes)
        for start in range(0, resamples, chunk):
            part = slice(start, min(start + chunk, resamples))
            times = rng.multinomial(
                episodes, np.full(episodes, 1 / episodes), part.stop - part.start
            ).astype(float)
            drawn = times @ about > 0
            counted = drawn | never if undrawn_classes_count else drawn
            for k in range(len(results)):
                both = times @ (about * pixels[k, :, 0, 1:])
                either = times @ (about * pixels[k, :, 1, 1:])
                iou = 100.0 * both / np.maximum(either, 1)
                miou[k, part] += (iou * counted).sum(1) / counted.sum(1)
                class_iou[k, part] += iou * drawn
                total = (times @ pixels[k].reshape(episodes, 4)).reshape(-1, 2, 2)
                ratio = 100.0 * total[:, 0] / np.maximum(total[:, 1], 1)
                fb_iou[k, part] += ratio.mean(1)
            class_runs[part] += drawn
    with np.errstate(invalid='ignore'):
        per_class = class_iou / class_runs
    return {
        'mIoU': miou / len(runs),
        'FB-IoU': fb_iou / len(runs),
        'per_class': per_class,
    }

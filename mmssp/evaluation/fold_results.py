"""The results of all folds of a data set as one: which weights, and the means."""

import glob
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..protocols import get_protocol
from .bootstrap import bootstrap_scores
from .results import read_results

PLACE = '{fold}'
NAMED = 5  # of the files that match a pattern


def fold_checkpoints(pattern: str, folds: Sequence[int]) -> dict[int, str]:
    """The weights of each fold.

    Args:
        pattern: A path, maybe with wildcards, or a URL, with ``{fold}`` in the place of
            the fold; or ``'none'`` for the model as its config builds it.
        folds: 0-based.

    Returns:
        Fold → path, URL or ``'none'``.

    Raises:
        ValueError: If folds repeat, the pattern names no fold, or several files match.
        FileNotFoundError: If none matches.
    """
    if len(set(folds)) < len(folds) or min(folds, default=-1) < 0:
        raise ValueError(
            f'--folds {" ".join(map(str, folds))}: expected different numbers of 0 or more'
        )
    if pattern == 'none':
        return dict.fromkeys(folds, pattern)
    if PLACE not in pattern:
        raise ValueError(
            f'checkpoint {pattern} does not say where the fold stands: every fold has '
            f'weights of its own, as in work_dirs/ssp/fold{PLACE}/best_mIoU_iter_*.pth '
            '(in quotes); or "none"'
        )
    return {fold: _one_file(pattern.replace(PLACE, str(fold)), fold) for fold in folds}


def _one_file(pattern: str, fold: int) -> str:
    if '://' in pattern or Path(pattern).is_file():
        return pattern
    found = sorted(path for path in glob.glob(pattern) if Path(path).is_file())
    if not found:
        raise FileNotFoundError(f'fold {fold}: no file matches {pattern}')
    if len(found) > 1:
        more = f' and {len(found) - NAMED} more' if len(found) > NAMED else ''
        raise ValueError(
            f'fold {fold}: {len(found)} files match {pattern}: '
            f'{", ".join(found[:NAMED])}{more}; expected one: name it, or remove the '
            'others'
        )
    return found[0]


def read_fold(path: str | os.PathLike[str], fold: int) -> dict[str, Any]:
    """The results of a fold, which must be that fold's.

    Args:
        path: What ``tools/test.py --fold`` wrote.
        fold: 0-based.

    Returns:
        As :func:`mmssp.evaluation.results.read_results`.

    Raises:
        ValueError: If they are another fold's.
    """
    results = read_results(path)
    if results.get('fold') != fold:
        raise ValueError(f'{path} is of fold {results.get("fold")}: expected {fold}')
    return results


def mean_over_folds(
    results: Mapping[int, Mapping[str, Any]], resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Scores of several folds and their mean.

    Args:
        results: Fold → as :func:`read_fold`.
        resamples: Bootstrap samples for the mean's interval.
        seed: The only source of chance.

    Returns:
        ``protocol``, ``protocol_version``; ``benchmark``, None for data of one's own;
        ``departures``, of any fold, with the folds they are of in brackets where not
        all; ``folds``, a dict of ``fold``, ``mIoU``,
        ``mIoU_std``, ``mIoU_95``, ``FB-IoU`` and ``per_class`` for each; and ``mean``:
        ``mIoU``, ``mIoU_95`` and ``FB-IoU`` as means over folds, and ``mIoU_std``, the
        deviation over runs of the mean over folds (None where folds have not the same
        runs). In percent.

    Raises:
        ValueError: If protocols differ.
    """
    protocols = {(r['protocol'], r['protocol_version']) for r in results.values()}
    if len(protocols) != 1:
        raise ValueError(f'folds were tested by several protocols: {sorted(protocols)}')
    ((protocol, version),) = protocols
    undrawn_classes_count = get_protocol(protocol).undrawn_classes_count
    samples, by_run, rows = [], [], []
    for fold, own in results.items():
        # every fold draws anew: equal draws would tie episode i of one to that of another
        drawn = bootstrap_scores(
            [own['episodes']],
            list(own['class_names']),
            undrawn_classes_count,
            resamples,
            [seed, fold],
        )
        samples.append(drawn['mIoU'][0])
        by_run.append({run['run']: run['mIoU'] for run in own['runs']})
        names = ('mIoU', 'mIoU_std', 'mIoU_95', 'FB-IoU', 'per_class')
        rows.append(dict(fold=fold, **{name: own.get(name) for name in names}))
    deviation = None
    if all(runs.keys() == by_run[0].keys() for runs in by_run):
        means = np.mean([[runs[r] for r in by_run[0]] for runs in by_run], axis=0)
        deviation = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
    return {
        'protocol': protocol,
        'protocol_version': version,
        'benchmark': next(
            (r['benchmark'] for r in results.values() if r['benchmark']), None
        ),
        'departures': _departures(results),
        'folds': rows,
        'mean': {
            'mIoU': float(np.mean([row['mIoU'] for row in rows])),
            'mIoU_std': deviation,
            'mIoU_95': np.percentile(np.mean(samples, 0), [2.5, 97.5]).tolist(),
            'FB-IoU': float(np.mean([row['FB-IoU'] for row in rows])),
        },
    }


def _departures(results: Mapping[int, Mapping[str, Any]]) -> list[str]:
    folds: dict[str, list[int]] = {}
    for fold, own in results.items():
        for text in own['departures']:
            folds.setdefault(text, []).append(fold)
    return [
        text
        if len(of) == len(results)
        else f'{text} (fold {", ".join(map(str, of))} only)'
        for text, of in folds.items()
    ]

"""Two tests on the same episodes: what differs, and how sure that is. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..protocols import get_protocol
from ..utils.files import file_name
from .bootstrap import bootstrap_scores
from .scores import score_runs

SETTINGS = ('split', 'fold', 'shots', 'seeds', 'num_episodes')


def check_comparable(
    a: Mapping[str, Any], b: Mapping[str, Any], names: Sequence[str] = ('A', 'B')
) -> None:
    """Whether two results are of the same protocol, classes and episodes.

    The same query and supports under another folder are the same: files tested on
    another machine compare, as long as all file names agree.

    Args:
        a: As :func:`mmssp.evaluation.results.read_results` gives it.
        b: Likewise.
        names: What messages call the two.

    Raises:
        ValueError: If not; saying what differs and where first.
    """
    protocols = [f'{x["protocol"]} v{x["protocol_version"]}' for x in (a, b)]
    if protocols[0] != protocols[1]:
        raise ValueError(
            f'{names[0]} was tested by protocol {protocols[0]}, {names[1]} by '
            f'{protocols[1]}: such scores do not compare; test both by the same one'
        )
    settings = [
        f'{name} {a.get(name)} against {b.get(name)}'
        for name in SETTINGS
        if a.get(name) != b.get(name)
    ]
    hint = f' (settings differ: {"; ".join(settings)})' if settings else ''
    advice = 'test both with the same fold, shots, runs and episodes on the same data'
    ours, theirs = ({(r['run'], r['index']): r for r in x['episodes']} for x in (a, b))
    for these, those, name in ((ours, theirs, names[0]), (theirs, ours, names[1])):
        only = [key for key in these if key not in those]
        if only:
            raise ValueError(
                f'{len(only)} of {len(these)} episodes are in {name} only, the first '
                f'of them run {only[0][0]}, episode {only[0][1]}{hint}; {advice}'
            )
    if any(_images(ours[key]) != _images(theirs[key]) for key in ours):
        differing = [
            key for key in ours if _file_names(ours[key]) != _file_names(theirs[key])
        ]
        if differing:
            first = differing[0]
            raise ValueError(
                f'{len(differing)} of {len(ours)} episodes differ, the first of them '
                f'run {first[0]}, episode {first[1]}: {_describe(ours[first])} in '
                f'{names[0]}, {_describe(theirs[first])} in {names[1]}{hint}; {advice}'
            )
    if a['class_names'] != b['class_names']:
        apart = [
            sorted(set(x['class_names'].items()) - set(y['class_names'].items()))
            for x, y in ((a, b), (b, a))
        ]
        raise ValueError(
            f'the classes differ: {apart[0]} in {names[0]} only, {apart[1]} in {names[1]} '
            f'only; {advice}'
        )


def _images(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return record['class_id'], record['query'], record['supports']


def _file_names(record: Mapping[str, Any]) -> tuple[Any, ...]:
    paths = record['query'], *record['supports']
    return record['class_id'], *(file_name(path) for path in paths)


def _describe(record: Mapping[str, Any]) -> str:
    supports = ', '.join(file_name(path) for path in record['supports'])
    return (
        f'class {record["class_id"]}, query {file_name(record["query"])}, '
        f'support {supports}'
    )


def two_sided_p(differences: np.ndarray) -> float:
    """How surprising a difference at least as clear would be if there were none.

    Twice the share of resamples on the rarer side of zero, zeros on both sides; one
    is added to count and number, so that it is never 0 (Davison and Hinkley 1997, §4.2).

    Args:
        differences: (R,) bootstrapped differences.

    Returns:
        In (0, 1].
    """
    rarer = min((differences <= 0).sum(), (differences >= 0).sum())
    return float(min(1.0, 2 * (rarer + 1) / (len(differences) + 1)))


def episode_differences(
    a: Mapping[str, Any], b: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """How the foreground IoU of each episode differs.

    Args:
        a: As :func:`check_comparable`, which it has passed with ``b``.
        b: Likewise.

    Returns:
        ``run``, ``index``, ``class_id``, ``class_name``, ``query``, ``a``, ``b`` (IoU
        in percent) and ``difference`` (b - a); ascending by that, then by (run, index).
        Episodes without a foreground pixel in union have no IoU and are left out.
    """
    rows = []
    for first, second in zip(a['episodes'], b['episodes'], strict=True):
        if not (first['union'][1] and second['union'][1]):
            continue
        iou = [100.0 * r['intersection'][1] / r['union'][1] for r in (first, second)]
        rows.append(
            dict(
                run=first['run'],
                index=first['index'],
                class_id=first['class_id'],
                class_name=a['class_names'][first['class_id']],
                query=first['query'],
                a=iou[0],
                b=iou[1],
                difference=iou[1] - iou[0],
            )
        )
    return sorted(rows, key=lambda row: row['difference'])


def gains_and_losses(
    a: Mapping[str, Any], b: Mapping[str, Any], number: int
) -> tuple[list[Any], list[Any]]:
    """The episodes in which B is better by most, and those in which it is worse by most.

    Args:
        a: As :func:`episode_differences`.
        b: Likewise.
        number: At most that many of each; an episode without a difference is neither.

    Returns:
        Gains, the largest first; losses, the largest first.

    Raises:
        ValueError: If ``number`` is less than 1.
    """
    if number < 1:
        raise ValueError(f'{number} episodes: expected 1 or more')
    rows = episode_differences(a, b)
    losses = [row for row in rows if row['difference'] < 0]
    # sorted anew: equal gains keep the order of episodes
    gains = sorted(
        (row for row in rows if row['difference'] > 0), key=lambda r: -r['difference']
    )
    return gains[:number], losses[:number]


def compare(
    a: Mapping[str, Any], b: Mapping[str, Any], resamples: int = 10000, seed: int = 0
) -> dict[str, Any]:
    """Differences B - A with paired bootstrap intervals over episodes.

    What the intervals span is the choice of episodes: not another training, nor another
    data set. Those of classes are each by itself: of 20 classes without any difference,
    one lies outside its interval on average.

    Args:
        a: As :func:`check_comparable`, which it has passed with ``b``.
        b: Likewise.
        resamples: Bootstrap samples.
        seed: The only source of chance.

    Returns:
        ``mIoU`` and ``FB-IoU``: dicts of ``a``, ``b``, ``difference``, ``interval``
        (2.5th and 97.5th percentile) and ``p`` (see :func:`two_sided_p`);
        ``per_class``: a list of dicts of ``class_id``, ``class_name`` and the same
        without ``p``, the largest difference first, classes that were not drawn left
        out. In percent.

    Raises:
        ValueError: If ``resamples`` or ``seed`` is out of range.
    """
    names = a['class_names']
    undrawn_classes_count = get_protocol(a['protocol']).undrawn_classes_count
    own = [x['episodes'] for x in (a, b)]
    scores = [
        score_runs(records, list(names), undrawn_classes_count) for records in own
    ]
    samples = bootstrap_scores(own, list(names), undrawn_classes_count, resamples, seed)
    compared = {}
    for name in ('mIoU', 'FB-IoU'):
        differences = samples[name][1] - samples[name][0]
        compared[name] = dict(
            _difference(scores[0][name], scores[1][name], differences),
            p=two_sided_p(differences),
        )
    per_class = []
    for i, c in enumerate(names):
        first, second = (score['per_class'][c] for score in scores)
        if not np.isnan(first):
            class_samples = samples['per_class'][:, :, i]
            row = _difference(first, second, class_samples[1] - class_samples[0])
            per_class.append(dict(class_id=c, class_name=names[c], **row))
    per_class.sort(key=lambda row: -abs(row['difference']))
    return dict(compared, per_class=per_class)


def _difference(a: float, b: float, samples: np.ndarray) -> dict[str, Any]:
    """Two scores, their difference, and its interval by the samples of it, nan apart."""
    samples = samples[~np.isnan(samples)]
    interval = np.percentile(samples, [2.5, 97.5]).tolist() if len(samples) else None
    return dict(a=a, b=b, difference=b - a, interval=interval)

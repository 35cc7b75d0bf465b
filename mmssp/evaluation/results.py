"""The files that a test leaves: read and checked; and reports written beside them."""

import json
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from ..protocols import get_protocol
from ..utils.files import atomic_path, unwritable
from ..utils.json_files import read_json
from .scores import score_runs

ORIGIN = 'expected a file that tools/test.py --out wrote'
LARGEST = 2**40
"""Of all whole numbers in a file: sums of them stay exact."""

ROUNDING = 1e-6
"""Percent that scores may be off."""


def _is_whole(value: object) -> bool:
    # True is no number
    return type(value) is int and -LARGEST <= value <= LARGEST


def _is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float)


def _is_score(value: object) -> bool:
    # neither NaN nor an integer beyond floats compares so; means round
    return _is_number(value) and -ROUNDING <= value <= 100 + ROUNDING


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_scores_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(
        score is None or _is_score(score) for score in value.values()
    )


def _is_interval(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_is_number(end) and abs(end) <= LARGEST for end in value)
    )


def _are_runs(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(run, dict)
        and _is_whole(run.get('run'))
        and _is_score(run.get('mIoU'))
        for run in value
    )


def _are_class_names(value: object) -> bool:
    return isinstance(value, dict) and all(
        text.isdecimal() and len(text) < 10 and isinstance(name, str)
        for text, name in value.items()
    )


KINDS = {
    'protocol': _is_text,
    'protocol_version': _is_whole,
    'mIoU': _is_score,
    'mIoU_std': _is_score,
    'FB-IoU': _is_score,
    'per_class': _are_scores_by_name,
    'episodes': lambda value: isinstance(value, list),
}
OPTIONAL_KINDS = {
    'benchmark': _is_text,
    'departures': _are_texts,
    'fold': _is_whole,
    'num_episodes': _is_whole,
    'class_names': _are_class_names,
    'mIoU_95': _is_interval,
    'runs': _are_runs,
}
"""Of these, files of earlier versions lack some."""
EPISODE_KINDS = {
    'run': _is_whole,
    'index': _is_whole,
    'class_id': _is_whole,
    'query': _is_text,
    'supports': _are_texts,
}


def read_results(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What ``tools/test.py --out`` wrote.

    Args:
        path: The JSON file.

    Returns:
        Its content; ``episodes`` in order of (run, index), ``class_names`` as
        {class id (int): name} of all classes that episodes can be about, ascending;
        ``benchmark``, None for data of one's own, ``'unknown'`` in files of 0.1;
        ``runs`` as :func:`mmssp.evaluation.scores.score_runs` gives them.

    Raises:
        FileNotFoundError: If it cannot be read.
        ValueError: If it is no such file, holds no episode or the same one twice, or
            its episodes don't give the scores that it states.
    """
    report = read_json(path, ORIGIN)
    missing = list(KINDS)
    if isinstance(report, dict):
        given = {k for k in OPTIONAL_KINDS if report.get(k) is not None}
        optional = {k: fits for k, fits in OPTIONAL_KINDS.items() if k in given}
        missing = _unfit(report, KINDS | optional)
    if missing:
        raise ValueError(f'{path} has no usable {", ".join(missing)}: {ORIGIN}')
    if not report['episodes']:
        raise ValueError(f'{path} holds no episode: {ORIGIN}')
    seen = set()
    for position, record in enumerate(report['episodes']):
        unfit = _unfit_in_record(record)
        if unfit:
            raise ValueError(
                f'{path}: episodes[{position}] has no usable {", ".join(unfit)}: {ORIGIN}'
            )
        key = record['run'], record['index']
        if key in seen:
            raise ValueError(
                f'{path} holds run {key[0]}, episode {key[1]} twice: expected each once'
            )
        seen.add(key)
    episodes = sorted(report['episodes'], key=lambda r: (r['run'], r['index']))
    drawn = sorted({record['class_id'] for record in episodes})
    names = _class_names(report, drawn, path)
    runs = _check_scores(report, episodes, names, path)
    return dict(
        report,
        benchmark=report.get('benchmark', 'unknown'),
        departures=list(report.get('departures') or []),
        episodes=episodes,
        class_names=names,
        runs=runs,
    )


def write_report(path: str | os.PathLike[str], report: dict[str, Any]) -> None:
    """Write JSON; the file appears whole or not at all. Folders are made.

    Args:
        path: The file.
        report: Of numbers that are finite, or None.

    Raises:
        OSError: If it cannot be written.
    """
    text = json.dumps(report, allow_nan=False)
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text)
    except (OSError, ValueError) as error:  # or a name that no system can have
        raise OSError(unwritable(path, error)) from error


def _unfit(
    content: dict[str, Any], kinds: Mapping[str, Callable[[object], bool]]
) -> list[str]:
    """Names whose values are not there or of another kind."""
    return [name for name, fits in kinds.items() if not fits(content.get(name))]


def _unfit_in_record(record: object) -> list[str]:
    if not isinstance(record, dict):
        return [*EPISODE_KINDS, 'intersection', 'union']
    unfit = _unfit(record, EPISODE_KINDS)
    both, either = record.get('intersection', ()), record.get('union', ())
    bad = [
        name
        for name, pixels in (('intersection', both), ('union', either))
        if not isinstance(pixels, list)
        or len(pixels) != 2
        or not all(_is_whole(value) and value >= 0 for value in pixels)
    ]
    if not bad and any(i > u for i, u in zip(both, either, strict=True)):
        bad = ['intersection (more pixels than the union)']
    return unfit + bad


def _check_scores(
    report: dict[str, Any],
    episodes: list[dict[str, Any]],
    names: dict[int, str],
    path: object,
) -> list[dict[str, Any]]:
    """Files changed by hand, and those that another version would score differently."""
    undrawn_classes_count = get_protocol(report['protocol']).undrawn_classes_count
    scores = score_runs(episodes, list(names), undrawn_classes_count)
    stated = {name: report[name] for name in ('mIoU', 'mIoU_std', 'FB-IoU')}
    found = {name: scores[name] for name in stated}
    if report.get('runs') is not None:
        stated |= {f'mIoU of run {r["run"]}': r['mIoU'] for r in report['runs']}
        found |= {f'mIoU of run {r["run"]}': r['mIoU'] for r in scores['runs']}
    if report.get('class_names') is not None:
        stated |= {f'IoU of {c}': iou for c, iou in report['per_class'].items()}
        found |= {f'IoU of {names[c]}': iou for c, iou in scores['per_class'].items()}
    for name in sorted({*stated, *found}):
        says, gives = stated.get(name), found.get(name)
        gives = None if gives is None or math.isnan(gives) else gives
        if says is None or gives is None:
            same = says is gives
        else:
            same = math.isclose(says, gives, rel_tol=0, abs_tol=ROUNDING)
        if not same:
            raise ValueError(
                f'{path}: its episodes give {name} {_score(gives)}, but it says '
                f'{_score(says)}: it was changed, or another version wrote it; test again'
            )
    return scores['runs']


def _score(value: float | None) -> str:
    return 'none' if value is None else f'{value:.4f}'


def _class_names(
    report: dict[str, Any], drawn: list[int], path: object
) -> dict[int, str]:
    names = report.get('class_names')
    if names is not None:
        by_id = {int(c): names[c] for c in sorted(names, key=int)}
        missing = [c for c in drawn if c not in by_id]
        if missing or len({*by_id.values()}) < len(names):
            raise ValueError(
                f'{path}: class_names does not name the classes of its episodes by '
                f'their ids: {ORIGIN}'
            )
        return by_id
    # files before class_names: the classes drawn are those that have a score
    scored = [name for name, iou in report['per_class'].items() if iou is not None]
    if len(scored) != len(drawn):
        raise ValueError(
            f'{path}: {len(scored)} classes have a score, episodes are about '
            f'{len(drawn)}: {ORIGIN}'
        )
    undrawn = [name for name, iou in report['per_class'].items() if iou is None]
    # whatever ids: no episode is about them, they only count
    unused = range(max(drawn) + 1, max(drawn) + 1 + len(undrawn))
    return {
        **dict(zip(drawn, scored, strict=True)),
        **dict(zip(unused, undrawn, strict=True)),
    }

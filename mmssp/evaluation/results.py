"""The files that a test leaves: read and checked; and reports written beside them."""

import json
import math
import os
import tempfile
from pathlib import Path

from ..utils.files import atomic_path
from ..utils.json_files import read_json
from .protocols import get_protocol
from .scores import score_runs

ORIGIN = 'expected a file that tools/test.py --out wrote'
KINDS = {
    'protocol': str,
    'protocol_version': int,
    'mIoU': (int, float),
    'mIoU_std': (int, float),
    'FB-IoU': (int, float),
    'per_class': dict,
    'episodes': list,
}
EPISODE_KINDS = {'run': int, 'index': int, 'class_id': int, 'query': str}


def read_results(path: str | os.PathLike) -> dict:
    """What ``tools/test.py --out`` wrote.

    Args:
        path: The JSON file.

    Returns:
        Its content; ``episodes`` in order of (run, index), ``class_names`` as
        {class id (int): name} of all classes that episodes can be about, ascending.

    Raises:
        FileNotFoundError: If it cannot be read.
        ValueError: If it is no such file, holds no episode or the same one twice, or
            its episodes don't give the scores that it states.
    """
    report = read_json(path, ORIGIN)
    missing = _unfit(report, KINDS) if isinstance(report, dict) else list(KINDS)
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
    _check_scores(report, episodes, names, path)
    return dict(
        report,
        departures=list(report.get('departures') or []),
        episodes=episodes,
        class_names=names,
    )


def write_report(path: str | os.PathLike, report: dict) -> None:
    """Write JSON; the file appears whole or not at all. Folders are made.

    Args:
        path: The file.
        report: Of numbers that are finite, or None.

    Raises:
        OSError: If it cannot be written.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(report, allow_nan=False))
    except OSError as error:
        raise OSError(_unwritable(path, error)) from error


def check_writable(path: str | os.PathLike) -> None:
    """Fail now rather than after the work whose result shall go into a file.

    Args:
        path: The file; its folder is made.

    Raises:
        OSError: If it cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise OSError(_unwritable(path, error)) from error
    if path.is_dir():
        raise OSError(f'{path} is a folder: name a file to write in it')


def _unwritable(path: str | os.PathLike, error: OSError) -> str:
    return f'{path} cannot be written ({error.strerror}): choose another place'


def _unfit(content: dict, kinds: dict) -> list[str]:
    """Names whose values are not there or of another kind; True is no number."""
    return [
        name
        for name, kind in kinds.items()
        if not isinstance(content.get(name), kind) or isinstance(content[name], bool)
    ]


def _unfit_in_record(record: object) -> list[str]:
    if not isinstance(record, dict):
        return [*EPISODE_KINDS, 'supports', 'intersection', 'union']
    unfit = _unfit(record, EPISODE_KINDS)
    supports = record.get('supports')
    if not isinstance(supports, list) or not all(isinstance(s, str) for s in supports):
        unfit.append('supports')
    both, either = record.get('intersection'), record.get('union')
    bad = [
        name
        for name, pixels in (('intersection', both), ('union', either))
        if not isinstance(pixels, list)
        or len(pixels) != 2
        or not all(type(value) is int and value >= 0 for value in pixels)
    ]
    if not bad and any(i > u for i, u in zip(both, either, strict=True)):
        bad = ['intersection (more pixels than the union)']
    return unfit + bad


def _check_scores(
    report: dict, episodes: list[dict], names: dict[int, str], path: object
) -> None:
    """Files changed by hand, and those that another version would score differently."""
    undrawn_classes_count = get_protocol(report['protocol']).undrawn_classes_count
    scores = score_runs(episodes, list(names), undrawn_classes_count)
    for name in ('mIoU', 'FB-IoU'):
        if not math.isclose(report[name], scores[name], rel_tol=0, abs_tol=1e-6):
            raise ValueError(
                f'{path}: its episodes give {name} {scores[name]:.4f}, but it says '
                f'{report[name]:.4f}: it was changed, or another version wrote it; test '
                'again'
            )


def _class_names(report: dict, drawn: list[int], path: object) -> dict[int, str]:
    names = report.get('class_names')
    if names is not None:
        missing = [c for c in drawn if str(c) not in names]
        if missing or not all(text.isdecimal() for text in names):
            raise ValueError(
                f'{path}: class_names does not name the classes of its episodes by '
                f'their ids: {ORIGIN}'
            )
        return {int(c): names[c] for c in sorted(names, key=int)}
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

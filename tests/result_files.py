"""Results as tools/test.py writes them, of episodes that are made up."""

import json
from pathlib import Path

import numpy as np

from mmssp.evaluation import get_protocol, score_runs
from mmssp.evaluation.results import read_results

NAMES = {6: 'bus', 7: 'car', 8: 'cat', 9: 'chair', 10: 'cow'}


def make_records(
    runs: int = 2,
    episodes: int = 12,
    classes: int = 3,
    better: float = 0,
    seed: int = 0,
) -> list[dict]:
    """Records of the same episodes for any ``better``, which raises each IoU by chance.

    Class, images and truth follow from ``seed`` alone; ``better`` is in pixels of 1,000.
    """
    rng = np.random.default_rng(seed)
    records = []
    for run in range(runs):
        for index in range(episodes):
            class_id = sorted(NAMES)[int(rng.integers(classes))]
            both, more = int(rng.integers(100, 600)), int(better * rng.random())
            rest = int(rng.integers(0, 9000))
            records.append(
                dict(
                    run=run,
                    index=index,
                    class_id=class_id,
                    query=f'/data/{rng.integers(50):06d}.jpg',
                    supports=[f'/data/{rng.integers(50):06d}.jpg'],
                    intersection=[rest, both + more],
                    union=[rest + 1000 - both - more, 1000],
                )
            )
    return records


def make_report(records: list[dict], protocol: str = 'ssp', **changes) -> dict:
    """The file's content around records."""
    rules = get_protocol(protocol)
    scores = score_runs(records, list(NAMES), rules.undrawn_classes_count)

    def named(per_class: dict) -> dict:
        return {NAMES[c]: None if v != v else v for c, v in per_class.items()}

    runs = sorted({record['run'] for record in records})
    report = {
        'protocol': protocol,
        'protocol_version': rules.version,
        'departures': [],
        'split': 'novel',
        'fold': 1,
        'shots': 1,
        'seeds': runs,
        'num_episodes': len(records) // max(len(runs), 1),
        'class_names': {str(c): name for c, name in NAMES.items()},
        'mIoU': scores['mIoU'],
        'mIoU_std': scores['mIoU_std'],
        'mIoU_95': [scores['mIoU'] - 1, scores['mIoU'] + 1],
        'FB-IoU': scores['FB-IoU'],
        'per_class': named(scores['per_class']),
        'runs': [dict(r, per_class=named(r['per_class'])) for r in scores['runs']],
        'episodes': records,
    }
    return {**report, **changes}


def write_results(path: Path, records: list[dict], **changes) -> Path:
    path.write_text(json.dumps(make_report(records, **changes)))
    return path


def results(folder: Path, records: list[dict], **changes) -> dict:
    """As they are read."""
    return read_results(write_results(folder / 'results.json', records, **changes))

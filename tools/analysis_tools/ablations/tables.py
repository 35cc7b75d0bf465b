"""Figures of rows as Markdown for people, JSON for programs, and a picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from mmssp.evaluation.scores import score_runs
from mmssp.utils.files import atomic_path

BAR = 0.8
COLOURS = ('#7aa6c2', '#c2703d', '#4d7c5a', '#8a6aa8', '#b0a04a', '#777777')


def figures(
    records: Sequence[Mapping[str, Any]], class_ids: Sequence[int]
) -> dict[str, Any]:
    """What the records of a row say: scores in percent, cost in ms and KiB."""
    scores = score_runs(records, class_ids)
    return dict(
        mIoU=scores['mIoU'],
        mIoU_std=scores['mIoU_std'] if len(scores['runs']) > 1 else None,
        FB_IoU=scores['FB-IoU'],
        per_class=scores['per_class'],
        episodes=len(records),
        match_ms=1e3 * median(record['seconds'] for record in records),
        state_KiB=max(record['bytes'] for record in records) / 2**10,
    )


def markdown(results: Sequence[Mapping[str, Any]], about: Sequence[str]) -> str:
    """One Markdown table for each of the tables; differences are from its first row.

    Args:
        results: ``table``, ``row``, ``column`` (weights and shots), and what
            :func:`figures` gives, in order.
        about: Lines for below: versions, hardware, episodes.
    """
    parts = []
    for table in dict.fromkeys(r['table'] for r in results):
        own = [r for r in results if r['table'] == table]
        columns = list(dict.fromkeys(r['column'] for r in own))
        found = {(r['row'], r['column']): r for r in own}
        first = own[0]['row']
        lines = [
            '| ' + ' | '.join([table, *columns, 'ms', 'KiB']) + ' |',
            '|---|' + '---:|' * (len(columns) + 2),
        ]
        for row in dict.fromkeys(r['row'] for r in own):
            cells = [row]
            for column in columns:
                cells.append(
                    _score(found.get((row, column)), found.get((first, column)))
                )
            costs = [found[row, c] for c in columns if (row, c) in found]
            cells.append(f'{max(c["match_ms"] for c in costs):.1f}')
            cells.append(f'{max(c["state_KiB"] for c in costs):.1f}')
            lines.append('| ' + ' | '.join(cells) + ' |')
        parts.append('\n'.join(lines))
    return '\n\n'.join([*parts, '\n'.join(f'- {line}' for line in about)]) + '\n'


def _score(found: Mapping[str, Any] | None, first: Mapping[str, Any] | None) -> str:
    if found is None:
        return '–'
    text = f'{found["mIoU"]:.1f}'
    if found['mIoU_std'] is not None:
        text += f' ± {found["mIoU_std"]:.1f}'
    if first is not None and first is not found:
        text += f' ({found["mIoU"] - first["mIoU"]:+.1f})'
    return text


def write_json(
    path: Path, results: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
) -> None:
    """All figures, unrounded."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(dict(about=about, rows=results), indent=1))


def picture(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Bars of mIoU: a panel for each table, a colour for each column."""
    tables = list(dict.fromkeys(r['table'] for r in results))
    heights = [
        len({r['row'] for r in results if r['table'] == table}) for table in tables
    ]
    with matplotlib.rc_context({'font.size': 8}):
        drawn = Figure(figsize=(8, 1 + 0.32 * sum(heights) + 0.4 * len(tables)))
        panels = drawn.subplots(
            len(tables), squeeze=False, gridspec_kw=dict(height_ratios=heights)
        )[:, 0]
        for table, panel in zip(tables, panels, strict=True):
            _panel(panel, [r for r in results if r['table'] == table])
            panel.set_title(table, loc='left')
        panels[-1].set_xlabel('mIoU, percent')
        drawn.tight_layout()
        with atomic_path(path) as temporary:
            drawn.savefig(temporary, dpi=120)


def _panel(panel: Any, own: Sequence[Mapping[str, Any]]) -> None:
    rows = list(dict.fromkeys(r['row'] for r in own))
    columns = list(dict.fromkeys(r['column'] for r in own))
    thick = BAR / len(columns)
    for k, column in enumerate(columns):
        found = {r['row']: r for r in own if r['column'] == column}
        places = [i for i, row in enumerate(rows) if row in found]
        panel.barh(
            [i - BAR / 2 + (k + 0.5) * thick for i in places],
            [found[rows[i]]['mIoU'] for i in places],
            thick,
            xerr=[found[rows[i]]['mIoU_std'] or 0 for i in places],
            color=COLOURS[k % len(COLOURS)],
            label=column,
        )
    panel.set_yticks(range(len(rows)), rows)
    panel.invert_yaxis()
    panel.spines[['top', 'right']].set_visible(False)
    panel.legend(loc='lower right', fontsize=7, frameon=False)

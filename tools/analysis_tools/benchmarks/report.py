"""Rows of figures as a table for people, and as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prettytable import MARKDOWN, PrettyTable

from mmssp.utils.files import atomic_path


def render(
    rows: Sequence[Mapping[str, Any]],
    machine: Mapping[str, Any],
    markdown: bool = False,
) -> str:
    """A table of each kind of rows, what they were measured on, and notes.

    Args:
        rows: See :func:`timing.make_row`; or other columns, by name.
        machine: See :func:`machine.describe`.
        markdown: Whether to write Markdown.
    """
    tables: dict[tuple, PrettyTable] = {}
    for row in rows:
        cells = _comparison(row) if 'times_faster' in row else _others(row)
        columns = tuple(cells)
        if columns not in tables:
            table = PrettyTable(list(columns))
            table.align = 'r'
            table.align[columns[0]] = 'l'
            if markdown:
                table.set_style(MARKDOWN)
            tables[columns] = table
        tables[columns].add_row(list(cells.values()))
    notes = [note for row in rows for note in row['notes']]
    bullet = '- ' if markdown else ''
    about = ', '.join(f'{name} {value}' for name, value in machine.items())
    parts = [table.get_string() for table in tables.values()]
    parts.append('\n'.join([f'{bullet}{about}', *(f'{bullet}{n}' for n in notes)]))
    return '\n\n'.join(parts)


def write_json(
    path: str | Path, rows: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]
) -> None:
    """Rows and machine, with numbers in full."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(dict(machine=machine, rows=rows), indent=2))


def _comparison(row: Mapping[str, Any]) -> dict[str, str]:
    unit = row['unit']
    return {
        'what': row['what'],
        'ours': _quantity(row['ours'], unit),
        'plain': _quantity(row['plain'], unit),
        'faster': f'{row["times_faster"]:.1f}×',
        'peak, ours': _mebibytes(row['ours_peak']),
        'peak, plain': _mebibytes(row['plain_peak']),
        'memory': _or_dash(row['memory_ratio'], '{:.2f}×'),
        'GFLOP': _or_dash(row['gflop'], '{:,.1f}'),
        'of matmul rate': _or_dash(row['matmul_share'], '{:.0%}'),
    }


def _others(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: f'{value:.2f}' if isinstance(value, float) else str(value)
        for name, value in row.items()
        if name != 'notes'
    }


def _quantity(value: float, unit: str) -> str:
    if unit == 's' and value < 1:
        return f'{value * 1e3:.3g} ms'
    return f'{value:,.4g} {unit}'


def _mebibytes(value: int | None) -> str:
    return '–' if value is None else f'{value / 2**20:,.0f} MiB'


def _or_dash(value: float | None, form: str) -> str:
    return '–' if value is None else form.format(value)

"""The progress bar that everything here shows."""

from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def progress_bar(console: Console, *more: ProgressColumn, **options: Any) -> Progress:
    """What it is, a bar, how many of how many, the time gone by and the time left.

    Args:
        console: Where to show it.
        *more: Columns behind these.
        **options: Of :class:`rich.progress.Progress`.
    """
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('ETA'),
        TimeRemainingColumn(),
        *more,
        console=console,
        **options,
    )

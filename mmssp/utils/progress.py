"""How far something is: a bar on terminals, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
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

Told = Callable[..., None]
"""Called with how much is done, and by keyword with another ``name`` of what goes on."""
QUIET_SECONDS = 10.0
"""Nothing is silent for longer than about this, where no bar can be shown."""
LEAST_SHARE = 0.01
"""Of the whole, between two lines, unless they are ``MOST_SECONDS`` apart."""
MOST_SECONDS = 60.0


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


class ProgressLines:
    """Lines for log files and pipes, which a bar would fill with thousands of them.

    There is one after some seconds without any, but not for less than a hundredth of
    the whole, unless a minute has gone by; so a long job has few, and a short one none.

    Args:
        name: What goes on.
        total: All that there is to do.
        done: Of that, before now.
        seconds: Without a line.
        clock: Seconds, rising.
        write: Gets each line; by default it is printed to stderr.
    """

    def __init__(
        self,
        name: str,
        total: float,
        done: float = 0,
        seconds: float = QUIET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] | None = None,
    ) -> None:
        self.name, self.total, self.seconds = name, total, seconds
        self.clock, self.write = clock, write or _to_stderr
        self._began = self._heard = clock()
        self._first = self._told = done

    def heard(self) -> None:
        """Something else has shown that the program is alive."""
        self._heard = self.clock()

    def update(self, done: float, more: str = '') -> None:
        """Say how far it is, if it is time to.

        Args:
            done: At most the total; nothing is said of the end.
            more: Text for the end of the line.
        """
        now = self.clock()
        quiet = now - self._heard
        small = done - self._told < LEAST_SHARE * self.total
        if done >= self.total or quiet < (MOST_SECONDS if small else self.seconds):
            return
        self._heard, self._told = now, done
        gone = now - self._began
        parts = [
            f'{self.name}: {done:g} of {self.total:g}',
            f'{_duration(gone)} gone',
        ]
        if done > self._first:
            left = gone * (self.total - done) / (done - self._first)
            parts.append(f'about {_duration(left)} left')
        self.write(', '.join([*parts, more] if more else parts))


def redrawn() -> bool:
    """Whether stderr is a terminal on which a line can be drawn again, for a bar.

    One that calls itself dumb cannot: a bar would stay unseen there.
    """
    return sys.stderr.isatty() and Console(file=sys.stderr).is_interactive


@contextmanager
def shown_progress(
    name: str, total: int, done: float = 0, progress: bool | None = None
) -> Iterator[Told]:
    """Show on stderr how far something is, while the block runs.

    Args:
        name: What goes on.
        total: All that there is to do.
        done: Of that, before now.
        progress: False shows nothing; True a bar, whatever stderr is; None a bar where
            one can be drawn, and lines elsewhere (:class:`ProgressLines`).

    Yields:
        What is to be called with the number that is done.
    """
    if progress is False:
        yield _untold
    elif progress or redrawn():
        with progress_bar(Console(stderr=True), transient=True) as bar:
            task = bar.add_task(name, total=total, completed=int(done))

            def moved(done: float, name: str | None = None) -> None:
                bar.update(task, completed=done, description=name)

            yield moved
    else:
        lines = ProgressLines(name, total, done, QUIET_SECONDS)

        def written(done: float, name: str | None = None) -> None:
            lines.name = name or lines.name
            lines.update(done)

        yield written


def _untold(done: float, name: str | None = None) -> None:
    pass


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

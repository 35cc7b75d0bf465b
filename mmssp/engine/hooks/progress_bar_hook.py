"""A progress bar with the time left on terminals, a line now and then elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from rich.console import Console
from rich.progress import Progress, TextColumn

from ...utils.progress import QUIET_SECONDS, ProgressLines, progress_bar, redrawn


@HOOKS.register_module()
class ProgressBarHook(Hook):
    """Shows how far training, validation or testing is and how long it will take.

    In validation and testing, also the mIoU of this process's episodes so far.

    On the main process, on stderr, if that is a terminal; log files, pipes and dumb
    terminals get a line when nothing else has been logged for some seconds. Log lines,
    warnings and tracebacks appear where the bar was, and the bar below them. A validation
    within a training has the bar to itself, then the training's is back. Nothing is left
    of it in the end, however that comes.

    The columns are rich's, for their running estimate of the speed, which a resumed
    training needs. Its live display is not used: it cannot see mmengine's log lines,
    whose handler holds the stream itself, and it leaves the cursor hidden when nobody
    stops it, as after Ctrl-C.

    Args:
        force: Show it although stderr is no terminal.
        refresh_seconds: Redraw at most that often.
        estimate_seconds: The time left is judged by the speed of that long; pauses for
            validation count.
        quiet_seconds: Without a terminal: a line after so long without one.
    """

    # After the hooks that log, so that the bar is back at once.
    priority = 'LOWEST'

    _line: 'StatusLine'
    """Where the bars are drawn; there is one while there are bars."""

    def __init__(
        self,
        force: bool = False,
        refresh_seconds: float = 0.1,
        estimate_seconds: float = 600.0,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self.force = force
        self.refresh_seconds = refresh_seconds
        self.estimate_seconds = estimate_seconds
        self.quiet_seconds = quiet_seconds
        self._bars: list[Progress] = []
        self._lines: list[ProgressLines] = []
        self._drawn_at = 0.0

    def before_run(self, runner: Runner) -> None:
        """Forget what an earlier run left when an exception ended it."""
        if self._bars:
            self._bars.clear()
            self._line.close()
        self._lines.clear()
        runner.logger.removeFilter(self._heard)
        runner.logger.addFilter(self._heard)

    def before_train(self, runner: Runner) -> None:
        """Start at the iteration that training resumes from."""
        self._start(runner, 'train', runner.max_iters, runner.iter)

    def before_val(self, runner: Runner) -> None:
        """Start a bar over the validation's batches."""
        self._start(runner, 'val', len(runner.val_dataloader))

    def before_test(self, runner: Runner) -> None:
        """Start a bar over the test's batches."""
        self._start(runner, 'test', len(runner.test_dataloader))

    def after_train(self, runner: Runner) -> None:
        """Remove the bar."""
        self._stop()

    def after_val(self, runner: Runner) -> None:
        """Remove the bar; back to the training's, if there is one."""
        self._stop()

    def after_test(self, runner: Runner) -> None:
        """Remove the bar."""
        self._stop()

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | dict[str, Any] | None = None,
        mode: str = 'train',
    ) -> None:
        """One batch more."""
        if self._bars:
            task = self._bars[-1].task_ids[0]
            self._bars[-1].update(task, advance=1, score=_running_score(runner, mode))
            self._draw()
        elif self._lines:
            done = runner.iter + 1 if mode == 'train' else batch_idx + 1
            self._lines[-1].update(done, _running_score(runner, mode))

    def _start(self, runner: Runner, name: str, total: int, done: int = 0) -> None:
        if not is_main_process():
            return
        if not (self.force or redrawn()):
            self._lines.append(ProgressLines(name, total, done, self.quiet_seconds))
            return
        if not self._bars:
            self._line = StatusLine(runner.logger)
        bar = progress_bar(
            Console(file=self._line.stream, force_terminal=True),
            TextColumn('{task.fields[score]}'),
            auto_refresh=False,
            speed_estimate_period=self.estimate_seconds,
        )
        bar.add_task(name, total=total, completed=done, score='')
        self._bars.append(bar)
        self._draw(now=True)

    def _stop(self) -> None:
        if self._lines:
            self._lines.pop()
        if not self._bars:
            return
        self._bars.pop()
        if self._bars:
            self._draw(now=True)
        else:
            self._line.close()

    def _heard(self, record: logging.LogRecord) -> bool:
        for lines in self._lines:
            lines.heard()
        return True

    def _draw(self, now: bool = False) -> None:
        waited = time.monotonic() - self._drawn_at
        if self._line.is_shown and waited < self.refresh_seconds and not now:
            return
        bar = self._bars[-1]
        with bar.console.capture() as capture:
            bar.console.print(bar.make_tasks_table(bar.tasks), no_wrap=True)
        self._line.show(capture.get().splitlines()[0].rstrip())
        self._drawn_at = time.monotonic()


def _running_score(runner: Runner, mode: str) -> str:
    """mIoU of this process's episodes so far, for metrics that know it."""
    if mode == 'train':
        return ''
    for metric in getattr(runner, f'{mode}_evaluator').metrics:
        miou = metric.running_miou() if hasattr(metric, 'running_miou') else None
        if miou is not None:
            return f'mIoU {miou:.1f}'
    return ''


class StatusLine:
    """The last line of the terminal on stderr, wiped before anything else is written.

    From construction to :meth:`close` it stands between the program and the streams
    that may share the terminal: ``sys.stdout``, ``sys.stderr`` and the logger's
    handlers. There is no thread and no terminal mode: if :meth:`close` never comes, all
    still passes through, the next output wipes the line, and nothing needs repair.

    Args:
        logger: Its handlers are watched too, since they hold streams of their own.

    Attributes:
        stream: The terminal itself.
        is_shown: Whether the line stands on it now.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.stream = sys.stderr
        self.is_shown = False
        self._proxies = {
            name: WatchedStream(getattr(sys, name), self.wipe)
            for name in ('stdout', 'stderr')
        }
        for name, proxy in self._proxies.items():
            setattr(sys, name, proxy)
        self._handlers = [
            handler
            for handler in logger.handlers
            if isinstance(handler, logging.StreamHandler)
            and not isinstance(handler, logging.FileHandler)
        ]
        for handler in self._handlers:
            handler.addFilter(self._wipe_for)

    def show(self, text: str) -> None:
        """Draw a text of one line over what is shown."""
        self.stream.write(f'\r{text}\x1b[K')
        self.stream.flush()
        self.is_shown = True

    def wipe(self) -> None:
        """Leave an empty line with the cursor at its beginning."""
        if self.is_shown:
            self.is_shown = False
            self.stream.write('\r\x1b[K')
            self.stream.flush()

    def close(self) -> None:
        """Wipe the line and step aside."""
        self.wipe()
        for name, proxy in self._proxies.items():
            # Unless someone has since put theirs over it.
            if getattr(sys, name) is proxy:
                setattr(sys, name, proxy.stream)
        for handler in self._handlers:
            handler.removeFilter(self._wipe_for)

    def _wipe_for(self, record: logging.LogRecord) -> bool:
        self.wipe()
        return True


class WatchedStream:
    """A text stream, and something to do before each write to it."""

    def __init__(self, stream: TextIO, before_write: Callable[[], None]) -> None:
        self.stream = stream
        self._before_write = before_write

    def write(self, text: str) -> int:
        self._before_write()
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

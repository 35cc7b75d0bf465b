"""Learning from the labelled images, as people see it: a bar, Ctrl-C, what came out."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType

from ..models.adaptation.budget import Budget, Report
from ..utils.progress import shown_progress

PERCENT = 100
STEPS = {'judging': 'learning what helps', 'learning': 'learning'}


@dataclass(frozen=True)
class Adapted:
    """What was learned of a class.

    Attributes:
        iterations: Of learning, for all classes together.
        seconds: Likewise.
        choice: What decides now, in words: decoder, matching, or a mixture.
        expected_iou: In [0, 1], by labelled images that were set aside in turn; it is
            rather low, since fewer images taught than are at hand. None where there
            was nothing to judge by, as with one image.
    """

    iterations: int
    seconds: float
    choice: str
    expected_iou: float | None

    def told(self, done: str) -> str:
        """What was done and what decides, for people.

        Args:
            done: Of learning, in words, where there was any.
        """
        if not self.iterations:
            done = 'nothing had to be learned'
        return f'{done}; {self.decided}'

    @property
    def decided(self) -> str:
        """What decides and how well, for people."""
        if self.expected_iou is None:
            return f'by {self.choice}'
        return f'by {self.choice}, expected IoU {self.expected_iou:.0%} or more'


@contextmanager
def watched(budget: Budget, progress: bool | Report) -> Iterator[None]:
    """A bar on stderr, or what is to be told, and an early end by Ctrl-C.

    A second Ctrl-C interrupts as always.
    """
    if not isinstance(progress, bool):
        budget.report = progress
    with ExitStack() as stack:
        if progress is True:
            told = stack.enter_context(shown_progress('learning', PERCENT))

            def report(share: float, what: str) -> None:
                told(round(PERCENT * share), name=STEPS.get(what, what))

            budget.report = report
        stack.enter_context(_stopped_by_interrupt(budget))
        yield


@contextmanager
def _stopped_by_interrupt(budget: Budget) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        budget.stopped = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

"""How long an adapter may learn, and who is told of it."""

import math
import time
from collections.abc import Callable, Iterator

from ...utils.checks import whole_number

Report = Callable[[float, str], None]
"""Called with the share of the budget that is used, in [0, 1], and what is being done."""


SHORT_SECONDS = 30
SHORT_ITERATIONS = 60


class Budget:
    """Time or iterations for learning from the labelled images.

    Learning rates and the like follow the share of the budget that is used, so a slow
    machine does fewer iterations of the same schedule. Only a number of iterations gives
    the same result again.

    Args:
        seconds: Of wall-clock time, above 0.
        iterations: Instead of it, 1 or more.
        report: See :data:`Report`.

    Attributes:
        stopped: Set it to have learning end after the iteration at hand.
        iterations_done: Of all parts.

    Raises:
        ValueError: If not exactly one of ``seconds`` and ``iterations`` is given, or it
            is out of range.
    """

    def __init__(
        self,
        seconds: float | None = None,
        iterations: int | None = None,
        report: Report | None = None,
    ) -> None:
        if (seconds is None) == (iterations is None):
            raise ValueError(
                f'seconds={seconds!r} and iterations={iterations!r}: expected one of them'
            )
        if iterations is not None:
            whole_number('iterations', iterations, 1)
        elif not _is_duration(seconds):
            raise ValueError(f'seconds={seconds!r}: expected a number above 0')
        self.seconds = seconds
        self.iterations = iterations
        self.report = report
        self.stopped = False
        self.iterations_done = 0
        self._start = time.monotonic()

    @property
    def is_short(self) -> bool:
        """Whether there is time for nothing but learning itself."""
        if self.iterations is not None:
            return self.iterations < SHORT_ITERATIONS
        return self.seconds is not None and self.seconds < SHORT_SECONDS

    @property
    def elapsed(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._start

    def steps(
        self, until: float, what: str, least: int = 0, latest: float = 1.0
    ) -> Iterator[float]:
        """The iterations of a part of the work, one at least.

        Args:
            until: Share of the budget, in (0, 1], that is used when the part ends; it
                begins where the part before ended.
            what: For the report.
            least: Iterations without which the part goes on, on a slow machine.
            latest: Share of the budget that is used when it ends all the same.

        Yields:
            How far the part is, in [0, 1).
        """
        first, done = self._used, 0
        ends = [share * self._whole for share in (until, latest)]
        if self.iterations is not None:
            ends = [round(end) for end in ends]
        while not self.stopped or not done:
            share, at_most = (self._passed(first, end) for end in ends)
            if least:
                share = max(at_most, min(share, done / least))
            if share >= 1 and done:
                break
            if self.report is not None:
                self.report(min(self._used / self._whole, 1.0), what)
            yield min(share, 0.999)
            done += 1
            self.iterations_done += 1

    @property
    def _whole(self) -> float:
        whole = self.seconds if self.iterations is None else self.iterations
        assert whole is not None
        return whole

    @property
    def _used(self) -> float:
        return self.elapsed if self.iterations is None else self.iterations_done

    def _passed(self, first: float, end: float) -> float:
        """Share of what lies between two points that is used."""
        length = end - first
        if self.iterations is not None:
            length = max(1, length)
        return (self._used - first) / length if length > 0 else math.inf


def _is_duration(seconds: object) -> bool:
    return (
        isinstance(seconds, (int, float))
        and not isinstance(seconds, bool)
        and math.isfinite(seconds)
        and seconds > 0
    )

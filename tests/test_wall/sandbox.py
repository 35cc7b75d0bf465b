"""Calls with broken input, in a process that may crash, hang or run out of memory."""

import gc
import multiprocessing
import os
import resource
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch
from hypothesis import HealthCheck, settings

from mmssp.utils.command import explanation

FUZZ = int(os.environ.get('MMSSP_FUZZ') or 0)
WHOLE = bool(os.environ.get('MMSSP_WALL'))
PART = 6  # of the inputs that are tried in every run
LEAST = 20
COUNTS: Counter = Counter()
MEMORY = 2 * 2**30
DEADLINE = 60.0  # seconds; a machine may be busy


def inputs(number: int) -> settings:
    """Settings for a part of so many inputs, the same ones each time.

    ``make wall`` tries all of them, and with $MMSSP_FUZZ it is so many new ones.
    """
    return settings(
        max_examples=FUZZ or (number if WHOLE else max(LEAST, number // PART)),
        derandomize=not FUZZ,
        deadline=None,  # the sandbox has one
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


class Sandbox:
    """A function whose every call gives the right answer, or a documented exception.

    Args:
        function: Called with broken input in a process of its own. It raises
            AssertionError where an answer is wrong.
        memory: Bytes that the process may take beyond what it has at the start.
        deadline: Seconds for each call.
    """

    def __init__(
        self, function: Callable, memory: int = MEMORY, deadline: float = DEADLINE
    ) -> None:
        self._function = function
        self._memory = memory
        self._deadline = deadline
        self._process = None

    def __enter__(self) -> 'Sandbox':
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def __call__(self, *arguments: Any) -> str | None:
        """Call it.

        Returns:
            The message where the input was refused, None where it was read.

        Raises:
            AssertionError: It answered wrongly, raised something that is not documented
                or that mmssp does not explain, crashed, hung or took too much memory.
        """
        if self._process is None:
            self._start()
        try:
            self._pipe.send(arguments)
            if not self._pipe.poll(self._deadline):
                raise AssertionError(f'no answer within {self._deadline} s')
            kind, text = self._pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionError):
            self._process.join()
            code = self._process.exitcode
            self._stop()
            raise AssertionError(f'the interpreter crashed: exit code {code}') from None
        except AssertionError:
            self._stop()
            raise
        COUNTS[kind] += 1
        if kind == 'failed':
            raise AssertionError(text)
        return text

    def _start(self) -> None:
        context = multiprocessing.get_context('fork')
        self._pipe, other = context.Pipe()
        # the child must not hold the parent's end, or it would never see it close
        self._process = context.Process(target=self._serve, args=(other, self._pipe))
        with _one_thread():
            self._process.start()
        other.close()

    def _serve(self, pipe: Any, others_end: Any) -> None:
        others_end.close()
        gc.freeze()  # mmengine collects garbage at every turn
        pages = int(Path('/proc/self/statm').read_text().split()[0])
        limit = pages * resource.getpagesize() + self._memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        while True:
            try:
                arguments = pipe.recv()
            except EOFError:
                return
            pipe.send(self._outcome(arguments))

    def _outcome(self, arguments: tuple) -> tuple[str, str | None]:
        try:
            self._function(*arguments)
        except Exception as error:
            # libraries assert as well; a test's own assertion is never explained
            message = explanation(error)
            if message and message.strip() and 'Traceback' not in message:
                return 'refused', message
            documented = isinstance(error, ValueError | OSError)
            why = 'not explained' if documented else 'not documented'
            return 'failed', f'{why}: {traceback.format_exc()}'
        except BaseException:
            return 'failed', 'not documented: ' + traceback.format_exc()
        return 'read', None

    def _stop(self) -> None:
        if self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
            self._process = None


@contextmanager
def _one_thread() -> Iterator[None]:
    """A fork has none of its parent's threads, and waits for ever if it is to end them:
    so the parent has none meanwhile."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def left_over(folder: Path) -> list[Path]:
    """Files that a writer should have removed: temporary ones, and empty ones."""
    return [
        path
        for path in folder.rglob('*')
        if path.is_file()
        and path.suffix != '.lock'
        and (path.name.startswith('.') or not path.stat().st_size)
    ]

"""One function over many items, in several processes, with a progress bar."""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .progress import shown_progress


def parallel_map(
    func: Callable[[Any], Any],
    tasks: Sequence[Any],
    workers: int | None = None,
    description: str = '',
    chunksize: int = 16,
) -> list[Any]:
    """``[func(task) for task in tasks]``, spread over processes.

    ``mmengine.track_parallel_progress`` leaves its pool running when ``func`` raises;
    here the pool ends with the call, whatever ends it.

    Args:
        func: A module-level (picklable) function of one task.
        tasks: The tasks; results come back in this order.
        workers: Processes; None takes the CPUs this process may use. With 1, or few
            tasks, all runs in this process.
        description: Printed to stderr before the bar; without a terminal there is a line
            now and then instead, see :func:`mmssp.utils.progress.shown_progress`.
        chunksize: Tasks handed to a process at a time.

    Returns:
        The results, in order.

    Raises:
        Exception: The first exception that ``func`` raised, as it was.
    """
    if workers is None:
        workers = (
            len(os.sched_getaffinity(0))
            if hasattr(os, 'sched_getaffinity')
            else (os.cpu_count() or 1)
        )
    workers = max(1, min(workers, len(tasks) // max(chunksize, 1)))
    if description:
        print(f'{description} ({workers} process(es))', file=sys.stderr)
    with contextlib.ExitStack() as stack:
        if workers == 1:
            done: Iterator[Any] = map(func, tasks)
        else:
            # fork: workers start in milliseconds; importing torch again takes seconds
            known = multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context('fork' if 'fork' in known else None)
            pool = stack.enter_context(
                context.Pool(workers, _leave_interrupts_to_the_parent)
            )
            done = pool.imap(func, tasks, chunksize)
        # after the fork, which copies no threads
        told = stack.enter_context(shown_progress('done', len(tasks)))
        results = []
        for result in done:
            results.append(result)
            told(len(results))
    return results


def _leave_interrupts_to_the_parent() -> None:
    """In a worker: Ctrl-C ends the pool through the parent, without a traceback each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

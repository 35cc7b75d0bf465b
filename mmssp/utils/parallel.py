"""One function over many items, in several processes, with a progress bar."""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mmengine.utils import ProgressBar


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
        description: Printed to stderr before the bar. The bar shows speed and ETA; it is
            there on a terminal only.
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
    # in a log file each update would be a line of its own
    bar = ProgressBar(len(tasks), file=sys.stderr) if sys.stderr.isatty() else None
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
        results = []
        for result in done:
            results.append(result)
            if bar is not None:
                bar.update()
    if bar is not None:
        print(file=sys.stderr)
    return results


def _leave_interrupts_to_the_parent() -> None:
    """In a worker: Ctrl-C ends the pool through the parent, without a traceback each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

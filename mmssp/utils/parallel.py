"""One function over many items, in several processes, with a progress bar."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mmengine.utils import ProgressBar


def parallel_map(
    func: Callable[[Any], Any],
    tasks: Sequence[Any],
    workers: int | None = None,
    description: str = '',
    chunksize: int = 16,
) -> list:
    """``[func(task) for task in tasks]``, spread over processes.

    ``mmengine.track_parallel_progress`` leaves its pool running when ``func`` raises;
    here the pool ends with the call, whatever ends it.

    Args:
        func: A module-level (picklable) function of one task.
        tasks: The tasks; results come back in this order.
        workers: Processes; None takes the CPUs this process may use. With 1, or few
            tasks, all runs in this process.
        description: Printed to stderr before the bar; the bar shows speed and ETA.
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
    bar = ProgressBar(len(tasks), file=sys.stderr)
    results = []
    if workers == 1:
        for task in tasks:
            results.append(func(task))
            bar.update()
    else:
        # fork: workers start in milliseconds, not in the seconds that importing torch takes
        method = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else None
        with multiprocessing.get_context(method).Pool(workers) as pool:
            for result in pool.imap(func, tasks, chunksize):
                results.append(result)
                bar.update()
    print(file=sys.stderr)
    return results

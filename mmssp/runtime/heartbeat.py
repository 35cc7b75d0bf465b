"""Noticing that a process of a job is gone, long before a collective's timeout does.

A process that waits for another cannot tell slow from gone; PyTorch's timeout must then be
as long as the slowest work, and torchrun or Slurm see only the processes of machines that
still answer. Here a thread of each process says every few seconds that it is there.
"""

import os
import sys
import threading
import uuid
from datetime import timedelta

import torch
from mmengine.dist import broadcast_object_list

# PyTorch's own types do not say that these are public, its documentation does
from torch.distributed import (  # type: ignore[attr-defined]
    PrefixStore,
    Store,
    TCPStore,
)

INTERVAL = 3.0
DEAD_AFTER = 45.0
VARIABLE = 'MMSSP_DEAD_AFTER'
"""Environment variable for other seconds than :data:`DEAD_AFTER`; 0 turns it all off."""
GONE = 'gone'


class Heartbeat:
    """Says that this process is there, and ends it when another is not.

    Rank 0 watches all, the others rank 0 and what it has found. Silence is counted in
    looks, not by the clock, so that a job that was suspended as a whole goes on. One
    thread looks, another one counts the time in which it does not come back: a store
    whose host is frozen never answers.

    Args:
        store: Shared by the processes of the job, by nothing else.
        rank: Of this process.
        world_size: Number of processes.
        interval: Seconds between two beats.
        dead_after: Seconds of silence after which a process counts as gone.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        world_size: int,
        interval: float = INTERVAL,
        dead_after: float = DEAD_AFTER,
    ) -> None:
        self.store = store
        self.rank = rank
        self.interval = interval
        self.looks = max(1, round(dead_after / interval))
        self._silence = dict.fromkeys([0] if rank else range(1, world_size), 0)
        self._last = dict.fromkeys(self._silence, 0)
        self._failed = 0
        self._looked = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=work, name='heartbeat', daemon=True)
            for work in (self._keep_looking, self._watch_the_looking)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more beats; to be called by all processes together."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=self.interval)

    def _keep_looking(self) -> None:
        while not self._stop.wait(self.interval):
            gone = self._look()
            self._looked += 1
            if gone and not self._stop.is_set():
                self._end(gone)

    def _watch_the_looking(self) -> None:
        before, stuck = 0, 0
        while not self._stop.wait(self.interval):
            stuck = stuck + 1 if self._looked == before else 0
            before = self._looked
            if stuck >= self.looks:
                self._end('the machine of rank 0')

    def _look(self) -> str | None:
        """Beat, and listen to the others; who is gone, in words."""
        try:
            self.store.add(str(self.rank), 1)
            # adding nothing reads a counter, which waits for nobody to set it
            if self.rank and self.store.add(GONE, 0):
                return f'rank {self.store.add(GONE, 0) - 1}'
            for other, last in self._last.items():
                beats = self.store.add(str(other), 0)
                self._silence[other] = self._silence[other] + 1 if beats == last else 0
                self._last[other] = beats
            self._failed = 0
        except RuntimeError:  # the store's host does not answer: counted as silence
            self._failed += 1
            return 'the machine of rank 0' if self._failed >= self.looks else None
        silent = [r for r, looks in self._silence.items() if looks >= self.looks]
        if silent and not self.rank:
            self.store.add(GONE, silent[0] + 1)
        return f'rank {", ".join(map(str, silent))}' if silent else None

    def _end(self, gone: str) -> None:
        print(
            f'error: rank {self.rank}: {gone} has not been heard of for '
            f'{self.looks * self.interval:.0f} s: the job ends ({VARIABLE}=SECONDS sets '
            'how long to wait)',
            file=sys.stderr,
            flush=True,
        )
        if not self.rank:
            # the store may live in this process: let the others read it
            self._stop.wait(2 * self.interval)
        # the main thread waits in a collective, and cannot be asked to end
        os._exit(1)


def start_heartbeat() -> Heartbeat | None:
    """The heartbeat of this process of a distributed job.

    Returns:
        None for a job of one process, or where it is turned off.

    Raises:
        ValueError: If the environment variable is no number of seconds.
    """
    value = os.environ.get(VARIABLE, str(DEAD_AFTER))
    try:
        dead_after = float(value)
    except ValueError as error:
        raise ValueError(
            f'{VARIABLE}={value}: expected seconds, or 0 for never'
        ) from error
    distributed = torch.distributed
    if dead_after <= 0 or not (
        distributed.is_available() and distributed.is_initialized()
    ):
        return None
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    if world_size == 1:
        return None
    # a connection of its own: the group's is taken while the main thread waits
    store = TCPStore(
        os.environ['MASTER_ADDR'],
        int(os.environ['MASTER_PORT']),
        is_master=False,
        wait_for_workers=False,
        timeout=timedelta(seconds=dead_after),
    )
    # a store may outlive the processes of a start that failed
    name = [f'mmssp_heartbeat_{uuid.uuid4().hex}']
    broadcast_object_list(name)
    return Heartbeat(
        PrefixStore(name[0], store),
        rank,
        world_size,
        interval=min(INTERVAL, dead_after / 4),
        dead_after=dead_after,
    )

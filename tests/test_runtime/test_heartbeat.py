"""Processes that are gone are noticed; processes that are slow are waited for."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from processes import forked, free_port

from mmssp.runtime.heartbeat import VARIABLE, start_heartbeat
from mmssp.runtime.launch import leave_together, watch_each_other


def work(seconds: float) -> None:
    """Keep Python busy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def slow_rank() -> None:
    os.environ[VARIABLE] = '1'
    torch.distributed.init_process_group('gloo')
    watch_each_other()
    if torch.distributed.get_rank() == 1:
        work(3)
    leave_together()


@pytest.mark.slow
def test_a_slow_process_is_waited_for():
    forked(2, slow_rank)


def vanishing_rank(
    rank: int, port: int, folder: Path, vanishing: int, is_host: bool
) -> None:
    """A machine without power closes no connection, like a process that is stopped."""
    sys.stderr = (folder / f'{rank}.txt').open('w')
    os.environ.update(
        {VARIABLE: '2', 'RANK': str(rank), 'WORLD_SIZE': '3'},
        MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port),
    )  # fmt: skip
    store = torch.distributed.TCPStore(
        '127.0.0.1', port, is_master=is_host, wait_for_workers=False
    )
    torch.distributed.init_process_group('gloo', store=store, rank=rank, world_size=3)
    watch_each_other()
    torch.distributed.barrier()
    if rank == vanishing:
        os.kill(os.getpid(), signal.SIGSTOP)
    torch.distributed.barrier()


@pytest.mark.slow
@pytest.mark.parametrize(('vanishing', 'host'), [(0, None), (1, None), (0, 0), (1, 0)])
def test_a_vanished_process_ends_the_others(vanishing, host, tmp_path):
    port = free_port()
    store = None
    if host is None:
        # as torchrun may, which then has the store in a process of its own
        store = torch.distributed.TCPStore(
            '127.0.0.1', port, is_master=True, wait_for_workers=False
        )
    context = multiprocessing.get_context('fork')
    ranks = [
        context.Process(
            target=vanishing_rank, args=(rank, port, tmp_path, vanishing, rank == host)
        )
        for rank in range(3)
    ]
    for process in ranks:
        process.start()
    try:
        for rank, process in enumerate(ranks):
            if rank != vanishing:
                process.join(timeout=60)
                assert process.exitcode == 1
                said = (tmp_path / f'{rank}.txt').read_text()
                assert f'rank {vanishing} has not been heard of for 2 s' in said
    finally:
        for process in ranks:
            process.kill()
    del store


def test_one_process_has_no_heartbeat():
    assert start_heartbeat() is None


def test_nonsense_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, 'soon')
    with pytest.raises(ValueError, match=f'{VARIABLE}=soon: expected seconds'):
        start_heartbeat()

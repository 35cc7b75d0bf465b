"""Starting several processes of a job, and watching that none is left."""

import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


def environment(**more: str) -> dict[str, str]:
    """For a process of a job: this checkout first, one thread."""
    path = [str(ROOT), str(ROOT / 'tests'), os.environ.get('PYTHONPATH', '')]
    return {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(filter(None, path)),
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '-1',
        'PYTHON': sys.executable,
        'PORT': str(free_port()),
        **more,
    }


def forked(processes: int, function: Callable, *args: object) -> None:
    """Call a function in some ranks of a job, forked from here: they start at once.

    They find the environment that torchrun gives, and use one thread each.
    """
    context = multiprocessing.get_context('fork')
    port = free_port()
    ranks = [
        context.Process(target=_as_rank, args=(rank, processes, port, function, args))
        for rank in range(processes)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(timeout=300)
    codes = [rank.exitcode for rank in ranks]
    for rank in ranks:
        rank.kill()
    assert codes == [0] * processes, codes


def _as_rank(
    rank: int, processes: int, port: int, function: Callable, args: tuple
) -> None:
    torch.set_num_threads(1)
    os.environ.update(
        CUDA_VISIBLE_DEVICES='-1',
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(processes),
        LOCAL_WORLD_SIZE=str(processes),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
    )
    function(*args)


def finish(command: list, env: dict[str, str] | None = None) -> str:
    """Run a command that has to succeed; returns all that it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        env=env or environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """Ask until the answer is true; returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f'{what}: not within {seconds} s')

"""Training and evaluation by several processes: measured, and what a model expects.

The model of the exchange: an iteration takes n processes as long as one, and the time to
send the gradients round the ring, at the bandwidth of an all-reduce alone; an evaluation
lasts as long as the largest share. By how much processes of one machine slow each other
down without any exchange is measured apart; numbers of processes that are only expected are
taken to have cores or GPUs of their own.
"""

import json
import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from torch import distributed

from mmssp.datasets.episodes import Episode
from mmssp.engine.loops.episode_plan import plan_visits, share
from mmssp.runtime.config import set_episodes
from mmssp.runtime.launch import leave_together, set_launcher

from .machine import Setup, usable_cpus
from .models import photo_batch, random_config, random_model
from .runners import loop_config, silent, silent_runner
from .scenes import write_voc
from .timing import timed
from .train_step import episode_batch

SIZES = {'cpu': 193, 'cuda': 473}
LEARNING_RATE = 1e-3


def run(
    setup: Setup,
    *,
    measured: Sequence[int] = (1, 2),
    expected: Sequence[int] = (4, 8),
    batch: int = 2,
    size: int | None = None,
    images: int = 15,
    image_size: tuple[int, int] = (375, 500),
    episodes: int = 40,
    repeats: int = 3,
    options: dict | None = None,
) -> list[dict[str, Any]]:
    """A row for training and one for evaluation, for each number of processes.

    Args:
        setup: How to run. On a CPU every process has the threads that the largest of
            ``measured`` leaves it; on GPUs, one GPU each.
        measured: Numbers of processes that are started here, 1 first.
        expected: Numbers of processes that only the model is asked about.
        batch: Episodes of a process in an iteration.
        size: Side of the images trained on; None for 473 on a GPU, 193 on a CPU.
        images: Images drawn for the evaluation.
        image_size: (H, W) of each.
        episodes: Episodes evaluated.
        repeats: Timed iterations, unless ``setup`` says otherwise; the median counts.
        options: Changes of the config.
    """
    if setup.device == 'cuda':
        measured = [n for n in measured if n <= torch.cuda.device_count()]
    settings = dict(
        batch=batch,
        size=size or SIZES[setup.device],
        threads=max(1, usable_cpus() // max(measured)),
        episodes=episodes,
        repeats=setup.repeats or repeats,
        options=options,
    )
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_voc(folder / 'voc', images, image_size)
        for n in measured:
            found[n] = start(n, setup, settings, folder)
    return [*training_rows(found, expected, batch), *evaluation_rows(found, expected)]


def start(n: int, setup: Setup, settings: dict, folder: Path) -> dict[str, Any]:
    """What n processes, started here, measured; see :func:`work`."""
    port = _free_port()
    torch.multiprocessing.spawn(work, (n, port, setup, settings, folder), nprocs=n)
    return json.loads((folder / f'{n}.json').read_text())


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


def work(
    rank: int, n: int, port: int, setup: Setup, settings: dict, folder: Path
) -> None:
    """One process's part; the first writes what was measured."""
    names = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=n, LOCAL_WORLD_SIZE=n)
    os.environ.update({name: str(value) for name, value in names.items()})
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.set_num_threads(settings['threads'])
    backend = 'gloo'
    if setup.device == 'cuda':
        torch.cuda.set_device(rank)
        backend = 'nccl'
    if n > 1:
        distributed.init_process_group(backend)
    init_default_scope('mmseg')
    with silent():
        found = dict(
            threads=settings['threads'],
            **measure_training(n, setup, settings),
            **measure_evaluation(n, setup, settings, folder),
        )
    if rank == 0:
        (folder / f'{n}.json').write_text(json.dumps(found))
    leave_together()


def measure_training(n: int, setup: Setup, settings: dict) -> dict[str, Any]:
    """Seconds of an iteration, of one without exchange, and of an all-reduce alone."""
    model = random_model(setup, settings['options']).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    nbytes = sum(p.nbytes for p in trained)
    optimizer = torch.optim.SGD(trained, LEARNING_RATE, momentum=0.9, weight_decay=5e-4)
    inputs, samples = episode_batch(
        model, setup, settings['batch'], 1, settings['size']
    )
    wrapped = model
    if n > 1:
        ids = [torch.cuda.current_device()] if setup.device == 'cuda' else None
        wrapped = MMDistributedDataParallel(
            model, device_ids=ids, broadcast_buffers=False
        )

    def iteration() -> None:
        optimizer.zero_grad()
        sum(wrapped(inputs, samples, mode='loss').values()).backward()
        optimizer.step()

    def alone() -> None:
        with wrapped.no_sync():
            iteration()

    repeat = partial(_median, setup=setup, repeats=settings['repeats'])
    iteration()
    found = dict(gradient_bytes=nbytes, iteration=repeat(iteration))
    if n > 1:
        flat = torch.zeros(nbytes // 4, device=setup.device)
        distributed.all_reduce(flat)
        found['alone'] = repeat(alone)
        found['all_reduce'] = repeat(lambda: distributed.all_reduce(flat))
    return found


def measure_evaluation(
    n: int, setup: Setup, settings: dict, folder: Path
) -> dict[str, Any]:
    """Seconds of an evaluation, and of encoding one of its images; the shares."""
    cfg = random_config(settings['options'])
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.dataset.data_root = str(folder / 'voc')
    cfg.test_cfg = loop_config(setup)
    set_launcher(cfg, 'pytorch' if n > 1 else 'none')
    weights = random_model(setup, settings['options']).state_dict()
    seconds = 0.0
    # the first is short: what only a first evaluation does is not timed
    for episodes in (2 * n, settings['episodes']):
        set_episodes(cfg, 'test_dataloader', num_episodes=episodes, seed=[0])
        runner = silent_runner(cfg, folder / f'{n}')
        model = runner.model.module if n > 1 else runner.model
        model.load_state_dict(weights)
        model.to(setup.device).eval()
        together()
        seconds, _ = timed(runner.test, setup.device)
    image = photo_batch(model, 1, runner_image_size(runner)).to(setup.device)
    together()
    with torch.no_grad():
        encoding = _median(
            lambda: model.encode(image), setup=setup, repeats=settings['repeats']
        )
    dataset = runner.test_dataloader.dataset
    everything = {i: dataset.episode(i) for i in range(len(dataset))}
    largest = {str(k): shares(everything, k) for k in (1, 2, 4, 8, 16)}
    return dict(
        evaluation=seconds,
        encoding=encoding,
        episodes=len(everything),
        shares=largest,
    )


def together() -> None:
    """Wait for the other processes, if there are any."""
    if distributed.is_initialized():
        distributed.barrier()


def runner_image_size(runner: Any) -> tuple[int, int]:
    """(H, W) of the first query as it is encoded."""
    return tuple(runner.test_dataloader.dataset[0]['inputs']['query'].shape[-2:])


def shares(everything: Mapping[int, Episode], n: int) -> list[list[int]]:
    """[episodes, images] of each of n processes."""
    own = [share(everything, rank, n) for rank in range(n)]
    return [[len(x), len(plan_visits({i: everything[i] for i in x}))] for x in own]


def _median(call: Any, *, setup: Setup, repeats: int) -> float:
    return median(timed(call, setup.device)[0] for _ in range(repeats))


def ring_share(n: int) -> float:
    """Bytes that each of n processes sends in a ring all-reduce, of those reduced."""
    return 2 * (n - 1) / n


def training_rows(
    found: Mapping[int, dict], expected: Sequence[int], batch: int
) -> list[dict[str, Any]]:
    """Iterations a second, by number of processes.

    Args:
        found: What :func:`work` measured, by number of processes.
        expected: Further numbers of processes.
        batch: Episodes of a process in an iteration.
    """
    one, largest = found[1], max(found)
    rate, notes = None, []
    if largest > 1:
        many = found[largest]
        rate = many['gradient_bytes'] * ring_share(largest) / many['all_reduce']
        notes = [
            f'training: {one["gradient_bytes"] / 2**20:.1f} MiB of gradients, of which '
            f'each process sends 2(n-1)/n; an all-reduce of them alone takes {largest} '
            f'processes {many["all_reduce"]:.3f} s, {rate / 2**20:,.0f} MiB/s'
        ]
    rows = []
    for n in [*found, *expected]:
        sent = one['gradient_bytes'] * ring_share(n)
        slower = found[n].get('alone', one['iteration']) if n in found else None
        predicted = slower or one['iteration']
        if n > 1:
            predicted = predicted + sent / rate if rate else None
        measured = found[n]['iteration'] if n in found else None
        rows.append(
            {
                'training': f'{n} × {batch} episodes',
                'MiB sent by each': f'{sent / 2**20:.1f}',
                'slower beside each other': _times(slower, one['iteration']),
                'iterations/s, expected': _rate(1, predicted),
                'iterations/s, measured': _rate(1, measured),
                'episodes/s, expected': _rate(n * batch, predicted),
                'episodes/s, measured': _rate(n * batch, measured),
                'notes': notes if n == 1 else [],
            }
        )
    return rows


def evaluation_rows(
    found: Mapping[int, dict], expected: Sequence[int]
) -> list[dict[str, Any]]:
    """Episodes evaluated a second, by number of processes.

    Args:
        found: What :func:`work` measured, by number of processes.
        expected: Further numbers of processes.
    """
    one = found[1]
    ((episodes, images),) = one['shares']['1']
    # what is not encoding is the episodes'
    each = max(0.0, one['evaluation'] - images * one['encoding']) / episodes
    rows = []
    for n in [*found, *expected]:
        parts = one['shares'][str(n)]
        slower = found[n]['encoding'] if n in found else None
        predicted = max(e * each + i * one['encoding'] for e, i in parts)
        predicted *= (slower or one['encoding']) / one['encoding']
        measured = found[n]['evaluation'] if n in found else None
        rows.append(
            {
                'evaluation': f'{n} process(es)',
                'images encoded, of all': f'{sum(i for _, i in parts)} of {images}',
                'slower beside each other': _times(slower, one['encoding']),
                'episodes/s, expected': _rate(episodes, predicted),
                'episodes/s, measured': _rate(episodes, measured),
                'notes': [
                    f'evaluation: {episodes} episodes of {images} images; encoding one '
                    f'takes {one["encoding"]:.3f} s, the rest of an episode {each:.3f} s; '
                    f'{one["threads"]} thread(s) a process'
                ]
                if n == 1
                else [],
            }
        )
    return rows


def _rate(count: int, seconds: float | None) -> str:
    return '–' if seconds is None else f'{count / seconds:.3g}'


def _times(seconds: float | None, one: float) -> str:
    return '–' if seconds is None else f'{seconds / one:.2f}×'

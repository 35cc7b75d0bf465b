"""Test trainings that are stopped and resumed: what they are made of, and their start.

Their configs import this through ``custom_imports``.
"""

import errno
import json
import multiprocessing
import os
import random
import runpy
import signal
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS, MODELS
from torch import Tensor, nn

from mmssp.runtime.durable_backend import DurableLocalBackend

CONFIG = """
_base_ = '{configs}/ssp_r50_pascal5i_1shot.py'
custom_imports = dict(imports=['mmssp', 'resume_parts'], allow_failed_imports=False)
model = dict(
    backbone=dict(_delete_=True, type='ChancyBackbone'),
    decode_head=dict(in_channels=8),
)
root = '{root}'
crop = [
    dict(type='LoadImage'),
    dict(type='LoadMask'),
    dict(type='RandomCrop', crop_size=(32, 32)),
    dict(type='RandomFlip', prob=0.5),
]
small = dict(min_pixels=16, workers=1)
loader = dict(num_workers={workers}, persistent_workers={workers} > 0)
quiet = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=2, dataset=dict(dataset=dict(data_root=root), pipeline=crop, **small),
    **loader,
)
val_dataloader = dict(
    dataset=dict(dataset=dict(data_root=root), num_episodes=3, **small), **quiet
)
test_dataloader = dict(dataset=dict(dataset=dict(data_root=root), **small), **quiet)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, {optimizer}), paramwise_cfg=dict(bias_lr_mult=2.0)
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[3, 7], gamma=0.5),
    dict(type='LinearLR', by_epoch=False, start_factor=0.1, begin=0, end=5),
]
train_cfg = dict(max_iters={iters}, val_interval={val_interval})
default_hooks = dict(
    checkpoint=dict(interval={interval}), logger=dict(interval=1),
    visualization=dict(draw=False),
)
custom_hooks = [dict(type='RecordHook')]
"""
SGD = "type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-3"
ADAMW = "type='AdamW', lr=0.01, weight_decay=0.01"
REPO = Path(__file__).parents[1]


def write_config(
    path: Path,
    root: Path,
    iters: int = 8,
    interval: int = 2,
    val_interval: int = 4,
    optimizer: str = SGD,
    workers: int = 0,
) -> Path:
    """A training of a few seconds on a data set of :mod:`tiny_data`."""
    path.write_text(
        CONFIG.format(
            configs=REPO / 'configs',
            root=root,
            iters=iters,
            interval=interval,
            val_interval=val_interval,
            optimizer=optimizer,
            workers=workers,
        )
    )
    return path


@MODELS.register_module(force=True)
class ChancyBackbone(nn.Module):
    """One convolution, and chance from all generators in training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, stride=8)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        features = self.conv(image)
        if self.training:
            noise = np.random.rand() + random.random()
            features = nn.functional.dropout(features, 0.3) * (1 + 0.01 * noise)
        return (features,)


@HOOKS.register_module(force=True)
class RecordHook(Hook):
    """Prints what each iteration was trained on, and stops the process on demand.

    ``KILL`` is where to stop: ``write:FILE`` in the middle of
    writing a file that begins so, ``after:FILE`` when it is there, ``validation:N`` in a
    validation. ``full:FILE`` is a disk that is full then, ``spoil:N:RANK`` an image that
    makes the loss none.
    """

    priority = 'LOWEST'

    def before_run(self, runner) -> None:
        self.what, _, self.where = os.environ.get('KILL', '').partition(':')
        if self.what in ('write', 'full'):
            write_bytes = Path.write_bytes

            def write_half(path: Path, data: bytes) -> int:
                if not path.name.startswith('.' + self.where):
                    return write_bytes(path, data)
                write_bytes(path, data[: len(data) // 2])
                if self.what == 'full':
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return kill()

            Path.write_bytes = write_half
        if self.what == 'after':
            put = DurableLocalBackend.put

            def put_and_stop(backend, data: bytes, path: str) -> None:
                put(backend, data, path)
                if Path(path).name.startswith(self.where):
                    kill()

            DurableLocalBackend.put = put_and_stop

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        where = f'{runner.iter + 1}:{os.environ.get("RANK", 0)}'
        if self.what == 'spoil' and self.where == where:
            with torch.no_grad():
                data_batch['inputs']['query'] = [
                    torch.full_like(image, float('nan'), dtype=torch.float32)
                    for image in data_batch['inputs']['query']
                ]

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        episodes = [sample.episode for sample in data_batch['data_samples']]
        line = json.dumps(dict(iter=runner.iter + 1, episodes=episodes))
        print('trained', line, flush=True)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        # the first process: it has then written its checkpoint
        first = os.environ.get('RANK', '0') == '0'
        if first and self.what == 'validation' and int(self.where) == runner.iter:
            kill()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# each training in a process of its own, without importing everything each time
context = multiprocessing.get_context('forkserver')
context.set_forkserver_preload(['resume_parts'])


def train(
    config: Path, work_dir: Path, *args, stop_at: int | None = None, **env: str
) -> tuple[int, str]:
    """Run tools/train.py in another process.

    Args:
        config: As for the tool.
        work_dir: As for the tool.
        *args: Further arguments of it.
        stop_at: Send SIGKILL when this iteration was trained.
        **env: Environment variables.

    Returns:
        Exit code (negative for a signal) and what it printed.
    """
    # the server reads it when it starts; by it, it finds this module
    os.environ['PYTHONPATH'] = os.pathsep.join(
        [str(REPO / 'tests'), str(REPO), os.environ.get('PYTHONPATH', '')]
    )
    env['MMSSP_CACHE'] = os.environ['MMSSP_CACHE']
    argv = ['train.py', str(config), '--work-dir', str(work_dir), *map(str, args)]
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(argv, env, send))
    process.start()
    send.close()
    deadline = threading.Timer(300, process.kill)
    deadline.start()
    lines = []
    with open(receive.fileno(), closefd=False, errors='replace') as stream:
        for line in stream:
            lines.append(line)
            if stop_at and line.startswith(f'trained {{"iter": {stop_at},'):
                process.kill()
                break
    process.join()
    deadline.cancel()
    return process.exitcode, ''.join(lines)


def _train(argv: list[str], env: dict[str, str], output: Connection) -> None:
    os.environ.update(env)
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    output.close()
    sys.argv = argv
    runpy.run_path(str(REPO / 'tools' / 'train.py'), run_name='__main__')


def trained_episodes(output: str) -> dict[int, list[int]]:
    """Iteration → episodes, of all processes' output together.

    Raises:
        AssertionError: If an iteration was trained twice on different ones.
    """
    found: dict[int, list[int]] = {}
    for line in output.splitlines():
        if line.startswith('trained '):
            entry = json.loads(line.removeprefix('trained '))
            assert (
                found.setdefault(entry['iter'], entry['episodes']) == entry['episodes']
            )
    return found

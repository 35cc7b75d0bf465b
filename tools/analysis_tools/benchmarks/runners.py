"""Whole tests by mmengine's runner, in silence, timed."""

import contextlib
import gc
import io
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn
from torch.utils.data.dataloader import _BaseDataLoaderIter

from mmssp.runtime.config import few_shot_metric

from .machine import Setup
from .timing import timed

_RUNNERS = itertools.count()


def loop_config(setup: Setup) -> dict[str, Any]:
    """The test loop, told what ``setup`` says."""
    return dict(
        type='EpisodicTestLoop',
        feature_budget=None,
        dtype=None if setup.dtype == 'float32' else setup.dtype,
        channels_last=setup.channels_last,
        compile=setup.compile,
    )


def silent_runner(cfg: Config, work_dir: Path) -> Runner:
    """A silent runner; what it has to say goes to a file in ``work_dir``."""
    cfg = Config(cfg.to_dict())
    cfg.work_dir = str(work_dir / 'work')
    cfg.log_level = 'ERROR'
    cfg.custom_hooks = []
    cfg.default_hooks.pop('visualization', None)
    # visualizers are singletons by this name, which else is the second of the start
    cfg.experiment_name = f'benchmark_{next(_RUNNERS)}'
    cfg.load_from, cfg.resume = None, False
    with silent():
        return Runner.from_cfg(cfg)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        yield


@contextlib.contextmanager
def waiting_for_data() -> Iterator[list[float]]:
    """Seconds that PyTorch's data loaders let this process wait inside."""
    waits: list[float] = []
    own = _BaseDataLoaderIter.__next__

    def timed_next(self: Any) -> Any:
        start = time.perf_counter()
        try:
            return own(self)
        finally:
            waits.append(time.perf_counter() - start)

    _BaseDataLoaderIter.__next__ = timed_next
    try:
        yield waits
    finally:
        _BaseDataLoaderIter.__next__ = own


def run_test(
    setup: Setup, cfg: Config, weights: nn.Module | None, folder: Path
) -> dict[str, Any]:
    """Run a config's test.

    Args:
        setup: Device and TF32; for the rest ``cfg.test_cfg`` counts.
        cfg: A config with ``test_cfg``, see :func:`loop_config`.
        weights: A model to take them from; None for what the config builds.
        folder: For files.

    Returns:
        ``seconds`` from building the data loader to the scores, those of them in which it
        ``waited`` for data, ``records`` of all episodes, ``mIoU``, and ``peak``: bytes of
        GPU memory, None on a CPU.
    """
    cfg = Config(cfg.to_dict())
    out = folder / 'records.json'
    few_shot_metric(cfg).out_file = str(out)
    runner = silent_runner(cfg, folder)
    if weights is None:
        runner.model.init_weights()
    else:
        runner.model.load_state_dict(weights.state_dict())
    runner.model.to(setup.device)
    on_gpu = setup.device == 'cuda'
    if on_gpu:
        gc.collect()  # what an earlier test left
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    # the loop sees to the precision itself
    exact = Setup(setup.device, tf32=setup.tf32)
    with silent(), waiting_for_data() as waits:
        seconds, _ = timed(exact.ours(runner.test), setup.device)
    report = json.loads(out.read_text())
    return dict(
        seconds=seconds,
        waited=sum(waits),
        records=report['episodes'],
        mIoU=report['mIoU'],
        peak=torch.cuda.max_memory_allocated() - before if on_gpu else None,
    )

"""Hooks for jobs of several processes: one that dies, one that tells how far it is."""

import os
import signal
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmseg.registry import HOOKS


@HOOKS.register_module(force=True)
class DyingHook(Hook):
    """Kills its process, once for all starts of the job.

    Args:
        marker: File that is written just before.
        phase: 'train' or 'test'.
        rank: Which process dies.
        after: Iterations that it lives for.
    """

    def __init__(self, marker: str, phase: str, rank: int = 1, after: int = 3) -> None:
        self.marker = Path(marker)
        self.phase = phase
        self.rank = rank
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._count('train', runner.iter + 1)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._count('test', batch_idx + 1)

    def _count(self, phase: str, done: int) -> None:
        mine = get_rank() == self.rank and phase == self.phase
        if mine and done == self.after and not self.marker.exists():
            self.marker.write_text('')
            os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module(force=True)
class TellingHook(Hook):
    """Writes a file after the first iteration of training."""

    def __init__(self, marker: str) -> None:
        self.marker = Path(marker)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.marker.write_text('')

"""Hooks that touch checkpoints, where a checkpoint is loaded to be tested."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from torch import nn

from mmssp.runtime.checkpoints import load_for_test


class Ready(Hook):
    """Needs what it makes in before_run."""

    def before_run(self, runner):
        self.made = True

    def after_load_checkpoint(self, runner, checkpoint):
        assert self.made


class Looks(Hook):
    """Needs nothing."""

    seen = None

    def after_load_checkpoint(self, runner, checkpoint):
        self.seen = checkpoint


@pytest.mark.parametrize('hook', [EMAHook, Ready, Looks])
def test_weights_are_loaded_whatever_hooks_there_are(tmp_path, hook):
    model, other = nn.Linear(2, 1), nn.Linear(2, 1)
    path = tmp_path / 'iter_4.pth'
    torch.save(dict(state_dict=other.state_dict(), ema_state_dict={}), path)
    own = hook()
    cfg = SimpleNamespace(filename='c.py')
    load_for_test(SimpleNamespace(hooks=[own], model=model, cfg=cfg), str(path))
    assert torch.equal(model.weight, other.weight)
    if isinstance(own, Looks):
        assert 'state_dict' in own.seen
    if isinstance(own, EMAHook):
        own.before_run(SimpleNamespace(model=model))
        assert torch.equal(own.ema_model.module.weight, other.weight)

"""Checkpoints of mmengine are read with PyTorch's safety on, others are refused."""

import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import OneCycleParamScheduler
from mmengine.registry import PARAM_SCHEDULERS

from mmssp.runtime.safe_globals import mmengine_allowed


@pytest.fixture(autouse=True)
def _allowed():
    with mmengine_allowed() as allowed:
        assert allowed
        yield


def test_log_history_survives(tmp_path):
    hub = MessageHub('hub')
    hub.update_scalar('loss', 1.5)
    hub.update_scalar('loss', np.float64(2.5))
    torch.save(dict(message_hub=hub.state_dict()), tmp_path / 'c.pth')
    loaded = torch.load(tmp_path / 'c.pth', weights_only=True)
    history = loaded['message_hub']['log_scalars']['loss']
    assert isinstance(history, HistoryBuffer)
    assert history.mean() == 2.0


@pytest.mark.parametrize(
    'options',
    [
        dict(type='MultiStepLR', milestones=[2, 4]),
        dict(type='PolyLR', eta_min=0.1),
        dict(type='CosineAnnealingLR', T_max=5),
        dict(type='OneCycleLR', eta_max=1.0, total_steps=9),
        dict(type='ReduceOnPlateauLR', monitor='loss', by_epoch=True),
    ],
    ids=lambda options: options['type'],
)
def test_state_of_schedulers_survives(options, tmp_path):
    """What they hold, besides numbers, PyTorch allows by itself."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    scheduler = PARAM_SCHEDULERS.build(options, default_args=dict(optimizer=optimizer))
    torch.save(dict(param_schedulers=[scheduler.state_dict()]), tmp_path / 'c.pth')
    loaded = torch.load(tmp_path / 'c.pth', weights_only=True)
    assert loaded['param_schedulers'] == [scheduler.state_dict()]


class Run:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    'payload',
    [
        Run(exec, 'raise SystemExit'),
        Run(getattr, np.ndarray, 'tofile'),
        Run(getattr, HistoryBuffer, '__init__'),
        Run(getattr, OneCycleParamScheduler, '__init__'),
        Run(getattr, OneCycleParamScheduler, '_get_value'),
    ],
    ids=[
        'exec',
        'another class',
        'private',
        "scheduler's private",
        "scheduler's other",
    ],
)
def test_other_calls_are_refused(payload, tmp_path):
    torch.save(dict(state_dict={}, extra=payload), tmp_path / 'c.pth')
    with pytest.raises((pickle.UnpicklingError, ValueError)):
        torch.load(tmp_path / 'c.pth', weights_only=True)

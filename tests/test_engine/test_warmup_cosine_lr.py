"""The schedule follows the length of the training, however long that is."""

import itertools

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import PARAM_SCHEDULERS
from torch import nn

from mmssp.engine.schedulers import WarmupCosineLR


def optimizer(*rates: float) -> torch.optim.SGD:
    weights = [dict(params=[nn.Parameter(torch.zeros(()))], lr=lr) for lr in rates]
    return torch.optim.SGD(weights, lr=1.0)


def rates(steps: int, lr: float = 1.0, **options) -> list[float]:
    """The learning rate of each iteration."""
    own = optimizer(lr)
    scheduler = PARAM_SCHEDULERS.build(
        dict(type='WarmupCosineLR', optimizer=own, end=steps, **options)
    )
    found = []
    for _ in range(steps):
        found.append(own.param_groups[0]['lr'])
        own.step()
        scheduler.step()
    return found


@pytest.mark.parametrize('steps', [20, 50, 120])
def test_it_rises_for_its_share_and_falls_to_the_end(steps):
    found = rates(steps, warmup=0.1, start_ratio=0.1, end_ratio=0.01)
    rise = steps // 10
    assert found[0] == pytest.approx(0.1)
    assert found[rise] == pytest.approx(1)
    assert found[-1] == pytest.approx(0.01)
    assert all(a < b for a, b in itertools.pairwise(found[: rise + 1]))
    assert all(a > b for a, b in itertools.pairwise(found[rise:]))


def test_halfway_down_it_is_at_the_middle():
    assert rates(11, warmup=0.0, end_ratio=0.0)[5] == pytest.approx(0.5)


@pytest.mark.parametrize('steps', [1, 2, 3])
def test_short_trainings_have_one_too(steps):
    found = rates(steps, lr=0.5, warmup=0.5)
    assert all(0 < lr <= 0.5 for lr in found)


def test_every_group_keeps_its_proportion():
    own = optimizer(1.0, 0.1)
    scheduler = WarmupCosineLR(own, end=10)
    for _ in range(4):
        own.step()
        scheduler.step()
    large, small = (group['lr'] for group in own.param_groups)
    assert 0 < small == pytest.approx(large / 10)


@pytest.mark.parametrize(
    'options',
    [dict(warmup=1.0), dict(warmup=-0.1), dict(start_ratio=0.0), dict(end_ratio=1.1)],
)
def test_shares_out_of_range_are_named(options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        WarmupCosineLR(optimizer(1.0), **options)


class Weight(BaseModel):
    """Remembers nothing but its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, inputs=None, data_samples=None, mode='tensor'):
        return dict(loss=self.weight)


@pytest.mark.parametrize('max_iters', [5, 10])
def test_the_runner_gives_it_the_length_of_the_training(tmp_path, max_iters):
    model = Weight()
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            # between epochs mmengine sleeps
            dataset=[dict(inputs=torch.zeros(1))] * max_iters,
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=1,
        ),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0)),
        param_scheduler=dict(type='WarmupCosineLR', warmup=0.2, by_epoch=False),
        default_scope='mmseg',
        experiment_name=tmp_path.name,
    )
    runner.train()
    # the weight falls by the learning rate in each iteration
    assert -model.weight.item() == pytest.approx(sum(rates(max_iters, warmup=0.2)))

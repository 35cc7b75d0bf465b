"""Resuming with parts other than ours: several optimizers, any data set, any model."""

from inspect import signature
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import Dataset

from mmssp.runtime.checkpoints import safe_reading
from mmssp.runtime.exact_resume_hook import ExactResumeHook

ITERS = 9


class Numbers(Dataset):
    """Item i is i, and remembers that it was asked for."""

    def __init__(self) -> None:
        self.loaded: list[int] = []

    def __len__(self) -> int:
        return 5

    def __getitem__(self, i: int) -> torch.Tensor:
        self.loaded.append(i)
        return torch.tensor([float(i)])


class TwoPlayers(BaseModel):
    """Two layers, each with an optimizer of its own, and dropout between them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(1, 4), nn.Linear(4, 1)

    def train_step(self, data, optim_wrapper) -> dict:
        numbers = torch.stack(list(data)) / 100
        hidden = nn.functional.dropout(self.one(numbers), 0.5)
        loss = (self.two(hidden) - numbers).square().mean()
        for player in optim_wrapper.values():
            player.zero_grad()
        loss.backward()
        for player in optim_wrapper.values():
            player.step()
        return dict(loss=loss.detach())

    def forward(self, *args, **kwargs) -> None:
        raise NotImplementedError


class Stop(Hook):
    """Ends a training by an exception."""

    priority = 'LOWEST'

    def __init__(self, after: int) -> None:
        self.after = after

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        if runner.iter + 1 == self.after:
            raise InterruptedError


def build(
    work_dir: Path,
    name: str,
    stop: int = 0,
    start_from: str | None = None,
    loop: dict = dict(),
    **options,
) -> Runner:
    torch.manual_seed(0)
    model = TwoPlayers()
    optimizers = dict(
        one=torch.optim.SGD(model.one.parameters(), lr=0.1, momentum=0.9),
        two=torch.optim.Adam(model.two.parameters(), lr=0.1),
    )
    schedule = [dict(type='StepLR', by_epoch=False, step_size=3)]
    return Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=Numbers(),
            batch_size=2,
            num_workers=0,
            sampler=dict(type='InfiniteEpisodeSampler'),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=ITERS, **loop),
        optim_wrapper=OptimWrapperDict(
            **{name: OptimWrapper(each) for name, each in optimizers.items()}
        ),
        param_scheduler=dict(one=schedule, two=schedule),
        default_hooks=dict(
            checkpoint=dict(type='DurableCheckpointHook', by_epoch=False, interval=2),
            resume=dict(type='ExactResumeHook', start_from=start_from),
        ),
        custom_hooks=[Stop(stop)],
        randomness=dict(seed=3),
        default_scope='mmseg',
        # hubs of the same name are one
        experiment_name=f'{work_dir}{name}',
        **options,
    )


@pytest.fixture(autouse=True)
def _read_safely():
    """As tools/train.py does; MMEngine 0.10.7 reads no checkpoint of its own by itself
    under PyTorch 2.6 or newer."""
    with safe_reading():
        yield


@pytest.fixture
def resumed(tmp_path) -> Runner:
    """Stopped after 7 iterations, the last checkpoint being of 6, then trained on."""
    with pytest.raises(InterruptedError):
        build(tmp_path, 'stopped', stop=7).train()
    runner = build(tmp_path, 'resumed', resume=True)
    runner.train()
    return runner


def test_state_of_both_optimizers_is_resumed(resumed, tmp_path):
    straight = build(tmp_path / 'straight', 'straight')
    straight.train()
    for own, other in zip(
        resumed.model.parameters(), straight.model.parameters(), strict=True
    ):
        assert torch.equal(own, other)
    for name in ('one', 'two'):
        own, other = (r.optim_wrapper[name].state_dict() for r in (resumed, straight))
        assert own['param_groups'] == other['param_groups']
        for i, state in other['state'].items():
            for key, value in state.items():
                assert torch.equal(own['state'][i][key], value)


def test_nothing_that_was_trained_on_is_loaded_again(resumed):
    assert resumed.train_dataloader.dataset.loaded == list(range(12, 2 * ITERS))


def test_all_checkpoints_are_kept_unless_told_otherwise(resumed, tmp_path):
    found = {path.name for path in tmp_path.glob('iter_*.pth')}
    assert found == {f'iter_{n}.pth' for n in (2, 4, 6, 8, 9)}


def test_a_loop_that_skips_by_itself_is_resumed(tmp_path):
    if 'fast_forward_on_resume' not in signature(IterBasedTrainLoop).parameters:
        pytest.skip('an option of newer versions of mmengine')
    loop = dict(fast_forward_on_resume=True)
    with pytest.raises(InterruptedError):
        build(tmp_path, 'stopped', stop=7, loop=loop).train()
    runner = build(tmp_path, 'resumed', loop=loop, resume=True)
    runner.train()
    assert runner.train_dataloader.dataset.loaded == list(range(12, 2 * ITERS))


def test_without_a_checkpoint_the_given_weights_are_the_first(tmp_path):
    weights = tmp_path / 'weights.pth'
    other = TwoPlayers()
    torch.save(dict(state_dict=other.state_dict(), meta={}), weights)
    runner = build(tmp_path / 'work', 'first', start_from=str(weights), resume=True)
    runner.call_hook('before_run')
    runner.load_or_resume()
    for own, given in zip(runner.model.parameters(), other.parameters(), strict=True):
        assert torch.equal(own, given)


def test_chance_differs_between_iterations_and_processes(resumed, monkeypatch):
    hook, drawn = ExactResumeHook(), set()
    for rank in (0, 1):
        monkeypatch.setattr(
            'mmssp.runtime.exact_resume_hook.get_rank', lambda rank=rank: rank
        )
        for i in (0, 1, 10**6):
            resumed.train_loop._iter = i
            hook.before_train_iter(resumed, i)
            drawn.add(torch.rand(1).item())
    assert len(drawn) == 6

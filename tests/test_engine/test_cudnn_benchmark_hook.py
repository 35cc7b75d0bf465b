"""cuDNN looks for kernels in training on crops, and not over images of every size."""

import pytest
import torch

from mmssp.engine.hooks import CudnnBenchmarkHook


@pytest.fixture(autouse=True)
def _gpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = False
    yield
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = before


def over_a_training(hook: CudnnBenchmarkHook) -> list[bool]:
    """Whether it looks, at each step."""
    found = []
    for step in ('before_train', 'before_val', 'after_val', 'after_train'):
        getattr(hook, step)(None)
        found.append(torch.backends.cudnn.benchmark)
    return found


def test_it_is_on_in_training_alone():
    assert over_a_training(CudnnBenchmarkHook()) == [True, False, True, False]


def test_a_deterministic_training_stays_so():
    torch.backends.cudnn.deterministic = True
    assert over_a_training(CudnnBenchmarkHook()) == [False] * 4


def test_a_validation_alone_changes_nothing():
    hook = CudnnBenchmarkHook()
    hook.before_val(None)
    hook.after_val(None)
    assert torch.backends.cudnn.benchmark is False

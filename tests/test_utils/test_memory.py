"""Free memory, and who shares it."""

import pytest
import torch

from mmssp.utils.memory import free_memory, processes_sharing

NAMES = ('LOCAL_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_SIZE', 'SLURM_STEP_TASKS_PER_NODE')


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_some_memory_is_free():
    assert free_memory(torch.device('cpu')) > 0


def test_a_process_by_itself_shares_with_none():
    assert processes_sharing(torch.device('cpu')) == 1


@pytest.mark.parametrize(
    ('name', 'value'), zip(NAMES, ('4', '4', '4(x2),3'), strict=True)
)
def test_processes_of_a_machine_share_its_memory(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    assert processes_sharing(torch.device('cpu')) == 4


@pytest.mark.parametrize(('gpus', 'sharing'), [(4, 1), (2, 2), (3, 2), (0, 4)])
def test_processes_share_a_gpu_only_if_there_are_fewer(gpus, sharing, monkeypatch):
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: gpus)
    assert processes_sharing(torch.device('cuda')) == sharing

"""Free memory where systems, containers and GPUs tell of it in their own ways."""

import os

import pytest
import torch

from mmssp.utils import memory
from mmssp.utils.memory import free_memory

CPU = torch.device('cpu')
MIB = 2**20


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system of 8 MiB available; returns the folder of its container's limits."""
    (tmp_path / 'meminfo').write_text('MemTotal: 16384 kB\nMemAvailable: 8192 kB\n')
    monkeypatch.setattr(memory, 'MEMINFO', tmp_path / 'meminfo')
    monkeypatch.setattr(memory, 'CGROUP', tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ('limit', 'used', 'expected'),
    [
        (None, None, 8 * MIB),
        ('max', 3 * MIB, 8 * MIB),
        (5 * MIB, 3 * MIB, 2 * MIB),
        (50 * MIB, 3 * MIB, 8 * MIB),
        (3 * MIB, 5 * MIB, 0),
    ],
)
def test_the_least_of_system_and_container_is_free(system, limit, used, expected):
    if limit is not None:
        (system / 'memory.max').write_text(f'{limit}\n')
        (system / 'memory.current').write_text(f'{used}\n')
    assert free_memory(CPU) == expected


def test_a_quarter_of_all_is_free_where_the_system_does_not_say(system, monkeypatch):
    (system / 'meminfo').write_text('MemTotal: 16384 kB\n')
    sizes = dict(SC_PHYS_PAGES=1000, SC_PAGE_SIZE=4096)
    monkeypatch.setattr(os, 'sysconf_names', dict.fromkeys(sizes, 0), raising=False)
    monkeypatch.setattr(os, 'sysconf', sizes.get, raising=False)
    assert free_memory(CPU) == 1000 * 4096 // 4


def test_4_gib_are_free_where_nothing_is_known(system, monkeypatch):
    (system / 'meminfo').unlink()
    monkeypatch.setattr(os, 'sysconf_names', {}, raising=False)
    assert free_memory(CPU) == 4 * 2**30


def test_a_gpu_is_asked_itself(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device: (7, 16))
    assert free_memory(torch.device('cuda')) == 7

"""How much memory is free."""

import math
import os
import re
from pathlib import Path

import torch

MEMINFO = Path('/proc/meminfo')
CGROUP = Path('/sys/fs/cgroup')


def free_memory(device: torch.device) -> int:
    """Bytes that a process could still take on a device.

    On a host the least of what the system has available and what the container's limit
    (cgroup v2) leaves; where the system does not say, a quarter of its memory, or 4 GiB.

    Args:
        device: Of type ``'cpu'`` or ``'cuda'``; for others the host's memory counts.
    """
    if device.type == 'cuda':
        return torch.cuda.mem_get_info(device)[0]
    free = [_available()]
    limit, used = (_number(CGROUP / f'memory.{name}') for name in ('max', 'current'))
    if limit is not None and used is not None:
        free.append(max(0, limit - used))
    return min(free)


def processes_sharing(device: torch.device) -> int:
    """How many processes of this job use a device, its own and others of this machine.

    Args:
        device: A GPU is taken by every ``device_count``-th process of the machine, the
            host's memory by all.
    """
    processes = 1
    # torchrun's, Open MPI's; Slurm's tells of the step's other machines too: 4(x2),3
    for name in (
        'LOCAL_WORLD_SIZE',
        'OMPI_COMM_WORLD_LOCAL_SIZE',
        'SLURM_STEP_TASKS_PER_NODE',
    ):
        found = re.match(r'\d+', os.environ.get(name, ''))
        if found:
            processes = int(found[0])
            break
    if device.type == 'cuda':
        return math.ceil(processes / max(1, torch.cuda.device_count()))
    return processes


def _available() -> int:
    if MEMINFO.exists():
        for line in MEMINFO.read_text().splitlines():
            if line.startswith('MemAvailable:'):
                return int(line.split()[1]) * 1024
    if 'SC_PHYS_PAGES' in getattr(os, 'sysconf_names', {}):
        return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 4
    return 4 * 2**30


def _number(path: Path) -> int | None:
    """The number that a file holds; None without one, as for a limit of ``max``."""
    text = path.read_text().strip() if path.is_file() else ''
    return int(text) if text.isdigit() else None

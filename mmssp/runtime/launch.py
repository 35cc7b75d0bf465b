"""Starting one process, or several with or without GPUs."""

import os
import subprocess
from datetime import timedelta

import torch
from mmengine.config import Config

from .heartbeat import Heartbeat, start_heartbeat

TIMEOUT = 1800
"""Seconds that a process waits for another in one collective, where the config does not
say (``env_cfg.dist_cfg.timeout``). Others may rightly be so late: the first scan of a data
set, or the largest share of an evaluation, takes minutes. A process that ended is noticed
sooner, see docs/distributed.md."""
# what each launcher calls what torchrun calls RANK, WORLD_SIZE and LOCAL_RANK
RANK_VARIABLES = {
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': (
        'OMPI_COMM_WORLD_RANK',
        'OMPI_COMM_WORLD_SIZE',
        'OMPI_COMM_WORLD_LOCAL_RANK',
    ),
}
START_WITH = {
    'pytorch': 'torchrun, e.g. tools/dist_train.sh CONFIG NUM_PROCESSES',
    'slurm': 'srun, e.g. tools/slurm_train.sh PARTITION JOB_NAME CONFIG',
    'mpi': 'mpirun, with MASTER_ADDR set',
}


def set_launcher(cfg: Config, launcher: str, local_rank: int = 0) -> None:
    """Prepare a config, and this process, for a launcher.

    Without a GPU, mmengine's start-up asks for one all the same; then the process group
    is made here, with gloo.

    Args:
        cfg: Changed in place.
        launcher: One of :data:`mmssp.arguments.shared_options.LAUNCHERS`.
        local_rank: Used where the launcher has not set ``LOCAL_RANK``.

    Raises:
        ValueError: If the process was not started by that launcher.
    """
    cfg.launcher = launcher
    if launcher in RANK_VARIABLES:
        _translate(launcher)
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    if launcher == 'none':
        return
    check_started(launcher, START_WITH[launcher])
    dist_cfg = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    timeout = dist_cfg.get('timeout', TIMEOUT)
    if not isinstance(timeout, (int, float)) or timeout <= 0:
        raise ValueError(
            f'env_cfg.dist_cfg.timeout={timeout!r}: expected seconds, more than 0'
        )
    cfg.merge_from_dict({'env_cfg.dist_cfg.timeout': timeout})
    if torch.cuda.is_available():
        return
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    cfg.model_wrapper_cfg = dict(
        dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        ),
        **cfg.get('model_wrapper_cfg') or {},
        device_ids=None,
    )
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo', timeout=timedelta(seconds=timeout))


def check_started(launcher: str, start_with: str) -> None:
    """Was this process started as one of a job?

    Args:
        launcher: One of :data:`mmssp.arguments.shared_options.LAUNCHERS`, for the message.
        start_with: The command that does it, likewise.

    Raises:
        ValueError: If its place in the job is not in the environment.
    """
    missing = [v for v in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR') if v not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher}: {", ".join(missing)} not set in the environment; '
            f'start through {start_with}'
        )


def _translate(launcher: str) -> None:
    """Say in torchrun's variables what Slurm or MPI has said in its own."""
    names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')
    for name, own in zip(names, RANK_VARIABLES[launcher], strict=True):
        if own in os.environ:
            os.environ[name] = os.environ[own]
    job = os.environ.get('SLURM_JOB_ID')
    if launcher == 'slurm' and job is not None:
        # several jobs may share a machine
        os.environ.setdefault('MASTER_PORT', str(20000 + int(job) % 20000))
    os.environ.setdefault('MASTER_PORT', '29500')
    nodes = os.environ.get('SLURM_NODELIST')
    if launcher == 'slurm' and nodes and 'MASTER_ADDR' not in os.environ:
        # the list is abbreviated (node[01-04]); Slurm itself spells it out
        spelt_out = subprocess.run(
            ['scontrol', 'show', 'hostnames', nodes],
            capture_output=True,
            text=True,
            check=True,
        )
        os.environ['MASTER_ADDR'] = spelt_out.stdout.split()[0]


_heartbeats: list[Heartbeat] = []


def watch_each_other() -> None:
    """From here to :func:`leave_together`, end if another process of the job is gone."""
    heartbeat = start_heartbeat()
    if heartbeat is not None:
        _heartbeats.append(heartbeat)


def leave_together() -> None:
    """At the end of a job: wait for the other processes, then close the group.

    A process that ends while another still talks to it can abort that one. And a group
    that is closed while gloo's thread still lets go of a tensor waits for ever; after
    barriers, which have none, that thread has let go of all.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        while _heartbeats:
            _heartbeats.pop().stop()
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()

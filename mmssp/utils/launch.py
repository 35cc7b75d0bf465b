"""Starting one process, or several with or without GPUs."""

import argparse
import os

import torch
from mmengine.config import Config

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``, and the ``--local-rank`` that some launchers pass."""
    parser.add_argument(
        '--launcher',
        choices=LAUNCHERS,
        default='none',
        help='how the processes of a distributed job were started (default: none; '
        'see tools/dist_train.sh)',
    )
    parser.add_argument(
        '--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS
    )


def set_launcher(cfg: Config, launcher: str, local_rank: int = 0) -> None:
    """Prepare a config, and this process, for a launcher.

    Without a GPU, mmengine's start-up for ``pytorch`` asks for one all the same; then the
    process group is made here, with gloo.

    Args:
        cfg: Changed in place.
        launcher: One of :data:`LAUNCHERS`.
        local_rank: Used where the launcher has not set ``LOCAL_RANK``.
    """
    cfg.launcher = launcher
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    if launcher == 'none' or torch.cuda.is_available():
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
    if launcher == 'pytorch' and not torch.distributed.is_initialized():
        missing = [
            v for v in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR') if v not in os.environ
        ]
        if missing:
            raise ValueError(
                f'--launcher pytorch: {", ".join(missing)} not set in the environment; '
                'start through torchrun, e.g. tools/dist_train.sh CONFIG NUM_PROCESSES'
            )
        torch.distributed.init_process_group('gloo')


def leave_together() -> None:
    """At the end of a job: wait for the other processes, then close the group.

    A process that ends while another still talks to it can abort that one. And a group
    that is closed while gloo's thread still lets go of a tensor waits for ever; after the
    barrier, which has none, that thread has let go of all.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()

"""What a launcher has said in the environment, and what the config makes of it."""

import os
import subprocess

import pytest
from mmengine.config import Config

from mmssp.runtime.launch import TIMEOUT, set_launcher

NAMES = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')


@pytest.fixture
def groups(monkeypatch) -> list[tuple]:
    """Process groups that were made, on a machine without GPU."""
    made = []
    for name in NAMES:
        # set and deleted, so that what a test sets is gone after it
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.setattr(
        'torch.distributed.init_process_group', lambda *a, **k: made.append((a, k))
    )
    return made


def test_one_process_needs_no_group(groups):
    cfg = Config(dict(env_cfg=dict()))
    set_launcher(cfg, 'none')
    assert groups == []
    assert cfg.launcher == 'none'


@pytest.mark.parametrize(
    ('launcher', 'message'),
    [
        ('pytorch', 'RANK, WORLD_SIZE, MASTER_ADDR not set.*torchrun'),
        ('slurm', 'not set.*srun'),
        ('mpi', 'not set.*mpirun'),
    ],
)
def test_a_process_started_by_itself_is_told_what_to_start(launcher, message, groups):
    with pytest.raises(ValueError, match=message):
        set_launcher(Config(dict()), launcher)
    assert groups == []


def start_by(monkeypatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ('config', 'seconds'), [(dict(), TIMEOUT), (dict(timeout=90), 90)]
)
def test_the_timeout_is_the_config_s(config, seconds, groups, monkeypatch):
    start_by(monkeypatch, RANK='0', WORLD_SIZE='2', MASTER_ADDR='a')
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(backend='nccl', **config))))
    set_launcher(cfg, 'pytorch')
    ((backend,), options) = groups[0]
    assert backend == 'gloo'
    assert options['timeout'].total_seconds() == seconds
    assert cfg.env_cfg.dist_cfg == dict(backend='gloo', timeout=seconds)


@pytest.mark.parametrize('timeout', [0, -1, 'long'])
def test_a_timeout_that_is_none_is_refused(timeout, groups, monkeypatch):
    start_by(monkeypatch, RANK='0', WORLD_SIZE='2', MASTER_ADDR='a')
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(timeout=timeout))))
    with pytest.raises(ValueError, match='timeout=.*expected seconds'):
        set_launcher(cfg, 'pytorch')


def test_slurm_s_variables_are_understood(groups, monkeypatch):
    start_by(
        monkeypatch, SLURM_PROCID='5', SLURM_NTASKS='8', SLURM_LOCALID='1',
        SLURM_JOB_ID='40123', SLURM_NODELIST='node[07-08]',
    )  # fmt: skip
    asked = []

    def run(command: list[str], **kwargs) -> subprocess.CompletedProcess:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, 'node07\nnode08\n')

    monkeypatch.setattr(subprocess, 'run', run)
    set_launcher(Config(dict()), 'slurm')
    assert asked == [['scontrol', 'show', 'hostnames', 'node[07-08]']]
    found = {name: os.environ[name] for name in NAMES}
    assert found == dict(
        RANK='5', WORLD_SIZE='8', LOCAL_RANK='1', MASTER_ADDR='node07',
        MASTER_PORT='20123',
    )  # fmt: skip
    assert len(groups) == 1


def test_open_mpi_s_variables_are_understood(groups, monkeypatch):
    start_by(
        monkeypatch, OMPI_COMM_WORLD_RANK='3', OMPI_COMM_WORLD_SIZE='4',
        OMPI_COMM_WORLD_LOCAL_RANK='1', MASTER_ADDR='here',
    )  # fmt: skip
    set_launcher(Config(dict()), 'mpi')
    assert (os.environ['RANK'], os.environ['LOCAL_RANK']) == ('3', '1')
    assert os.environ['MASTER_PORT'] == '29500'

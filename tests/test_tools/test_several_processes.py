"""Training and testing by several processes: what they give, and how they end."""

import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import job_hooks  # noqa: F401  (registers the hooks)
import pytest
import torch
from processes import environment, finish, forked, wait_for
from tiny_data import write_voc

TOOLS = Path(__file__).parents[2] / 'tools'
CONFIG = """
_base_ = '{configs}/ssp_r50_pascal5i_1shot.py'
custom_imports = dict(imports=['mmssp', 'job_hooks'])
# a stage whose output nothing uses is built
model = dict(
    backbone=dict(
        _delete_=True, type='ResNet', depth=18, num_stages=3, strides=(1, 2, 2),
        dilations=(1, 1, 1), out_indices=(1, 2), norm_eval=True,
    ),
    decode_head=dict(in_channels=128),
)
root = '{root}'
crop = [
    dict(type='LoadImage'),
    dict(type='LoadMask'),
    # the share of 255 differs from episode to episode
    dict(type='RandomCrop', crop_size=(40, 40)),
    dict(type='Pad', size=(48, 48), pad_val=dict(img=0, seg=255)),
    dict(type='RandomCrop', crop_size=(32, 32)),
]
small = dict(min_pixels=16, workers=1, num_episodes=5)
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=2, dataset=dict(dataset=dict(data_root=root), pipeline=crop, **small),
    **loader,
)
val_dataloader = dict(dataset=dict(dataset=dict(data_root=root), **small), **loader)
test_dataloader = dict(dataset=dict(dataset=dict(data_root=root), **small), **loader)
train_cfg = dict(max_iters=4, val_interval=2)
default_hooks = dict(
    checkpoint=dict(interval=2), logger=dict(interval=1),
    visualization=dict(draw=False),
)
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('several')
    root = write_voc(folder / 'voc')
    path = folder / 'several.py'
    path.write_text(CONFIG.format(configs=TOOLS.parent / 'configs', root=root))
    return path


def run_tool(name: str, *args: object) -> None:
    """A tool as a user runs it, in this process."""
    sys.argv = [name, *map(str, args)]
    runpy.run_path(str(TOOLS / name), run_name='__main__')


def scores(processes: int, config: Path, folder: Path, *args: object) -> dict:
    """F.json of a test by some processes."""
    out = folder / f'{processes}.json'
    args = ['test.py', config, 'none', '--out', out, '--work-dir', folder, *args]
    options = ['--cfg-options', f'experiment_name={folder.name}_{processes}']
    if processes > 1:
        options = ['--launcher', 'pytorch', *options]
    forked(processes, run_tool, *args, *options)
    return json.loads(out.read_text())


@pytest.mark.parametrize(
    ('processes', 'episodes', 'runs'),
    [(2, 5, 1), (3, 5, 1), (3, 2, 1), (2, 4, 3)],
    ids=['odd', 'odd by three', 'more processes than episodes', 'runs'],
)
def test_processes_report_what_one_does(processes, episodes, runs, config, tmp_path):
    args = ['--runs', runs, '--episodes', episodes]
    one = scores(1, config, tmp_path, *args)
    assert len(one['episodes']) == runs * episodes
    assert scores(processes, config, tmp_path, *args) == one


def weights(folder: Path) -> dict:
    return torch.load(folder / 'iter_4.pth', map_location='cpu', weights_only=False)[
        'state_dict'
    ]


def best(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob('best*'))


def test_two_processes_train_as_one_with_twice_the_batch(config, tmp_path):
    """The same weights but for rounding, and so the same best validation."""
    for processes, batch in ((1, 4), (2, 2)):
        folder = tmp_path / f'by{processes}'
        args = ['train.py', config, '--work-dir', folder]
        options = ['--cfg-options', f'train_dataloader.batch_size={batch}']
        options += [f'experiment_name={tmp_path.name}_{processes}']
        if processes > 1:
            options = ['--launcher', 'pytorch', *options]
        forked(processes, run_tool, *args, *options)
    one, two = weights(tmp_path / 'by1'), weights(tmp_path / 'by2')
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=1e-4, atol=1e-5)
    assert best(tmp_path / 'by2') == best(tmp_path / 'by1') != []


def ending(command: list, env: dict, marker: Path) -> tuple[int, str, float]:
    """Exit code, output, and seconds from the death of a process to the job's end."""
    done = subprocess.run(
        [str(word) for word in command],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
    )
    assert marker.exists(), done.stdout[-6000:]
    return done.returncode, done.stdout, time.time() - marker.stat().st_mtime


def with_hook(config: Path, folder: Path, **hook: object) -> Path:
    """The config with a hook more; it trains for as long as nobody stops it."""
    path = folder / 'hooked.py'
    text = f"_base_ = '{config}'\ncustom_hooks = [{hook}]\n"
    path.write_text(text + 'train_cfg = dict(max_iters=100000, val_interval=1000)\n')
    return path


@pytest.mark.parametrize('phase', ['train', 'test'])
def test_a_killed_process_ends_the_job(phase, config, tmp_path):
    marker = tmp_path / 'died'
    hook = dict(type='DyingHook', marker=str(marker), phase=phase)
    config = with_hook(config, tmp_path, **hook)
    start = dict(
        train=[TOOLS / 'dist_train.sh', config, 2],
        test=[TOOLS / 'dist_test.sh', config, 'none', 2, '--episodes', 2000],
    )[phase]
    code, printed, seconds = ending(
        [*start, '--work-dir', tmp_path / 'work'], environment(), marker
    )
    assert code != 0
    assert seconds < 60
    assert 'Signal 9 (SIGKILL)' in printed
    assert 'rank      : 1' in printed


def test_a_restarted_job_resumes_and_ends(config, tmp_path):
    """Killed in iteration 3; the checkpoint of iteration 2 is gone on from."""
    work, marker = tmp_path / 'work', tmp_path / 'died'
    config = with_hook(
        config, tmp_path, type='DyingHook', marker=str(marker), phase='train', after=3
    )
    options = ['--cfg-options', 'train_cfg.max_iters=4', 'train_cfg.val_interval=2']
    printed = finish(
        [TOOLS / 'dist_train.sh', config, 2, '--work-dir', work, '--resume', *options],
        environment(MAX_RESTARTS='1'),
    )
    assert marker.exists()
    assert 'resumed epoch: 0, iter: 2' in printed
    assert (work / 'iter_4.pth').is_file()
    logs = [json.loads(line) for p in work.rglob('scalars.json') for line in p.open()]
    trained = [line['step'] for line in logs if 'loss' in line]
    assert sorted(trained)[-1] == 4
    assert trained.count(1) == trained.count(4) == 1


def test_two_machines_train(config, tmp_path):
    """Two torchruns, as on two machines."""
    command = [TOOLS / 'dist_train.sh', config, 1, '--work-dir', tmp_path / 'work']
    environments = environment(NNODES='2', MASTER_ADDR='127.0.0.1')
    jobs = [
        subprocess.Popen(
            [str(word) for word in command],
            env={**environments, 'NODE_RANK': str(machine)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for machine in range(2)
    ]
    for job in jobs:
        printed, _ = job.communicate(timeout=300)
        assert job.returncode == 0, printed[-6000:]
    assert (tmp_path / 'work' / 'iter_4.pth').is_file()


def descendants(pid: int) -> list[int]:
    children = []
    for task in Path(f'/proc/{pid}/task').iterdir():
        children += [int(child) for child in (task / 'children').read_text().split()]
    return children + [pid for child in children for pid in descendants(child)]


def is_alive(pid: int) -> bool:
    stat = Path(f'/proc/{pid}/stat')
    try:
        return stat.read_text().rpartition(')')[2].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def train_in_a_session(*args: object) -> None:
    os.setsid()
    torch.set_num_threads(1)
    run_tool('train.py', *args)


@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='needs /proc')
@pytest.mark.parametrize(
    ('number', 'to_all', 'code'),
    [
        (signal.SIGINT, True, 130),
        (signal.SIGTERM, False, -signal.SIGTERM),
        (signal.SIGKILL, False, -signal.SIGKILL),
    ],
    ids=['Ctrl-C', 'SIGTERM', 'SIGKILL'],
)
def test_an_ended_training_leaves_no_process(number, to_all, code, config, tmp_path):
    """Ctrl-C reaches every process of a terminal, kill the one that it names."""
    marker = tmp_path / 'begun'
    config = with_hook(config, tmp_path, type='TellingHook', marker=str(marker))
    options = ['--cfg-options', 'train_dataloader.num_workers=2']
    options += [f'experiment_name={tmp_path.name}']
    process = multiprocessing.get_context('fork').Process(
        target=train_in_a_session, args=[config, '--work-dir', tmp_path, *options]
    )
    process.start()
    try:
        wait_for(
            lambda: marker.exists() or not process.is_alive(), 120, 'first iteration'
        )
        workers = descendants(process.pid)
        assert len(workers) == 2
        if to_all:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        process.join(timeout=30)
        assert process.exitcode == code
        wait_for(lambda: not any(map(is_alive, workers)), 30, 'the end of the workers')
    finally:
        if process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)


SRUN = """#!/usr/bin/env bash
# as much of Slurm as one machine needs: the options go to a file, the tasks are started
for word; do
    case $word in
        --ntasks=*) tasks=${word#*=} ;;
    esac
done
printf '%s\\n' "$@" > "$SRUN_LOG"
while [ "$1" != "$PYTHON" ]; do shift; done
export SLURM_NTASKS=$tasks SLURM_JOB_ID=123 SLURM_NODELIST=localhost
for ((i = 0; i < tasks; i++)); do
    SLURM_PROCID=$i SLURM_LOCALID=$i "$@" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
"""
SCONTROL = '#!/bin/sh\nfor last; do :; done\necho "$last"\n'


def test_slurm_tests_on_cpus(config, tmp_path):
    """Through a srun that starts the tasks here."""
    for name, text in (('srun', SRUN), ('scontrol', SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    out, log = tmp_path / 'F.json', tmp_path / 'srun.log'
    finish(
        [
            TOOLS / 'slurm_test.sh', 'cpus', 'job', config, 'none',
            '--runs', 1, '--out', out, '--work-dir', tmp_path / 'work',
        ],
        environment(
            PATH=f'{tmp_path}:{os.environ["PATH"]}', SRUN_LOG=str(log),
            GPUS='2', GRES='',
        ),
    )  # fmt: skip
    assert json.loads(out.read_text())['episodes']
    options = log.read_text().splitlines()
    assert {'--ntasks=2', '--ntasks-per-node=2', '--kill-on-bad-exit=1'} <= set(options)
    assert not any(option.startswith('--gres') for option in options)

"""tools/train.py and tools/test.py as a user runs them."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import exit_code
from tiny_data import SMALL_MODEL, write_voc

TOOLS = Path(__file__).parents[2] / 'tools'
CONFIG = """
root = '{root}'
crop = [
    dict(type='LoadImage'),
    dict(type='LoadMask'),
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
    checkpoint=dict(interval=2), logger=dict(interval=1)
)
"""


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('tools')
    root = write_voc(folder / 'voc')
    path = folder / 'tiny.py'
    path.write_text(SMALL_MODEL + CONFIG.format(root=root))
    return path


@pytest.fixture
def tool(capsys):
    """Run a tool in this process: (exit code, what it printed to stderr)."""

    def run(name: str, *args) -> tuple[int, str]:
        return exit_code(TOOLS / name, *args), capsys.readouterr().err

    return run


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory) -> Path:
    """Work dir of one training on fold 1."""
    folder = tmp_path_factory.mktemp('trained')
    argv = sys.argv
    sys.argv = ['train.py', str(config), '--fold', '1', '--work-dir', str(folder)]
    try:
        runpy.run_path(str(TOOLS / 'train.py'), run_name='__main__')
    finally:
        sys.argv = argv
    return folder


def weights(path: Path) -> dict:
    return torch.load(path, map_location='cpu', weights_only=False)['state_dict']


def test_training_validates_and_keeps_the_best(trained):
    names = {path.name for path in trained.glob('*.pth')}
    assert {'iter_2.pth', 'iter_4.pth'} <= names
    assert any(name.startswith('best_mIoU') for name in names)


def test_training_uses_the_fold(trained):
    meta = torch.load(trained / 'iter_4.pth', map_location='cpu', weights_only=False)[
        'meta'
    ]['dataset_meta']
    assert meta['fold'] == 1
    assert set(meta['class_names']) == set(range(1, 21)) - {6, 7, 8, 9, 10}


def test_resumed_training_ends_with_the_same_weights(trained, config, tool, tmp_path):
    args = [config, '--fold', 1, '--work-dir', tmp_path]
    # two iterations, stopped; the schedule is that of the whole run
    assert tool('train.py', *args, '--cfg-options', 'train_cfg.max_iters=2')[0] == 0
    assert tool('train.py', *args, '--resume')[0] == 0
    expected, found = weights(trained / 'iter_4.pth'), weights(tmp_path / 'iter_4.pth')
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_averaged_weights_resume_and_are_those_that_are_tested(config, tool, tmp_path):
    """MMEngine's EMAHook: a checkpoint has both kinds of weights, and swaps them."""
    averaging = tmp_path / 'averaging.py'
    averaging.write_text(
        f'_base_ = {str(config)!r}\n'
        "custom_hooks = [dict(type='EMAHook', momentum=0.5)]\n"
    )
    options = [averaging, '--fold', 1]
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    assert tool('train.py', *options, '--work-dir', whole)[0] == 0
    options += ['--work-dir', parts]
    assert tool('train.py', *options, '--cfg-options', 'train_cfg.max_iters=2')[0] == 0
    assert tool('train.py', *options, '--resume')[0] == 0

    expected, found = (
        torch.load(folder / 'iter_4.pth', map_location='cpu', weights_only=False)
        for folder in (whole, parts)
    )
    for kind in ('state_dict', 'ema_state_dict'):
        assert all(torch.equal(found[kind][n], v) for n, v in expected[kind].items())
    averaged, plain = found['state_dict'], found['ema_state_dict']
    assert any(not torch.equal(v, plain[f'module.{n}']) for n, v in averaged.items())

    scores = []
    for number, used in enumerate((averaging, config)):
        out = tmp_path / f'{number}.json'
        code, printed = tool(
            'test.py', used, parts / 'iter_4.pth', '--fold', 1, '--out', out,
            '--work-dir', tmp_path / 'tested', '--runs', 1, '--episodes', 3,
        )  # fmt: skip
        assert code == 0, printed
        scores.append(json.loads(out.read_text())['mIoU'])
    assert scores[0] == scores[1]


@pytest.mark.parametrize('words', [['train.py'], ['test.py', 'none']])
def test_a_logger_that_is_not_installed_is_said_first(
    config, tool, tmp_path, monkeypatch, words
):
    monkeypatch.setitem(sys.modules, 'wandb', None)
    name, *more = words
    code, printed = tool(
        name, config, *more, '--work-dir', tmp_path / 'work', '--cfg-options',
        'visualizer.vis_backends.0.type=WandbVisBackend',
    )  # fmt: skip
    assert code == 1
    assert (
        'WandbVisBackend needs wandb, not installed here: pip install wandb' in printed
    )
    assert not (tmp_path / 'work' / 'vis_data').exists()


def test_testing_writes_scores_and_records(trained, config, tool, tmp_path):
    out = tmp_path / 'F.json'
    code, _ = tool(
        'test.py', config, trained / 'iter_4.pth', '--fold', 1, '--out', out,
        '--work-dir', tmp_path, '--protocol', 'ssp', '--episodes', 3,
        '--cfg-options', 'test_dataloader.dataset.min_pixels=16',
    )  # fmt: skip
    assert code == 0
    report = json.loads(out.read_text())
    assert report['protocol'] == 'ssp'
    assert report['departures'] == [
        'min_pixels: 16 instead of 2048',
        'num_episodes: 3 instead of 1000',
    ]
    assert [run['run'] for run in report['runs']] == [0, 1, 2, 3, 4]
    assert len(report['episodes']) == 15
    assert {record['class_id'] for record in report['episodes']} <= {6, 7, 8, 9, 10}
    assert len(report['per_class']) == 5
    assert 0 <= report['mIoU'] <= 100


def test_weights_selected_on_novel_classes_say_so(trained, config, tool, tmp_path):
    (best,) = trained.glob('best_mIoU_*.pth')
    out = tmp_path / 'F.json'
    code, _ = tool(
        'test.py', config, best, '--fold', 1, '--out', out, '--work-dir', tmp_path,
        '--runs', 1, '--episodes', 2,
    )  # fmt: skip
    assert code == 0
    found = json.loads(out.read_text())['departures'][-1]
    assert 'by validation on 5 of the 5 tested classes, as in the release' in found


def test_tested_classes_that_were_trained_on_are_named(trained, config, tool, tmp_path):
    out = tmp_path / 'F.json'
    code, _ = tool(
        'test.py', config, trained / 'iter_4.pth', '--fold', 0, '--out', out,
        '--work-dir', tmp_path, '--runs', 1, '--episodes', 2,
    )  # fmt: skip
    assert code == 0
    found = json.loads(out.read_text())['departures'][-1]
    assert found.startswith('trained on 5 of the 5 tested classes (aeroplane,')


def test_another_protocol_is_complete(trained, config, tool, tmp_path):
    """Images with novel classes were not removed, which bam's training does."""
    out = tmp_path / 'F.json'
    code, _ = tool(
        'test.py', config, trained / 'iter_4.pth', '--fold', 1, '--out', out,
        '--work-dir', tmp_path, '--protocol', 'bam', '--runs', 1, '--episodes', 2,
        '--cfg-options', 'test_dataloader.dataset.min_pixels=16',
    )  # fmt: skip
    assert code == 0
    report = json.loads(out.read_text())
    assert (report['protocol'], report['seeds']) == ('bam', [321])
    assert [text.split(':')[0] for text in report['departures']] == [
        'min_pixels',
        'num_episodes',
        'seed',
        'trained on images with novel classes (train_dataloader.dataset.'
        'remove_novel_images=True leaves them out)',
    ]


def test_testing_draws_the_episodes(config, tool, tmp_path):
    code, _ = tool(
        'test.py', config, 'none', '--runs', 1, '--episodes', 3, '--work-dir',
        tmp_path / 'work', '--show-dir', tmp_path / 'show',
        # visualizers are singletons by this name, which else is the second of the start
        '--cfg-options', 'experiment_name=show',
    )  # fmt: skip
    assert code == 0
    assert len(list((tmp_path / 'show').rglob('*.png'))) == 3


def test_testing_draws_nothing_unasked(config, tool, tmp_path):
    args = ['--runs', 1, '--episodes', 2, '--work-dir', tmp_path]
    assert tool('test.py', config, 'none', *args)[0] == 0
    assert list(tmp_path.rglob('*.png')) == []


def test_validation_draws_episodes(trained):
    names = [path.name for path in trained.rglob('*.png')]
    assert len([name for name in names if 'episode00000' in name]) == 2


def test_shots_and_runs_are_set(config, tool, tmp_path):
    out = tmp_path / 'F.json'
    code, _ = tool(
        'test.py', config, 'none', '--shots', 3, '--runs', 2, '--episodes', 2,
        '--out', out, '--work-dir', tmp_path,
    )  # fmt: skip
    assert code == 0
    records = json.loads(out.read_text())['episodes']
    assert len(records) == 4
    assert all(len(record['supports']) == 3 for record in records)


@pytest.mark.parametrize('name', ['train.py', 'test.py'])
def test_help_names_every_option(name, tool, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', [name, '--help'])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(TOOLS / name), run_name='__main__')
    assert end.value.code == 0
    text = capsys.readouterr().out
    options = ['--fold', '--shots', '--work-dir', '--launcher', '--cfg-options']
    options += {
        'train.py': ['--resume', '--amp'],
        'test.py': ['--protocol', '--runs', '--episodes', '--out', '--show-dir'],
    }[name]
    assert all(option in text for option in options)


@pytest.mark.parametrize(
    ('name', 'args', 'message'),
    [
        ('train.py', ['--fold', '9'], 'fold=9: expected 0 to 3'),
        ('train.py', ['--shots', '0'], 'shots=0'),
        ('train.py', ['--shots', '9'], 'fewer than 10 images'),
        (
            'train.py',
            ['--cfg-options', 'train_dataloader.dataset.dataset.data_root=nowhere'],
            'nowhere not found',
        ),
        (
            'train.py',
            ['--cfg-options', 'model.backbone.init_cfg.checkpoint=no.pth'],
            'initial weights no.pth not found',
        ),
        ('train.py', ['--cfg-options', 'optim_wrapper=None'], 'cannot be run'),
        ('test.py', ['gone.pth'], 'checkpoint gone.pth not found'),
        ('test.py', ['none', '--runs', '0'], '--runs 0'),
        ('test.py', ['none', '--episodes', '0'], 'num_episodes=0'),
    ],
)
def test_mistakes_end_with_one_sentence(name, args, message, config, tool, tmp_path):
    code, printed = tool(name, config, *args, '--work-dir', tmp_path)
    assert code == 1
    last = printed.strip().splitlines()[-1]
    assert last.startswith('error: ')
    assert message in last


def test_damaged_image_in_a_worker_is_named(config, tool, tmp_path):
    root = write_voc(tmp_path / 'voc')
    for path in (root / 'JPEGImages').iterdir():
        path.write_bytes(path.read_bytes()[:-200])
    code, printed = tool(
        'test.py', config, 'none', '--work-dir', tmp_path / 'work', '--cfg-options',
        f'test_dataloader.dataset.dataset.data_root={root}',
        'test_dataloader.num_workers=1',
    )  # fmt: skip
    assert code == 1
    last = printed.strip().splitlines()[-1]
    assert last.startswith('error: ')
    assert '.jpg' in last
    assert 'Traceback' not in last


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without GPU')
def test_amp_without_a_gpu_is_explained(config, tool, tmp_path):
    code, printed = tool('train.py', config, '--amp', '--work-dir', tmp_path)
    assert code == 1
    assert 'needs a GPU' in printed


def test_missing_config_is_explained(tool):
    code, printed = tool('train.py', 'configs/nothing.py')
    assert code == 1
    assert 'error: config configs/nothing.py not found' in printed


@pytest.mark.parametrize('content', ['foreign', 'garbage', 'empty'])
def test_checkpoint_of_something_else_is_explained(content, config, tool, tmp_path):
    path = tmp_path / 'foreign.pth'
    if content == 'foreign':
        torch.save(dict(state_dict={'conv.weight': torch.zeros(1)}), path)
    else:
        path.write_bytes(b'not a checkpoint' if content == 'garbage' else b'')
    code, printed = tool('test.py', config, path, '--work-dir', tmp_path)
    assert code == 1
    fits = 'does not fit the model'
    assert (fits if content == 'foreign' else 'is not a whole checkpoint') in printed


@pytest.mark.parametrize(
    'name', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_scripts_without_arguments_print_their_usage(name):
    done = subprocess.run([TOOLS / name], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'usage:' in done.stdout


def test_slurm_script_passes_everything_on(tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    done = subprocess.run(
        [TOOLS / 'slurm_train.sh', 'gpu', 'job', 'my config.py', '--fold', '2'],
        env={**os.environ, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', 'GPUS': '4'},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    assert words[-5:] == ['my config.py', '--launcher', 'slurm', '--fold', '2']
    assert '--ntasks=4' in words


def test_a_config_that_trains_nothing_says_how_to_test_it(tool):
    config = TOOLS.parent / 'configs' / 'ssp_dinov2-s_pascal5i_1shot_frozen.py'
    code, errors = tool('train.py', config)
    assert code == 1
    assert f'python tools/test.py {config} none' in errors


def test_weights_of_the_hub_that_are_missing_end_it_before_anything_else(
    tool, tmp_path, monkeypatch
):
    hub = pytest.importorskip('huggingface_hub')
    pytest.importorskip('transformers')
    monkeypatch.setattr(hub.constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    config = TOOLS.parent / 'configs' / 'ssp_dinov2-s_pascal5i_1shot.py'
    code, errors = tool('train.py', config, '--work-dir', tmp_path / 'work')
    assert code == 1
    assert errors.startswith("error: weights='facebook/dinov2-small' are not on this")

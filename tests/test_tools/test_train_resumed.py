"""A training that is stopped, anywhere, and resumed ends as one that never was."""

import json
import os
import random
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from processes import environment
from resume_parts import ADAMW, REPO, SGD, train, trained_episodes, write_config
from tiny_data import write_voc

pytestmark = pytest.mark.slow
KILLED = -9


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_voc(tmp_path_factory.mktemp('data') / 'voc')


@pytest.fixture(autouse=True)
def _shared_cache(monkeypatch, tmp_path_factory) -> None:
    monkeypatch.setenv('MMSSP_CACHE', str(tmp_path_factory.getbasetemp() / 'cache'))


@pytest.fixture(scope='module')
def config(root, tmp_path_factory) -> Path:
    return write_config(tmp_path_factory.mktemp('config') / 'tiny.py', root)


@pytest.fixture(scope='module')
def straight(config, tmp_path_factory) -> Path:
    """Work dir of a training of 8 iterations that was never stopped."""
    os.environ.setdefault('MMSSP_CACHE', str(tmp_path_factory.getbasetemp() / 'cache'))
    folder = tmp_path_factory.mktemp('straight')
    code, output = train(config, folder)
    assert code == 0, output[-3000:]
    return folder


@pytest.fixture
def copy(straight, tmp_path) -> Path:
    """A copy of that work dir, to be damaged."""
    return shutil.copytree(straight, tmp_path / 'copy')


def last_line(output: str) -> str:
    return output.strip().splitlines()[-1]


def saved(path: Path) -> dict:
    return torch.load(path, map_location='cpu', weights_only=False)


def files(folder: Path) -> set[str]:
    """All but the folders of logs, and the config."""
    return {p.name for p in folder.iterdir() if p.is_file() and p.suffix != '.py'}


def assert_equal(found, expected, path: str = '') -> None:
    """The same to the bit, whatever is nested in it."""
    assert type(found) is type(expected), path
    if isinstance(found, dict):
        assert found.keys() == expected.keys(), path
        for name in found:
            assert_equal(found[name], expected[name], f'{path}.{name}')
    elif isinstance(found, list | tuple):
        assert len(found) == len(expected), path
        for i, pair in enumerate(zip(found, expected, strict=True)):
            assert_equal(*pair, f'{path}[{i}]')
    elif isinstance(found, torch.Tensor):
        assert torch.equal(found, expected), path
    else:
        assert found == expected, path


def assert_same_end(found: Path, expected: Path, name: str) -> None:
    """All of a checkpoint is the same but times and paths, and the same files are there."""
    assert files(found) == files(expected)
    ours, theirs = saved(found / name), saved(expected / name)
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_equal(ours[part], theirs[part], part)
    for part in ('iter', 'epoch', 'seed', 'episodes_drawn', 'dataset_meta'):
        assert_equal(ours['meta'][part], theirs['meta'][part], part)
    ours, theirs = ours['message_hub'], theirs['message_hub']
    for part in ('best_score', 'keep_ckpt_ids', 'last_validation'):
        assert ours['runtime_info'][part] == theirs['runtime_info'][part]
    best = [Path(hub['runtime_info']['best_ckpt']).name for hub in (ours, theirs)]
    assert best[0] == best[1]
    assert_equal(
        *(saved(folder / best[0])['state_dict'] for folder in (found, expected))
    )
    assert ours['log_scalars'].keys() == theirs['log_scalars'].keys()
    for key, history in ours['log_scalars'].items():
        assert isinstance(history, HistoryBuffer)
        values, others = history.data[0], theirs['log_scalars'][key].data[0]
        assert len(values) == len(others), key
        if 'time' not in key and 'memory' not in key:
            assert np.array_equal(values, others), key


@pytest.mark.parametrize('optimizer', [SGD, ADAMW], ids=['SGD', 'AdamW'])
def test_three_kills_at_random_moments_change_nothing(optimizer, root, tmp_path):
    seed = int(os.environ.get('RESUME_SEED', random.SystemRandom().randrange(10**6)))
    print(f'RESUME_SEED={seed}')
    config = write_config(
        tmp_path / 'c.py', root, iters=30, interval=4, val_interval=8,
        optimizer=optimizer, workers=1,
    )  # fmt: skip
    code, output = train(config, tmp_path / 'straight')
    assert code == 0, output[-3000:]
    expected = trained_episodes(output)
    output = ''
    for stop in sorted(random.Random(seed).sample(range(2, 28), 3)):
        code, printed = train(config, tmp_path / 'stopped', '--resume', stop_at=stop)
        assert code == KILLED, printed[-3000:]
        output += printed
    code, printed = train(config, tmp_path / 'stopped', '--resume')
    assert code == 0, printed[-3000:]
    found = trained_episodes(output + printed)
    assert found == expected
    assert sorted(sum(found.values(), [])) == list(range(60))
    assert_same_end(tmp_path / 'stopped', tmp_path / 'straight', 'iter_30.pth')


def test_kills_while_files_are_written_change_nothing(config, straight, tmp_path):
    for moment, whole in {
        'write:iter_4': 'iter_2.pth',
        'after:iter_4': 'iter_4.pth',
        'validation:4': 'iter_4.pth',
        'write:best': 'iter_4.pth',
        'after:best': 'iter_4.pth',
        'write:iter_6': 'iter_4.pth',
        'write:last_checkpoint': 'iter_6.pth',
        'validation:8': 'iter_8.pth',
    }.items():
        code, output = train(config, tmp_path, '--resume', KILL=moment)
        assert code == KILLED, output[-3000:]
        left = [p for p in tmp_path.glob('.*') if p.is_file()]
        assert len(left) == moment.startswith('write'), moment
        numbers = [int(p.stem[5:]) for p in tmp_path.glob('iter_*.pth')]
        assert f'iter_{max(numbers)}.pth' == whole
        for path in tmp_path.glob('[!.]*.pth'):
            assert zipfile.ZipFile(path).testzip() is None
    code, output = train(config, tmp_path, '--resume')
    assert code == 0, output[-3000:]
    assert_same_end(tmp_path, straight, 'iter_8.pth')


def test_resume_without_a_checkpoint_begins_at_the_beginning(
    config, straight, tmp_path
):
    code, output = train(config, tmp_path, '--resume', stop_at=1)
    assert code == KILLED
    assert 'training starts anew' in output
    assert files(tmp_path) == set()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_newest_checkpoint_falls_back_with_a_warning(config, copy, straight):
    truncate(copy / 'iter_8.pth')
    code, output = train(config, copy, '--resume')
    assert code == 0, output[-3000:]
    warning = next(line for line in output.splitlines() if 'WARNING - Damaged' in line)
    assert 'iter_8.pth' in warning
    assert warning.endswith(f'going on from {copy / "iter_6.pth"}')
    assert sorted(trained_episodes(output)) == [7, 8]
    assert_same_end(copy, straight, 'iter_8.pth')


def test_without_a_readable_checkpoint_all_are_named(config, copy):
    for path in copy.glob('iter_*.pth'):
        truncate(path)
    code, output = train(config, copy, '--resume')
    assert code == 1
    assert last_line(output).startswith('error: none of the checkpoints')
    assert 'iter_8.pth' in last_line(output)
    assert 'iter_6.pth' in last_line(output)


class Touch:
    """Pickles as a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize('named', [False, True], ids=['found', 'named'])
def test_unsafe_checkpoint_is_refused_unread(named, config, copy, tmp_path):
    content = saved(copy / 'iter_8.pth')
    content['meta']['extra'] = Touch(tmp_path / 'touched')
    torch.save(content, copy / 'iter_8.pth')
    args = ['--resume', copy / 'iter_8.pth'] if named else ['--resume']
    code, output = train(config, copy, *args)
    assert code == 1
    assert last_line(output).startswith('error: ')
    assert 'iter_8.pth holds' in last_line(output)
    assert 'so it is refused' in last_line(output)
    assert not (tmp_path / 'touched').exists()


def test_weights_alone_are_no_checkpoint_to_resume_from(config, copy):
    best = next(copy.glob('best_*.pth'))
    code, output = train(config, copy, '--resume', best)
    assert code == 1
    assert f'{best} has no optimizer' in last_line(output)


def test_missing_checkpoint_is_explained(config, tmp_path):
    code, output = train(config, tmp_path / 'work', '--resume', tmp_path / 'gone.pth')
    assert code == 1
    assert 'gone.pth not found' in last_line(output)


def test_checkpoint_of_another_training_is_refused(config, copy):
    code, output = train(config, copy, '--resume', '--fold', '2')
    assert code == 1
    assert last_line(output).startswith('error: ')
    assert 'on other episodes: fold (0 then, 2 now)' in last_line(output)


@pytest.mark.parametrize(('file', 'keep'), [('iter_6', 1), ('best_mIoU_iter_8', 2)])
def test_full_disk_leaves_the_old_checkpoints(file, keep, config, straight, tmp_path):
    options = ['--cfg-options', f'default_hooks.checkpoint.max_keep_ckpts={keep}']
    code, output = train(config, tmp_path, *options, KILL=f'full:{file}')
    assert code == 1
    assert last_line(output).startswith(f'error: {tmp_path / file}.pth is not written')
    assert 'No space left' in last_line(output)
    newest = {'iter_6': 4, 'best_mIoU_iter_8': 8}[file]
    expected = {f'iter_{n}.pth' for n in range(newest, newest - 2 * keep, -2)}
    assert files(tmp_path) == expected | {'best_mIoU_iter_4.pth', 'last_checkpoint'}
    for path in tmp_path.glob('[!.]*.pth'):
        assert zipfile.ZipFile(path).testzip() is None
    code, output = train(config, tmp_path, '--resume', *options)
    assert code == 0, output[-3000:]
    assert_equal(*(saved(f / 'iter_8.pth')['state_dict'] for f in (tmp_path, straight)))


def test_loss_that_is_no_number_stops_with_the_files(config, root, tmp_path):
    code, output = train(config, tmp_path, KILL='spoil:6:0')
    assert code == 1
    message = last_line(output)
    assert message.startswith('error: iteration 6: the loss is not finite (loss nan,')
    assert 'on episode 10 (query ' in message
    assert 'episode 11 (query ' in message
    assert message.count(f'{root / "JPEGImages"}') == 4
    # neither the weights of that iteration, nor a later one's
    assert {p.name for p in tmp_path.glob('iter_*')} == {'iter_2.pth', 'iter_4.pth'}


def test_resumed_with_another_batch_size_no_episode_is_skipped(config, copy):
    options = [
        '--cfg-options',
        'train_dataloader.batch_size=3',
        'train_cfg.max_iters=10',
    ]
    code, output = train(config, copy, '--resume', *options)
    assert code == 0, output[-3000:]
    assert trained_episodes(output) == {9: [16, 17, 18], 10: [19, 20, 21]}
    assert saved(copy / 'iter_10.pth')['meta']['episodes_drawn'] == 22


def test_finished_training_is_left_as_it_is(config, copy, straight):
    code, output = train(config, copy, '--resume')
    assert code == 0, output[-3000:]
    assert trained_episodes(output) == {}
    assert_same_end(copy, straight, 'iter_8.pth')


def test_copied_work_dir_leaves_the_first_one_alone(config, copy, straight):
    before = files(straight)
    options = ['--cfg-options', 'train_cfg.max_iters=12']
    # whatever comes next is the best
    content = saved(copy / 'iter_8.pth')
    content['message_hub']['runtime_info']['best_score'] = -1.0
    torch.save(content, copy / 'iter_8.pth')
    code, output = train(config, copy, '--resume', *options)
    assert code == 0, output[-3000:]
    assert files(straight) == before
    assert [p.name for p in copy.glob('best*')] == ['best_mIoU_iter_12.pth']


def train_in_two_processes(config: Path, work_dir: Path, *args, **env: str):
    """tools/dist_train.sh on a free port: exit code and what it printed."""
    done = subprocess.run(
        [REPO / 'tools' / 'dist_train.sh', config, '2', '--work-dir', work_dir, *args],
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def test_two_processes_are_resumed_to_the_bit(config, tmp_path):
    """Each with chance of its own, killed in a validation, so after iteration 4."""
    code, output = train_in_two_processes(config, tmp_path / 'straight')
    assert code == 0, output[-3000:]
    folder = tmp_path / 'stopped'
    code, output = train_in_two_processes(config, folder, KILL='validation:4')
    assert code != 0
    assert {p.name for p in folder.glob('iter_*')} == {'iter_2.pth', 'iter_4.pth'}
    code, output = train_in_two_processes(config, folder, '--resume')
    assert code == 0, output[-3000:]
    # the two may write into one line
    drawn = re.findall(r'{"iter": \d+, "episodes": (\[.*?\])}', output)
    assert sorted(sum(map(json.loads, drawn), [])) == list(range(16, 32))
    assert_same_end(folder, tmp_path / 'straight', 'iter_8.pth')


def test_loss_that_is_no_number_in_any_process_ends_all(config, root, tmp_path):
    code, output = train_in_two_processes(config, tmp_path, KILL='spoil:4:1')
    assert code != 0
    messages = [
        line for line in output.splitlines() if line.startswith('error: iteration 4:')
    ]
    assert messages
    for message in messages:
        assert 'the loss is not finite in process 1' in message
        # the fourth pair of the second process: 2 * 2 * 3 + 1 and so on
        assert 'on episode 13 (query ' in message
        assert 'episode 15 (query ' in message
        assert str(root / 'JPEGImages') in message
    assert 'in process 0' not in output
    assert {p.name for p in tmp_path.glob('iter_*')} == {'iter_2.pth'}

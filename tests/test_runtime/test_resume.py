"""Which checkpoint of a work dir is the one to resume from, and which one is not."""

import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from mmssp.runtime.checkpoints import UnreadableCheckpoint
from mmssp.runtime.resume import (
    check_same_training,
    choose_checkpoint,
    find_checkpoints,
    read_training,
    remove_unfinished,
)


@pytest.fixture
def work_dir(tmp_path):
    for name in ('iter_2', 'iter_10', 'iter_300', 'best_mIoU_iter_10', 'other'):
        (tmp_path / f'{name}.pth').touch()
    (tmp_path / '.iter_400.abcdefgh.pth').touch()
    return tmp_path


def names(work_dir) -> list[str]:
    return [path.stem for path in find_checkpoints(work_dir)]


def test_without_a_pointer_the_highest_number_comes_first(work_dir):
    assert names(work_dir) == ['iter_300', 'iter_10', 'iter_2']


def test_an_empty_pointer_is_none(work_dir):
    (work_dir / 'last_checkpoint').touch()
    assert names(work_dir) == ['iter_300', 'iter_10', 'iter_2']


def test_what_the_pointer_names_hides_newer_ones_of_an_earlier_training(work_dir):
    (work_dir / 'last_checkpoint').write_text(f'{work_dir / "iter_10.pth"}\n')
    assert names(work_dir) == ['iter_10', 'iter_2']


def test_the_pointer_of_a_copied_folder_means_the_copy(work_dir):
    (work_dir / 'last_checkpoint').write_text('/elsewhere/iter_300.pth')
    assert find_checkpoints(work_dir)[0] == work_dir / 'iter_300.pth'


def test_a_file_that_is_gone_is_named_before_older_ones(work_dir):
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'iter_200.pth'))
    assert names(work_dir) == ['iter_200', 'iter_10', 'iter_2']


def test_checkpoints_may_be_in_another_folder(work_dir, tmp_path_factory):
    other = tmp_path_factory.mktemp('other')
    (other / 'last_checkpoint').write_text(str(work_dir / 'iter_10.pth'))
    assert find_checkpoints(other) == [
        work_dir / 'iter_10.pth',
        work_dir / 'iter_2.pth',
    ]


def test_an_empty_folder_has_none(tmp_path):
    assert find_checkpoints(tmp_path) == []


def test_only_unfinished_checkpoints_are_removed(work_dir):
    (work_dir / '.last_checkpoint.12345678').touch()
    (work_dir / '.best_mIoU_iter_3.a_c4efgh.pth').touch()
    for name in ('.hidden.pth', '.iter_1.pth', '.iter_1.toolong12.pth', '.nfs0001'):
        (work_dir / name).touch()
    removed = {path.name for path in remove_unfinished(work_dir)}
    assert removed == {
        '.iter_400.abcdefgh.pth',
        '.last_checkpoint.12345678',
        '.best_mIoU_iter_3.a_c4efgh.pth',
    }
    assert not any((work_dir / name).exists() for name in removed)
    assert (work_dir / '.hidden.pth').exists()


def checkpoint() -> dict:
    return dict(
        meta=dict(iter=3, dataset_meta=dict(fold=1, seeds=[0], class_names={1: 'cat'})),
        state_dict=nn.Linear(64, 3).state_dict(),
        message_hub=dict(log_scalars={}),
        optimizer=dict(state={}, param_groups=[]),
    )


def write(path: Path, how: str = '') -> Path:
    torch.save(checkpoint(), path)
    data = bytearray(path.read_bytes())
    if how == 'truncated':
        del data[-100:]
    elif how == 'empty':
        data.clear()
    elif how == 'text':
        data[:] = b'no checkpoint'
    elif how == 'one bit':
        with zipfile.ZipFile(path) as archive:
            info = max(archive.infolist(), key=lambda info: info.file_size)
        data[info.header_offset + 30 + len(info.filename) + info.file_size // 2] ^= 1
    path.write_bytes(data)
    return path


def test_a_whole_checkpoint_is_read(tmp_path):
    found = read_training(write(tmp_path / 'iter_3.pth'))
    assert found['meta'] == checkpoint()['meta']
    assert found['state_dict']['weight'].shape == (3, 64)


@pytest.mark.parametrize('how', ['truncated', 'empty', 'text', 'one bit'])
def test_a_damaged_one_is_passed_over(how, tmp_path):
    write(tmp_path / 'iter_9.pth', how)
    with pytest.raises(UnreadableCheckpoint, match=r'iter_9\.pth is not a whole'):
        read_training(tmp_path / 'iter_9.pth')
    with pytest.raises(ValueError, match='none of the checkpoints'):
        choose_checkpoint(tmp_path)
    whole = write(tmp_path / 'iter_3.pth')
    path, reasons = choose_checkpoint(tmp_path)
    assert path == whole
    assert len(reasons) == 1


@pytest.mark.parametrize('part', ['meta', 'state_dict', 'message_hub', 'optimizer'])
def test_one_without_a_part_is_not_resumed_from(part, tmp_path):
    content = checkpoint()
    del content[part]
    torch.save(content, tmp_path / 'c.pth')
    with pytest.raises(ValueError, match=f'has no {part}, so'):
        read_training(tmp_path / 'c.pth')


def test_tensors_alone_are_not_resumed_from(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / 'c.pth')
    with pytest.raises(ValueError, match='holds a list'):
        read_training(tmp_path / 'c.pth')


def test_the_same_training_passes():
    check_same_training(
        checkpoint(), nn.Linear(64, 3), dict(fold=1, seeds=[0], class_names={1: 'cat'})
    )
    check_same_training(checkpoint(), nn.Linear(64, 3), None)


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (dict(fold=2), r'fold \(1 then, 2 now\) differ'),
        (dict(seeds=[1]), r'seeds \(\[0\] then, \[1\] now\) differ'),
        (dict(class_names={1: 'dog'}), 'class_names differ'),
    ],
)
def test_other_episodes_are_told(changed, message):
    with pytest.raises(ValueError, match=message):
        check_same_training(checkpoint(), nn.Linear(64, 3), changed)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (nn.Linear(64, 4), 'another model: weight, bias differ'),
        (nn.Linear(64, 3, bias=False), 'another model: bias differ'),
    ],
)
def test_another_model_is_told(model, message):
    with pytest.raises(ValueError, match=message):
        check_same_training(checkpoint(), model, None)

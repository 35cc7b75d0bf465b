"""Which checkpoint of a work dir is the one to resume from."""

import pytest

from mmssp.utils.resume import find_checkpoints, remove_unfinished


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

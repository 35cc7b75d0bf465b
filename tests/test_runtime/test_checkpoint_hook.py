"""What DurableCheckpointHook keeps, and where it writes."""

from types import SimpleNamespace

import pytest
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook

from mmssp.runtime.checkpoint_hook import DurableCheckpointHook, _RemoveLater


@pytest.fixture
def hook(tmp_path) -> DurableCheckpointHook:
    """Its best checkpoint so far is of iteration 3."""
    hook = DurableCheckpointHook(by_epoch=False, save_best='mIoU', rule='greater')
    hook.file_backend = _RemoveLater(LocalBackend())
    hook.best_ckpt_path = str(tmp_path / 'best_mIoU_iter_3.pth')
    (tmp_path / 'best_mIoU_iter_3.pth').write_text('old')
    return hook


def save_best(hook, monkeypatch, path) -> None:
    """As mmengine's hook: remove the old one, then save the new one."""

    def saved(self, runner, metrics) -> None:
        self.file_backend.remove(self.best_ckpt_path)
        self.best_ckpt_path = str(path)
        path.write_text('new')

    monkeypatch.setattr(CheckpointHook, '_save_best_checkpoint', saved)
    hook._save_best_checkpoint(SimpleNamespace(), {})


def test_the_old_best_one_goes(hook, monkeypatch, tmp_path):
    save_best(hook, monkeypatch, tmp_path / 'best_mIoU_iter_6.pth')
    assert [p.name for p in tmp_path.glob('best*')] == ['best_mIoU_iter_6.pth']


def test_a_best_one_of_the_same_name_stays(hook, monkeypatch, tmp_path):
    save_best(hook, monkeypatch, tmp_path / 'best_mIoU_iter_3.pth')
    assert (tmp_path / 'best_mIoU_iter_3.pth').read_text() == 'new'


def test_checkpoints_that_are_folders_go_too(hook, tmp_path):
    (tmp_path / 'iter_1' / 'part').mkdir(parents=True)
    hook.file_backend.rmtree(str(tmp_path / 'iter_1'))
    assert (tmp_path / 'iter_1').exists()
    hook.file_backend.remove_now()
    assert not (tmp_path / 'iter_1').exists()


@pytest.mark.parametrize(
    ('out_dir', 'expected'),
    [
        (None, dict(backend='durable')),
        ('work', dict(backend='durable')),
        ('s3://bucket/work', None),
    ],
)
def test_local_files_are_durable_and_others_found_by_prefix(out_dir, expected):
    assert DurableCheckpointHook(out_dir=out_dir).backend_args == expected


def runner_with(split: str, saved: list) -> SimpleNamespace:
    """A runner that asks the hook before it saves, as mmengine's does."""
    metainfo = dict(split=split, class_names={1: 'cat'}, shots=1)
    runner = SimpleNamespace(
        val_dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo=metainfo)),
        message_hub=SimpleNamespace(update_info=lambda *_: None),
        work_dir='.',
    )

    meta = {}  # mmengine writes one into both

    def save(hook) -> None:
        checkpoint = dict(meta=meta)
        hook.before_save_checkpoint(runner, checkpoint)
        saved.append(checkpoint['meta'])

    runner.save = save
    return runner


@pytest.mark.parametrize('split', ['base', 'novel'])
def test_the_best_one_records_what_it_was_selected_by(split, hook, monkeypatch):
    saved = []
    runner = runner_with(split, saved)
    runner.save_checkpoint = lambda *_, **__: runner.save(hook)

    def save(self, runner, metrics) -> None:
        runner.save(self)  # the best one
        self._save_checkpoint_with_step(runner, 3, {})  # the last one, again

    monkeypatch.setattr(CheckpointHook, '_save_best_checkpoint', save)
    monkeypatch.setattr('mmssp.runtime.checkpoint_hook.is_main_process', lambda: False)
    hook.out_dir, hook.args, hook.file_client_args = '.', {}, None
    runner.save(hook)  # one between validations
    hook._save_best_checkpoint(runner, {})
    best = dict(selected_on=dict(split=split, class_names={1: 'cat'}))
    assert saved == [{}, best, {}]

"""Checkpoints that are whole whenever a training is stopped."""

from collections import deque
from collections.abc import Container
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmssp.runtime.checkpoints import SELECTED_ON
from mmssp.runtime.durable_backend import DurableLocalBackend
from mmssp.runtime.resume import POINTER, remove_unfinished


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, safe against being stopped anywhere, and a full disk.

    A file appears under its name when all of it is on the disk. An old checkpoint, or the
    best one so far, is removed only when the one in its place is there, so for that
    moment there is room for ``max_keep_ckpts + 1`` needed, and for two of the best. A
    folder that was copied or moved is at home where it is now: nothing is removed where
    it came from. The best one records by which classes it was selected
    (``meta['selected_on']``), so that a test of them can say so.

    Args:
        *args: As for mmengine's hook.
        backend_args: As there; by default, local files that are written so, and whatever
            the prefix of another ``out_dir`` says.
        **kwargs: As for mmengine's hook.
    """

    file_backend: Any
    keep_ckpt_ids: deque[int]
    best_ckpt_path: str | None
    _selecting = False

    def __init__(
        self, *args: Any, backend_args: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if backend_args is None and ':/' not in str(kwargs.get('out_dir')):
            # other places than local folders are found by their prefix
            backend_args = dict(backend='durable')
        super().__init__(*args, backend_args=backend_args, **kwargs)

    def before_train(self, runner: Runner) -> None:
        """Take up the state that was resumed; clear away what was cut off."""
        super().before_train(runner)
        self.file_backend = _RemoveLater(self.file_backend)
        if is_main_process():
            for path in remove_unfinished(self.out_dir):
                runner.logger.info(f'Removed {path}, which was never finished')
        newest = Path(self.out_dir, self.filename_tmpl.format(runner.iter))
        if not self.by_epoch and newest.is_file():
            self.last_ckpt = str(newest)
        best = getattr(self, 'best_ckpt_path', None)
        if best:
            self.best_ckpt_path = self._at_home(best)
        for name, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[name] = path and self._at_home(path)

    def _at_home(self, path: str) -> str:
        return self.file_backend.join_path(self.out_dir, Path(path).name)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        self._selecting = True
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self._selecting = False
        self._remove_replaced()

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Record in the best checkpoint what it was selected by."""
        if self._selecting:
            dataset = runner.val_dataloader.dataset
            metainfo = getattr(dataset, 'metainfo', {})
            record = {
                key: metainfo[key]
                for key in ('split', 'class_names')
                if key in metainfo
            }
            # a new dict: mmengine writes the old one into the next checkpoint as well
            checkpoint['meta'] = dict(checkpoint['meta'], **{SELECTED_ON: record})

    def _remove_replaced(self) -> None:
        best = {getattr(self, 'best_ckpt_path', None)}
        best.update(getattr(self, 'best_ckpt_path_dict', {}).values())
        self.file_backend.remove_now(best)

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict[str, Any]
    ) -> None:
        # one that is written again for a new best score was not selected
        self._selecting = False
        # The new best one is there: what it replaces can go. Not after the next file,
        # which says which one is the best: stopped in between, nobody would remove it.
        self._remove_replaced()
        if self.max_keep_ckpts > 0:
            kept = [*(other for other in self.keep_ckpt_ids if other != step), step]
            # With those that go next: stopped before that, resuming removes them.
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            pointer = Path(runner.work_dir, POINTER)
            DurableLocalBackend().put_text(self.last_ckpt, pointer)
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
            for old in set(kept) - set(self.keep_ckpt_ids):
                self.file_backend.remove(self._at_home(self.filename_tmpl.format(old)))
            self._remove_replaced()


class _RemoveLater:
    """A file backend that removes when it is told to, in the first process."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._waiting: list[str] = []

    def remove(self, path: str) -> None:
        self._waiting.append(path)

    # checkpoints of some strategies are folders
    rmtree = remove

    def remove_now(self, keep: Container[str | None] = ()) -> None:
        """Remove what waits, but what was written anew under its name since."""
        while self._waiting:
            path = self._waiting.pop()
            if path in keep or not is_main_process():
                continue
            if self._backend.isfile(path):
                self._backend.remove(path)
            elif self._backend.isdir(path):
                self._backend.rmtree(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

"""Lets an interrupted training go on as if it had never been stopped."""

from collections.abc import Iterator
from typing import Any

from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmseg.registry import HOOKS
from torch.utils.data import DataLoader

from mmssp.runtime.resume import (
    check_same_training,
    choose_checkpoint,
    read_training,
)
from mmssp.utils.random_state import seed_generators

VALIDATED = 'last_validation'
EPISODES = 'episodes_drawn'


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes ``--resume`` give the weights of the training that was never stopped.

    mmengine brings back weights, optimizer, schedulers and log. This adds:

    - The newest checkpoint that can be read is taken; damaged ones are passed over with a
      warning, and one that asks for code to be run is refused.
    - The next episodes are those after the last ones trained on, also with another batch
      size or number of processes, and without loading the ones before.
    - Chance in an iteration (dropout, say) is a function of the training's seed, the
      process and the iteration alone, so that there is no state of it to be kept.
    - A validation that was cut off is made up for, and with it the best score.

    It is for iteration-based training; of an epoch-based one it chooses the checkpoint,
    and lets epochs end. What it costs is that a checkpoint is read twice, and that
    resuming begins with a validation where one was due at the checkpoint, unless that
    checkpoint was written again after it, for a new best score: no other file tells that
    it was done.

    Args:
        start_from: Checkpoint whose weights a training begins with that has none to be
            resumed from yet.
    """

    # The generators have to be set before other hooks draw from them.
    priority = 'VERY_HIGH'

    def __init__(self, start_from: str | None = None) -> None:
        self.start_from = start_from
        self._resumes = False
        self._known_episodes: int | None = None
        self._start = 0, 0

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint, in the first process for all of them.

        Raises:
            FileNotFoundError: If the named checkpoint is missing.
            ValueError: If it cannot be resumed from, or none of the work dir can be read.
        """
        self._resumes, self._known_episodes = bool(runner._resume), None
        if not self._resumes:
            return
        choice: list[Any] = [None, None]
        if get_rank() == 0:
            try:
                choice[0] = _chosen(runner)
            except (ValueError, OSError) as error:
                choice[1] = error
        # all end with the same message, or go on from the same file
        broadcast_object_list(choice)
        if choice[1] is not None:
            raise choice[1]
        runner._resume = self._resumes = choice[0] is not None
        runner._load_from = choice[0] or self.start_from

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Take up where the episodes stand.

        Raises:
            ValueError: If the checkpoint is of another model or of other episodes.
        """
        if not self._resumes:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        episodes = getattr(runner.train_dataloader.dataset, 'metainfo', None)
        check_same_training(checkpoint, model, episodes)
        self._known_episodes = checkpoint['meta'].get(EPISODES)

    def before_train(self, runner: Runner) -> None:
        """Let the dataloader begin after the episodes that were trained on."""
        loop = runner.train_loop
        drawn = self._known_episodes
        if drawn is None:
            drawn = runner.iter * _episodes_per_iter(runner)
        self._start = runner.iter, drawn
        sampler: Any = getattr(loop.dataloader, 'sampler', None)
        if isinstance(loop, EpochBasedTrainLoop) and hasattr(sampler, 'end_epochs'):
            sampler.end_epochs()
        if (
            runner.iter
            and isinstance(loop, IterBasedTrainLoop)
            and sampler is not None
            and hasattr(sampler, 'start_at')
        ):
            sampler.start_at(drawn)
            # an option of the newer mmengine: it then asks for none of them
            forwards = getattr(loop, 'fast_forward_on_resume', False)
            skipped = 0 if forwards else runner.iter
            loop.dataloader_iterator = _Batches(loop.dataloader, skipped)

    def before_train_epoch(self, runner: Runner) -> None:
        """Make up for a validation that the training was stopped in."""
        loop = runner.train_loop
        if not self._resumes or not isinstance(loop, IterBasedTrainLoop):
            return
        # with dynamic_intervals, the interval that holds now
        loop._decide_current_val_interval()
        if (
            runner.val_loop is not None
            and runner.iter >= loop.val_begin
            and (runner.iter % loop.val_interval == 0 or runner.iter == loop.max_iters)
            and runner.message_hub.get_info(VALIDATED) != runner.iter
        ):
            runner.logger.info(f'Validating iteration {runner.iter} first')
            runner.val_loop.run()

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Set the generators."""
        seed_generators(runner.seed, get_rank(), runner.iter)

    def before_val(self, runner: Runner) -> None:
        """Set the generators within a training."""
        if isinstance(runner._train_loop, BaseLoop):
            seed_generators(runner.seed, get_rank(), runner.iter, 1)

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, Any] | None = None
    ) -> None:
        """Note that it was done, for the checkpoint that keeps its score."""
        if isinstance(runner._train_loop, BaseLoop):
            runner.message_hub.update_info(VALIDATED, runner.iter)

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Store where the episodes stand."""
        iterations = checkpoint['meta']['iter'] - self._start[0]
        checkpoint['meta'][EPISODES] = self._start[1] + iterations * _episodes_per_iter(
            runner
        )


class _Batches:
    """Batches for a loop that first asks for all it has already had.

    mmengine's loop either calls ``skip_iter``, or (0.10.7) takes that many batches and
    throws them away; here the sampler begins after them, and nothing is loaded.
    """

    def __init__(self, dataloader: DataLoader[Any], skipped: int) -> None:
        self._dataloader = dataloader
        self._skipped = skipped
        self._batches: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._skipped:
            self._skipped -= 1
            return None
        if self._batches is None:
            self._batches = iter(self._dataloader)
        return next(self._batches)

    def skip_iter(self, num_iters: int) -> None:
        self._skipped = max(0, self._skipped - num_iters)


def _chosen(runner: Runner) -> str | None:
    """The file to resume from; None to begin at the beginning."""
    if runner._load_from is not None:
        read_training(runner._load_from)
        return str(runner._load_from)
    path, passed_over = choose_checkpoint(runner.work_dir)
    for reason in passed_over:
        runner.logger.warning(
            f'Damaged checkpoint passed over: {reason}; going on from {path}'
        )
    if path is None:
        runner.logger.info(
            f'No checkpoint in {runner.work_dir} yet: training starts anew'
        )
    return None if path is None else str(path)


def _episodes_per_iter(runner: Runner) -> int:
    """Of all processes together."""
    return int(runner.train_dataloader.batch_size or 1) * get_world_size()

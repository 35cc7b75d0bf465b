"""Ends a training whose numbers are no longer any, and says at which episodes."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops training at a loss of NaN or infinity, naming the episodes of that batch.

    By then the weights are spoilt, so no checkpoint of them is written: the last one
    holds good weights. For the same reason, no weights are saved that aren't finite,
    which a gradient can be the cause of, although the loss was a number.

    What it costs: the loss, one number, is read after each iteration. mmengine's
    RuntimeInfoHook, which every Runner has, reads it before for the log, and that is when
    the process waits for the GPU; it does not wait a second time. With several processes,
    one number is summed up over them, for which each waits for the others in every
    iteration, so that all end together with the message of the one that saw it. When a
    checkpoint is saved, its weights, then in the CPU's memory, are looked through once.
    """

    # Before checkpoints are saved.
    priority = 'ABOVE_NORMAL'

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Look at the loss.

        Raises:
            ValueError: If it is not finite in any process.
        """
        losses = outputs or {}
        total = losses.get('loss', 0.0)
        spoilt = not bool(torch.as_tensor(total).isfinite().all())
        count = torch.tensor(int(spoilt))
        all_reduce(count)
        if not count:
            return
        own = _complaint(runner, data_batch, losses) if spoilt else None
        seen = [complaint for complaint in all_gather_object(own) if complaint]
        raise ValueError(
            f'iteration {runner.iter + 1}: {"; ".join(seen)}; look at these files, or '
            'lower the learning rate: --resume goes on from the last checkpoint, which '
            'is from before'
        )

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Look at the weights.

        Raises:
            ValueError: If they are not finite.
        """
        spoilt = [
            name
            for name, value in checkpoint['state_dict'].items()
            if value.is_floating_point() and not value.isfinite().all()
        ]
        if spoilt:
            raise ValueError(
                f'{len(spoilt)} of the weights to be saved, {spoilt[0]} first, are not '
                'finite although the loss was: lower the learning rate or clip gradients '
                '(optim_wrapper.clip_grad); the last checkpoint stays, and --resume goes '
                'on from it'
            )


def _complaint(runner: Runner, batch: Any, losses: dict[str, Any]) -> str:
    """What this process saw."""
    values = ', '.join(
        f'{name} {float(torch.as_tensor(value).mean()):g}'
        for name, value in losses.items()
        if 'loss' in name
    )
    samples = batch.get('data_samples', []) if isinstance(batch, dict) else []
    episodes = ', '.join(_described(samples)) or 'a batch without data_samples'
    rank = f' in process {get_rank()}' if get_world_size() > 1 else ''
    return f'the loss is not finite{rank} ({values}) on {episodes}'


def _described(samples: Sequence[Any]) -> Iterator[str]:
    """An episode and its files, each."""
    for sample in samples:
        supports = ', '.join(map(str, sample.get('support_img_paths') or []))
        yield (
            f'episode {sample.get("episode")} (query {sample.get("img_path")}, '
            f'supports {supports})'
        )

"""A learning rate that rises, then falls, in shares of the training's length."""

import math
from typing import Any

from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmseg.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """Rises linearly for a share of all iterations, then falls along half a cosine.

    It needs no number of iterations: MMEngine's runner gives ``end``, the length of the
    training, so ``train_cfg.max_iters=…`` on the command line moves all of it.

    Args:
        optimizer: What it changes; given by the runner.
        warmup: Share of the iterations that the rise takes, in [0, 1).
        start_ratio: Of the learning rate, in the first iteration, in (0, 1]; without a
            warm-up it counts for nothing.
        end_ratio: Of the learning rate, which the fall ends at, in [0, 1].
        by_epoch: Whether ``begin`` and ``end`` are epochs. A config of iterations has to
            say False, since the runner takes True for what is not said.
        **kwargs: ``begin``, ``end``, ``last_step`` and ``verbose`` as for MMEngine's.

    Raises:
        ValueError: If a share is out of its range.
    """

    def __init__(
        self,
        optimizer: Any,
        warmup: float = 0.1,
        start_ratio: float = 0.01,
        end_ratio: float = 0.01,
        by_epoch: bool = True,
        **kwargs: Any,
    ) -> None:
        if not 0 <= warmup < 1:
            raise ValueError(f'warmup={warmup}: expected a share, 0 or more, below 1')
        if not 0 < start_ratio <= 1:
            raise ValueError(f'start_ratio={start_ratio}: expected above 0, at most 1')
        if not 0 <= end_ratio <= 1:
            raise ValueError(f'end_ratio={end_ratio}: expected 0 to 1')
        self.warmup = warmup
        self.start_ratio = start_ratio
        self.end_ratio = end_ratio
        super().__init__(optimizer, 'lr', by_epoch=by_epoch, **kwargs)

    def _get_value(self) -> list[float]:
        ratio = self.ratio(self.last_step, self.end - self.begin)
        return [base * ratio for base in self.base_values]

    def ratio(self, step: int, steps: int) -> float:
        """What the learning rate is multiplied by.

        Args:
            step: 0 to ``steps - 1``.
            steps: Of the whole schedule, 1 or more.

        Returns:
            ``start_ratio`` to 1 in the warm-up, then 1 down to ``end_ratio``.
        """
        rise = round(self.warmup * steps)
        if step < rise:
            return self.start_ratio + (1 - self.start_ratio) * step / rise
        fallen = (step - rise) / max(1, steps - 1 - rise)
        return (
            self.end_ratio + (1 - self.end_ratio) * (1 + math.cos(math.pi * fallen)) / 2
        )

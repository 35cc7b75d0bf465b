"""Warns when a training makes a model worse than it was before."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, Runner
from mmseg.registry import HOOKS

UNTRAINED = 'untrained_score'
"""Name in the message hub, which checkpoints hold."""

ADVICE = (
    'lower the learning rate (optim_wrapper.optimizer.lr), freeze more of the backbone or '
    'train for fewer iterations (train_cfg.max_iters); or use the model untrained, which '
    'can learn from a few labelled images by itself (FewShotInferencer.adapt, '
    'tools/predict.py --adapt)'
)


@HOOKS.register_module()
class UntrainedScoreHook(Hook):
    """Validates before the first iteration, and warns at each later score below that.

    A pretrained backbone matches before any training, and a training on few images can
    make it worse. With ``save_best`` of the checkpoint hook, the untrained model is the
    first best one, so that ``best_*`` is never worse than no training was.

    What it costs is one validation. The configs of benchmarks go without it, that of
    data of one's own has it. Weights do not change by it: random numbers are set before
    each iteration by :class:`ExactResumeHook`.

    The score is kept in checkpoints, so that a resumed training compares with it as well.
    One that is resumed from a checkpoint without it compares with nothing, and says so.

    Args:
        metric: Of the validation's scores, with or without the prefix of its evaluator;
            higher is better.

    Raises:
        ValueError: If the validation has no such score.
    """

    def __init__(self, metric: str = 'mIoU') -> None:
        self.metric = metric

    def before_train_epoch(self, runner: Runner) -> None:
        """Validate the model as it begins; only before the first iteration."""
        if runner.iter:
            if runner.message_hub.get_info(UNTRAINED) is None:
                _warn(
                    f'the score before training is not known: it was not measured before '
                    f'iteration {runner.iter}'
                )
        elif runner.val_loop is None:
            _warn(
                'no validation, so that no score before training can be compared with'
            )
        else:
            runner.logger.info('Validating before training')
            runner.val_loop.run()

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, Any] | None = None
    ) -> None:
        """Keep the first score, compare later ones."""
        # a validation by itself has no training to be compared with
        if not isinstance(runner._train_loop, BaseLoop):
            return
        score = self._score(metrics or {})
        if not runner.iter:
            runner.message_hub.update_info(UNTRAINED, score)
            return
        untrained = runner.message_hub.get_info(UNTRAINED)
        if untrained is not None and score < untrained:
            _warn(
                f'iteration {runner.iter}: {self.metric} {score:.2f} is below the '
                f'{untrained:.2f} of the model before training: {ADVICE}'
            )

    def _score(self, metrics: Mapping[str, Any]) -> float:
        for name, value in metrics.items():
            if name.rpartition('/')[2] == self.metric:
                return float(value)
        raise ValueError(
            f'{type(self).__name__}: the validation has no score {self.metric!r}, but '
            f'{sorted(metrics)}: name one of these, metric=…'
        )


def _warn(text: str) -> None:
    print_log(text, 'current', logging.WARNING)

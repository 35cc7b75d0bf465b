"""Lets cuDNN look for its fastest kernels where all images are of one size: in training."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class CudnnBenchmarkHook(Hook):
    """``cudnn_benchmark`` for training on crops of one size, and not for validation.

    cuDNN tries its kernels for every new size of image. Over crops that is done once;
    over validation images at their original sizes it takes longer than it gains, so
    ``env_cfg.cudnn_benchmark`` stays False. Nothing is changed where the training is to
    be deterministic (``randomness=dict(deterministic=True)``), or without a GPU.
    """

    def __init__(self) -> None:
        self._before: bool | None = None

    def before_train(self, runner: Runner) -> None:
        """From here on, but for validations."""
        if torch.cuda.is_available() and not torch.backends.cudnn.deterministic:
            self._before = torch.backends.cudnn.benchmark
            torch.backends.cudnn.benchmark = True

    def before_val(self, runner: Runner) -> None:
        """Images of any size come."""
        if self._before is not None:
            torch.backends.cudnn.benchmark = self._before

    def after_val(self, runner: Runner, **kwargs: Any) -> None:
        """Crops again."""
        if self._before is not None:
            torch.backends.cudnn.benchmark = True

    def after_train(self, runner: Runner) -> None:
        """As it was."""
        if self._before is not None:
            torch.backends.cudnn.benchmark = self._before
            self._before = None

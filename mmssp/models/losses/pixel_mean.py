"""A loss as the mean over the pixels of all processes that are not ignored."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmseg.registry import MODELS
from torch import Tensor, nn

NUM_CLASSES = 2


def cross_entropy(loss_weight: float) -> dict[str, Any]:
    """Config of the published loss: the mean is over the pixels that are not ignored."""
    return dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=loss_weight)


def build_losses(loss: dict[str, Any] | Sequence[dict[str, Any]]) -> nn.ModuleList:
    """Losses of one config or of several."""
    configs = [loss] if isinstance(loss, dict) else loss
    return nn.ModuleList(MODELS.build(config) for config in configs)


def class_counts(*masks: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Pixels of background and of foreground in sets of masks: the mean over processes.

    With several processes, and with gradient, all of them have to be here at once; under
    ``torch.no_grad()`` each counts by itself. The numbers stay on the device, where
    mmseg's losses would wait for them.

    Args:
        *masks: Each a tensor of integers in {0, 1, 255}, or a sequence of such.

    Returns:
        (2,) for each argument, float with several processes.
    """
    counts = torch.stack(
        [
            torch.stack(
                [
                    sum((part == c).sum() for part in parts)  # type: ignore[misc]
                    for c in range(NUM_CLASSES)
                ]
            )
            for parts in ([m] if isinstance(m, Tensor) else m for m in masks)
        ]
    )
    if torch.is_grad_enabled() and get_world_size() > 1:
        all_reduce(counts)
        counts = counts / get_world_size()
    return list(counts)


class PixelMean:
    """Applies losses so that their mean is over pixels, whichever process has them.

    A mean of the means of processes weighs a pixel by how many others its process has.
    Here the divisor is the number of pixels of all processes over their number, so that
    the mean of their gradients is the gradient of one process with all their episodes.
    That holds for losses with ``avg_non_ignore=True``; others keep mmseg's own mean.

    Args:
        counts: (2,) pixels of background and foreground, from :func:`class_counts`.
        ignore_index: Label that counts nowhere.
        sampler: Chooses pixels, as mmseg's ``OHEMPixelSampler``; None takes all.
    """

    def __init__(
        self, counts: Tensor, ignore_index: int = 255, sampler: Any = None
    ) -> None:
        self.counts = counts
        self.ignore_index = ignore_index
        self.sampler = sampler

    def __call__(
        self, losses: nn.Module | nn.ModuleList, logits: Tensor, truth: Tensor
    ) -> Tensor:
        """The sum of some losses.

        Args:
            losses: One, or several.
            logits: (N,2,H,W), background first.
            truth: (N,H,W) int64 in {0, 1, ignore_index}.

        Returns:
            A scalar.
        """
        weight = None
        if self.sampler is not None:
            weight = self.sampler.sample(logits, truth[:, None])
        terms = losses if isinstance(losses, nn.ModuleList) else [losses]
        total = logits.new_zeros(())
        for term in terms:
            options = dict(weight=weight, ignore_index=self.ignore_index)
            if getattr(term, 'avg_non_ignore', False):
                options['avg_factor'] = self._divisor(term, logits)
            total = total + term(logits, truth, **options)
        return total

    def _divisor(self, loss: nn.Module, logits: Tensor) -> Tensor:
        if getattr(loss, 'use_sigmoid', False):
            # binary cross-entropy has a number for each channel, and weighs by class
            # without a part in the mean
            return self.counts.sum() * logits.shape[1]
        weights = getattr(loss, 'class_weight', None)
        if weights is None:
            return self.counts.sum()
        return (self.counts * logits.new_tensor(weights)).sum()

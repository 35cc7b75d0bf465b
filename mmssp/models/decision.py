"""From logits at a size to a decision: one way for testing, prediction and people.

A pixel's *margin* is the logit of its foreground probability, log p / (1 - p). It is
compared, never the probability: that is rounded to 0.5 where a margin is still a number.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from .refiners import Refiner


def margins(
    logits: Tensor,
    refiner: 'Refiner | None' = None,
    image: np.ndarray | None = None,
) -> Tensor:
    """Margins of foreground over background.

    Args:
        logits: (N,2,H,W) at the size of the decision, background first.
        refiner: Changes the probabilities; None for none.
        image: (H,W,3) uint8 RGB, for the refiner.

    Returns:
        (N,H,W), any sign; a pixel is foreground where it is above :func:`cut`.

    Raises:
        ValueError: If the refiner gives probabilities of another shape, or none.
    """
    found = logits[:, 1] - logits[:, 0]
    if refiner is None or image is None:
        return found
    probability = found.float().sigmoid().cpu().numpy()
    refined = np.asarray(refiner.refine(image, probability))
    if refined.shape != probability.shape or not np.isfinite(refined).all():
        raise ValueError(
            f'{type(refiner).__name__} gave {refined.shape} {refined.dtype} for '
            f'probabilities {probability.shape}: expected finite ones of that shape'
        )
    refined_tensor = torch.from_numpy(refined.astype(np.float32)).to(found.device)
    return torch.logit(refined_tensor.clamp(0, 1))


def cut(threshold: float) -> float:
    """The margin that a probability in [0, 1] stands for; ±infinity at the ends."""
    if threshold <= 0:
        return -math.inf
    if threshold >= 1:
        return math.inf
    return math.log(threshold / (1 - threshold))

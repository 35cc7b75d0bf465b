"""What a decoder is trained by: cross-entropy and soft Dice of each class."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .labelled import IGNORE


def decoder_loss(margins: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy and the soft Dice loss, the mean over classes.

    Dice (Milletari et al., 3DV 2016) is over all pixels of the batch, so that an object
    of few pixels counts as much as a large one.

    Args:
        margins: (B,N,H,W), logits of the probability of foreground of N classes.
        targets: (B,N,H,W) integer in {0, 1, 255}; 255 counts for nothing.

    Returns:
        A scalar; 0, with zero gradient, without a pixel that counts.
    """
    valid = (targets != IGNORE).to(margins.dtype)
    truth = (targets == 1).to(margins.dtype)
    entropy = F.binary_cross_entropy_with_logits(margins, truth, reduction='none')
    count = valid.sum((0, 2, 3))
    entropy = (entropy * valid).sum((0, 2, 3)) / count.clamp(min=1)
    probability = margins.sigmoid() * valid
    both = (probability * truth).sum((0, 2, 3))
    total = probability.sum((0, 2, 3)) + (truth * valid).sum((0, 2, 3))
    dice = 1 - (2 * both + 1) / (total + 1)
    known = (count > 0).to(margins.dtype)
    return torch.sum((entropy + dice) * known) / known.sum().clamp(min=1)

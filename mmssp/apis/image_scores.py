"""Numbers of an image as a whole: is a class in it, and how sure are its masks?"""

import torch
from torch import Tensor

EPS = 1e-9
TOP_SHARE = 0.01
"""Of a query's pixels, those most like the class, that tell whether it is there."""


def presence(margins: Tensor) -> float:
    """How sure it is that a class is in an image.

    The mean probability that it is there, by the support's prototypes alone, of the
    pixels most like it. (By the final logits, self-support would find itself.)

    Args:
        margins: (1,h,w), from the head's ``presence_margins``.

    Returns:
        In [0, 1].
    """
    probability = margins.sigmoid().flatten()
    number = max(1, round(TOP_SHARE * len(probability)))
    return float(probability.topk(number).values.mean())


def doubt(logits: dict[str, Tensor]) -> float:
    """How unsure the masks of an image are.

    The mean of two numbers: one minus the soft IoU of first guess and final decision,
    and how far the probabilities of foreground are from 0 and 1 where there is some.

    Args:
        logits: ``baseline`` and ``final``, (1,2,h,w) each.

    Returns:
        In [0, 1].
    """
    first, final = (logits[kind].softmax(1)[0, 1] for kind in ('baseline', 'final'))
    either = float(torch.maximum(first, final).sum())
    if not either:
        return 0.0
    disagreement = 1 - float(torch.minimum(first, final).sum()) / either
    unsure = float((4 * final * (1 - final) * final).sum()) / max(
        float(final.sum()), EPS
    )
    return (disagreement + unsure) / 2

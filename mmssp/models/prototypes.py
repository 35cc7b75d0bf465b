"""The mathematics of prototype matching as pure functions: tensors in, tensors out.

Prototypes, similarity logits and self-support of "Self-Support Few-Shot Semantic
Segmentation" (Fan, Pei, Tai, Tang; ECCV 2022; arXiv 2207.11549). Everything is batched and
free of data-dependent branches, so nothing waits for the device.

Features are float32 or float64: sums and lengths of float16 overflow from features of
some hundreds on, so :class:`SSPHead` casts first. A mask without a pixel that counts gives
the zero vector as prototype, and a zero vector has the cosine 0 with everything: it speaks
for neither side.

Shapes: C channels, (h, w) feature size, (H, W) mask size, N any number of images.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

POOLING_EPS = 1e-5
COSINE_EPS = 1e-8
RENAMED = {
    'confident_pixels': 'confident_by_label(), of both labels at once,',
    'mean_prototypes': 'the method combine() of a MatchingHead',
    'self_support_prototype': 'self_support_prototypes(), of both labels at once,',
    'support_prototypes': 'the method support_state() of a MatchingHead',
}
"""What 0.1 had here → what does it now."""


def __getattr__(name: str) -> Any:
    if name in RENAMED:
        raise ImportError(f'{__name__}.{name} is {RENAMED[name]} now')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def mask_weights(mask: Tensor, size: Sequence[int]) -> Tensor:
    """How much of the masked region each cell of a feature map stands for.

    Args:
        mask: (N,H,W) weights in [0, 1], floating point.
        size: (h, w) of the feature map.

    Returns:
        (N,h,w) in [0, 1]: resized bilinearly with ``align_corners=True``.
    """
    return F.interpolate(
        mask[:, None], tuple(size), mode='bilinear', align_corners=True
    )[:, 0]


def masked_average_pooling(
    features: Tensor, mask: Tensor, eps: float = POOLING_EPS
) -> Tensor:
    """Mean feature under a soft mask.

    Args:
        features: (N,C,h,w) float.
        mask: (N,H,W) weights in [0, 1], floating point; see :func:`mask_weights`.
        eps: Added to the mask's sum, so an empty mask gives the zero vector.

    Returns:
        (N,C).
    """
    weight = mask_weights(mask, features.shape[-2:]).flatten(1)
    pooled = torch.bmm(features.flatten(2), weight[..., None])
    return (pooled / (weight[:, None].sum(-1, keepdim=True) + eps)).squeeze(-1)


def mask_prototypes(features: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Foreground and background prototype of each image from its own mask.

    Args:
        features: (N,C,h,w) float.
        mask: (N,H,W) integer; 1 foreground, 0 background, 255 in neither.

    Returns:
        ``foreground`` and ``background``, (N,C) each; zero where there is no such pixel.
        In the mean over shots (P_f, P_b) such a one leaves the direction, and so the first
        guess, as the other shots have it, and makes it shorter, which lets the query's
        own prototype weigh more in self-support.
    """
    return dict(
        foreground=masked_average_pooling(features, (mask == 1).to(features.dtype)),
        background=masked_average_pooling(features, (mask == 0).to(features.dtype)),
    )


def repeated(x: Tensor, times: int) -> Tensor:
    """A row (1,…) as so many equal ones (times,…), without a copy."""
    return x.expand(times, *x.shape[1:])


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length one along dimension 1; zero vectors stay zero.

    Args:
        vectors: (N,C,...) float.

    Returns:
        Same shape.
    """
    return F.normalize(vectors, dim=1, eps=COSINE_EPS)


def similarity_logits(
    unit_features: Tensor, foreground: Tensor, background: Tensor, scale: float
) -> Tensor:
    """Scaled cosine similarity of every pixel to two prototypes.

    Args:
        unit_features: (N,C,h,w), already of unit length over C.
        foreground: (N,C), or (N,C,h,w) for a prototype of each pixel's own.
        background: As ``foreground``.
        scale: Factor of the cosines (10 in the paper's release).

    Returns:
        (N,2,h,w) logits in [-scale, scale], background first.
    """

    if foreground.dim() == background.dim() == 2:
        # one product for both, at the length of the prototypes
        both = scale * unit(torch.stack([background, foreground], dim=2))
        logits = torch.bmm(both.transpose(1, 2), unit_features.flatten(2))
        return logits.unflatten(2, unit_features.shape[-2:])

    def cosine(prototype: Tensor) -> Tensor:
        if prototype.dim() == 2:
            return torch.einsum('nchw,nc->nhw', unit_features, unit(prototype))
        # the length divides the product, so no normalised copy of the map is made; and
        # einsum would make a matrix product of each pixel
        length = torch.linalg.vector_norm(prototype, dim=1).clamp_min(COSINE_EPS)
        return (unit_features * prototype).sum(1) / length

    return scale * torch.stack([cosine(background), cosine(foreground)], dim=1)


def confident_by_label(
    logits: Tensor, thresholds: tuple[float, float], top_k: int
) -> Tensor:
    """Which pixels are confidently of a label; the most confident ones if none is.

    Args:
        logits: (N,2,h,w), background first.
        thresholds: A pixel is chosen for a label when that one's probability exceeds
            the label's threshold.
        top_k: How many of highest probability are chosen where no pixel exceeds the
            threshold; all of them where the map has fewer.

    Returns:
        (N,2,hw) of 0. and 1. in the logits' dtype, at least one 1. in each row. No
        gradient.
    """
    probability = logits.detach().softmax(1).flatten(2)
    above = torch.stack(
        [
            of_label > threshold
            for of_label, threshold in zip(
                probability.unbind(1), thresholds, strict=True
            )
        ],
        dim=1,
    )
    best = probability.topk(min(top_k, probability.shape[2]), dim=2).indices
    fallback = torch.zeros_like(above).scatter_(2, best, True)
    return torch.where(above.any(2, keepdim=True), above, fallback).to(logits.dtype)


def self_support_prototypes(features: Tensor, chosen: Tensor) -> Tensor:
    """Mean features of the chosen pixels (SSFP, SSBP; §3.2).

    Args:
        features: (N,C,h,w).
        chosen: (N,2,hw) of 0. and 1., from :func:`confident_by_label`.

    Returns:
        (N,2,C).
    """
    total = torch.bmm(chosen, features.flatten(2).transpose(1, 2))
    return total / chosen.sum(2, keepdim=True)

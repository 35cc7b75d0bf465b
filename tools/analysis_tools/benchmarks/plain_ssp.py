"""SSP as a release would write it: plain, one image at a time, nothing shared.

What the fast implementation is timed against. It follows the description of
"Self-Support Few-Shot Semantic Segmentation" (ECCV 2022) step by step: prototypes of each
shot by themselves; a loop over the batch whose Python branches wait for the device;
adaptive prototypes of foreground and background alike, though the foreground's are not
used; both passes from the beginning; every image encoded alone, and again in every episode.

Shapes: B episodes, K shots, C channels, (h, w) feature size, (H, W) image size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORE = 255
TOP = 12


def pool(features: Tensor, mask: Tensor) -> Tensor:
    """(N,C,h,w) under (N,H,W) of 0. and 1. → (N,C,1,1)."""
    mask = F.interpolate(
        mask[:, None], features.shape[-2:], mode='bilinear', align_corners=True
    )
    total = (features * mask).sum((2, 3), keepdim=True)
    return total / (mask.sum((2, 3), keepdim=True) + 1e-5)


def similarity(features: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    """Logits (N,2,h,w), background first; prototypes (N,C,1,1) or (N,C,h,w)."""
    fg = F.cosine_similarity(features, foreground, dim=1)
    bg = F.cosine_similarity(features, background, dim=1)
    return torch.stack([bg, fg], dim=1) * 10.0


def self_support(
    features: Tensor, guess: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Prototypes from the query's confident pixels.

    Returns:
        Foreground and background means (B,C,1,1), and adaptive foreground and
        background prototypes (B,C,h,w).
    """
    probability = guess.softmax(1)
    means, adaptive = ([], []), ([], [])
    for b in range(len(features)):
        pixels = features[b].flatten(1)
        for side, (label, threshold) in enumerate([(1, 0.7), (0, 0.6)]):
            confidence = probability[b, label].flatten()
            if (confidence > threshold).sum().item() > 0:
                chosen = pixels[:, confidence > threshold]
            else:
                best = confidence.topk(min(TOP, len(confidence))).indices
                chosen = pixels[:, best]
            unit_pixels = pixels / pixels.norm(dim=0, keepdim=True).clamp_min(1e-8)
            unit_chosen = chosen / chosen.norm(dim=0, keepdim=True).clamp_min(1e-8)
            affinity = torch.matmul(unit_pixels.t(), unit_chosen) * 2.0
            own = torch.matmul(affinity.softmax(-1), chosen.t()).t()
            means[side].append(chosen.mean(-1)[None, :, None, None])
            adaptive[side].append(own.reshape(1, *features.shape[1:]))
    return tuple(torch.cat(parts) for parts in (*means, *adaptive))


def plain_match(
    query_features: Tensor,
    support_features: Tensor | Sequence[Tensor],
    support_mask: Tensor | Sequence[Tensor],
    refine: bool = True,
) -> dict[str, Tensor]:
    """Logits of the query at feature size.

    Args:
        query_features: (B,C,h,w).
        support_features: (B,K,C,h,w), or K tensors (B,C,h_k,w_k).
        support_mask: (B,K,H,W) integer in {0, 1, 255}, or K tensors (B,H_k,W_k).
        refine: Whether to add the second pass.

    Returns:
        ``final``, ``stage1`` and ``baseline``, (B,2,h,w) each, background first.
    """
    if isinstance(support_features, Tensor):
        support_features, support_mask = (
            support_features.unbind(1),
            support_mask.unbind(1),
        )
    fg_shots, bg_shots = [], []
    for shot, mask in zip(support_features, support_mask, strict=True):
        fg_shots.append(pool(shot, (mask == 1).to(shot.dtype)))
        bg_shots.append(pool(shot, (mask == 0).to(shot.dtype)))
    fg = torch.stack(fg_shots).mean(0)
    bg = torch.stack(bg_shots).mean(0)
    baseline = similarity(query_features, fg, bg)

    own_fg, own_bg, _, own_bg_adaptive = self_support(query_features, baseline)
    fg1 = 0.5 * fg + 0.5 * own_fg
    bg1 = 0.3 * own_bg + 0.7 * own_bg_adaptive
    stage1 = similarity(query_features, fg1, bg1)
    if not refine:
        return dict(final=stage1, stage1=stage1, baseline=baseline)

    own_fg, own_bg, _, own_bg_adaptive = self_support(query_features, stage1)
    fg2 = 0.5 * fg + 0.2 * fg1 + 0.3 * (0.5 * fg + 0.5 * own_fg)
    bg2 = 0.5 * bg + 0.2 * bg1 + 0.3 * (0.3 * own_bg + 0.7 * own_bg_adaptive)
    refined = similarity(query_features, fg2, bg2)
    return dict(final=0.7 * refined + 0.3 * stage1, stage1=stage1, baseline=baseline)


def upsample(logits: Tensor, size: Sequence[int]) -> Tensor:
    """(N,2,h,w) → (N,2,*size)."""
    return F.interpolate(logits, tuple(size), mode='bilinear', align_corners=True)


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean over pixels that are not 255; logits at feature size."""
    logits = upsample(logits, truth.shape[-2:])
    return F.cross_entropy(logits, truth.long(), ignore_index=IGNORE)


def plain_loss(
    model: nn.Module,
    query: Tensor,
    query_mask: Tensor,
    support: Tensor,
    support_mask: Tensor,
    refine: bool = True,
) -> Tensor:
    """The sum of the losses of a batch of episodes.

    Args:
        model: With ``encode``: images (1,3,H,W) → (1,C,h,w).
        query: (B,3,H,W) normalised images.
        query_mask: (B,H,W) integer in {0, 1, 255}.
        support: (B,K,3,H,W).
        support_mask: (B,K,H,W) integer in {0, 1, 255}.
        refine: Whether to add the second pass.

    Returns:
        A scalar.
    """
    query_features = torch.cat([model.encode(image[None]) for image in query])
    support_features = torch.stack(
        [
            torch.cat([model.encode(image[None]) for image in episode])
            for episode in support
        ]
    )
    found = plain_match(query_features, support_features, support_mask, refine)
    loss = cross_entropy(found['final'], query_mask)
    if refine:
        loss = loss + cross_entropy(found['stage1'], query_mask)
    loss = loss + cross_entropy(match_self(query_features, query_mask), query_mask)
    shots = [
        match_self(support_features[:, k], support_mask[:, k])
        for k in range(support.shape[1])
    ]
    truths = [support_mask[:, k] for k in range(support.shape[1])]
    return loss + 0.2 * cross_entropy(torch.cat(shots), torch.cat(truths))


def match_self(features: Tensor, mask: Tensor) -> Tensor:
    """Logits (N,2,h,w) of images against prototypes of their own masks (N,H,W)."""
    fg = pool(features, (mask == 1).to(features.dtype))
    bg = pool(features, (mask == 0).to(features.dtype))
    return similarity(features, fg, bg)


def plain_predict(
    model: nn.Module,
    query_image: Tensor,
    support_images: Sequence[Tensor],
    support_masks: Sequence[Tensor],
    size: Sequence[int],
    refine: bool = True,
) -> Tensor:
    """The mask of one query, everything encoded anew.

    Args:
        model: With ``encode``: images (1,3,H,W) → (1,C,h,w).
        query_image: (3,H,W), normalised.
        support_images: K images (3,H_k,W_k).
        support_masks: K masks (H_k,W_k) integer in {0, 1, 255}.
        size: (H, W) of the mask.
        refine: Whether to add the second pass.

    Returns:
        (H,W) integer in {0, 1}.
    """
    query = model.encode(query_image[None])
    supports = [model.encode(image[None]) for image in support_images]
    masks = [mask[None] for mask in support_masks]
    logits = plain_match(query, supports, masks, refine)['final']
    return upsample(logits, size).argmax(1)[0]

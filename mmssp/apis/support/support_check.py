"""Does one support image disagree with the others? Each is segmented by the rest."""

from typing import Any

import numpy as np
import torch

from ...models.decode_heads import SSPHead
from ...models.prototypes import mean_prototypes
from .support_bank import Support

SUSPICIOUS = 0.5
"""An IoU below this share of the others' median gives a warning."""


@torch.no_grad()
def leave_one_out(head: SSPHead, support: Support, name: str) -> dict[str, Any]:
    """IoU of each shot, segmented by the prototypes of the others.

    Args:
        head: Of the model.
        support: Of the class.
        name: For messages.

    Returns:
        ``iou``, K floats in [0, 1], and ``warnings``.

    Raises:
        ValueError: Fewer than two shots.
    """
    if len(support.shots) < 2:
        raise ValueError(
            f'{name}: {len(support.shots)} support image(s) at hand; expected two or '
            'more, set by set_support (a file holds their prototypes only)'
        )
    own = [head.prototypes([[features]], [[mask]]) for features, mask in support.shots]
    ious = []
    for i, (features, mask) in enumerate(support.shots):
        others = mean_prototypes([p for k, p in enumerate(own) if k != i])
        logits = head.match_prototypes(features[None], others)['final']
        logits = head.upsample(logits, mask.shape)[0]
        predicted = (logits[1] > logits[0]) & (mask != 255)
        both = int((predicted & (mask == 1)).sum())
        either = int((predicted | (mask == 1)).sum())
        ious.append(both / max(either, 1))
    warnings = []
    for i, iou in enumerate(ious):
        rest = float(np.median([v for k, v in enumerate(ious) if k != i]))
        if iou < SUSPICIOUS * rest:
            warnings.append(
                f'{name}: support image {i} is found by the others with an IoU of '
                f'{iou:.2f} only, they with {rest:.2f}; check its mask'
            )
    return dict(iou=ious, warnings=warnings)

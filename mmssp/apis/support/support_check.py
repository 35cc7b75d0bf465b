"""Does one support image disagree with the others? Each is segmented by the rest."""

from typing import Any

import numpy as np
import torch

from ...models.decision import margins
from ...models.decode_heads import MatchingHead
from .support_bank import Support

SUSPICIOUS = 0.5
"""An IoU below this share of the others' median gives a warning."""


@torch.no_grad()
def leave_one_out(head: MatchingHead, support: Support, name: str) -> dict[str, Any]:
    """IoU of each shot, segmented by what the head makes of the others.

    Args:
        head: Of the model.
        support: Of the class.
        name: For messages.

    Returns:
        ``iou``, K floats in [0, 1], and ``warnings``.

    Raises:
        ValueError: Fewer than two shots.
    """
    shots = [shot for shot in support.shots if shot.shows]
    if len(shots) < 2:
        raise ValueError(
            f'{name}: {len(shots)} support image(s) at hand; expected two or '
            'more, set by set_support (a file holds what was made of them only)'
        )
    own = [head.shot_state(shot.features, shot.mask[None]) for shot in shots]
    ious = []
    for i, shot in enumerate(shots):
        others = head.combine([state for k, state in enumerate(own) if k != i])
        logits = head.match_state(head.prepare(shot.features), others)['final']
        margin = margins(head.upsample(logits, shot.mask.shape))[0]
        predicted = (margin > 0) & (shot.mask != 255)
        both = int((predicted & (shot.mask == 1)).sum())
        either = int((predicted | (shot.mask == 1)).sum())
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

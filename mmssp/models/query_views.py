"""Test-time augmentation: a query seen flipped and at several scales."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..utils.checks import flag, number

MERGED = ('baseline', 'final')
"""Logits that somebody looks at beside those of a single view."""


class QueryViews:
    """Flip and multi-scale testing, as ``tta_model`` of MMSegmentation is for its data.

    Each view of a query is matched with the same supports, which are seen as they are.
    Logits are brought to the query's size, turned back, and averaged.

    Args:
        flip: Each scale horizontally flipped, too.
        scales: Factors of the query's sides, in [0.1, 4], each once.

    Raises:
        ValueError: If an argument is of another kind or out of range, or there would be
            no other view than the query itself.
    """

    def __init__(self, flip: bool = False, scales: Sequence[float] = (1.0,)) -> None:
        self.flip = flag('flip', flip)
        if not isinstance(scales, Sequence) or isinstance(scales, str) or not scales:
            raise ValueError(f'scales={scales!r}: expected a list of numbers')
        self.scales = tuple(number('scales', scale, 0.1, 4) for scale in scales)
        if len(set(self.scales)) < len(self.scales):
            raise ValueError(f'scales={list(scales)}: expected each once')
        if not self.flip and self.scales == (1.0,):
            raise ValueError(
                'tta: flip=False and scales=[1] see what is seen without it; give '
                'flip=True, more scales, or tta=None'
            )

    def __repr__(self) -> str:
        return f'flip={self.flip}, scales={self.scales}'

    def of(self, image: Tensor) -> list[Tensor]:
        """The views of a query; one of them may be the very tensor that is given.

        Args:
            image: (B,3,H,W) float, normalised.
        """
        found = []
        for scale in self.scales:
            view = image if scale == 1 else _scaled(image, scale)
            found.append(view)
            if self.flip:
                found.append(view.flip(-1))
        return found

    def merged(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Maps of the views as one of the query.

        Args:
            maps: (N,C,H_v,W_v) float for each view, in the order of :meth:`of`, each of
                the size of its view.
            size: (H, W) of the query.

        Returns:
            (N,C,H,W), the mean.
        """
        total: Tensor | None = None
        for k, own in enumerate(maps):
            if self.flip and k % 2:
                own = own.flip(-1)
            if own.shape[-2:] != tuple(size):
                own = interpolate(
                    own, tuple(size), mode='bilinear', align_corners=False
                )
            total = own if total is None else total + own
        assert total is not None
        return total / len(maps)


def merged_logits(
    views: QueryViews,
    logits: Sequence[Mapping[str, Tensor]],
    size: Sequence[int],
) -> dict[str, Tensor]:
    """Logits of all views as those of the query; see :meth:`QueryViews.merged`.

    Args:
        views: Which there are.
        logits: By kind, of each view, at its size.
        size: (H, W) of the query.

    Returns:
        Of the same kinds.
    """
    return {
        kind: views.merged([own[kind] for own in logits], size) for kind in logits[0]
    }


def build_views(tta: Mapping[str, Any] | None) -> QueryViews | None:
    """From a config, None for none.

    Raises:
        ValueError: If it is no dict of the arguments of :class:`QueryViews`.
    """
    if tta is None:
        return None
    if not isinstance(tta, Mapping) or set(tta) - {'flip', 'scales'}:
        raise ValueError(f'tta={tta!r}: expected dict(flip=…, scales=[…]), or None')
    return QueryViews(**tta)


def _scaled(image: Tensor, scale: float) -> Tensor:
    height, width = (max(1, round(side * scale)) for side in image.shape[-2:])
    with torch.autocast(image.device.type, enabled=False):
        return interpolate(
            image,
            (height, width),
            mode='bilinear',
            align_corners=False,
            antialias=scale < 1,
        )

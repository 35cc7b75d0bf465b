"""Does an image's own mask segment that image? (L_q and L_s, §3.4 of the paper)"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..prototypes import mask_prototypes, similarity_logits, unit
from .pixel_mean import PixelMean, build_losses, cross_entropy


class FeatureLoss(nn.Module, ABC):
    """A loss of images' own features and masks, whichever their part in an episode is.

    A matching head gives it what it has of queries (``loss_query_self``) or of supports
    (``loss_support_self``).
    """

    @abstractmethod
    def forward(
        self, features: Sequence[Tensor], masks: Sequence[Tensor], mean: PixelMean
    ) -> Tensor:
        """The loss of some images.

        Args:
            features: Batches (N_i,C,h_i,w_i), float32 or float64; images of one batch
                are of one size.
            masks: Of each batch (N_i,H_i,W_i) int64 in {0, 1, 255}.
            mean: Applies losses of pixels to the images of all batches together.

        Returns:
            A scalar.
        """


@MODELS.register_module()
class SelfMatchingLoss(FeatureLoss):
    """Each image is segmented by the prototypes of its own true mask.

    Source: "Self-Support Few-Shot Semantic Segmentation" (ECCV 2022, arXiv 2207.11549).

    Args:
        loss: Config(s) of losses of mmseg, or of your own with mmseg's arguments, of
            these logits.
        similarity_scale: Factor of the cosines; the head's where it is left out there.
        align_corners: Of the resizing of logits; likewise.
    """

    def __init__(
        self,
        loss: dict[str, Any] | Sequence[dict[str, Any]] = cross_entropy(1.0),
        similarity_scale: float = 10.0,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        self.losses = build_losses(loss)
        self.similarity_scale = similarity_scale
        self.align_corners = align_corners

    def forward(
        self, features: Sequence[Tensor], masks: Sequence[Tensor], mean: PixelMean
    ) -> Tensor:
        """See :class:`FeatureLoss`."""
        logits = [
            resize(
                self._match(own, mask),
                size=mask.shape[-2:],
                mode='bilinear',
                align_corners=self.align_corners,
                warning=False,
            )
            for own, mask in zip(features, masks, strict=True)
        ]
        if len(logits) == 1:
            return mean(self.losses, logits[0], masks[0])
        # batches of different size, seen as one image of one row
        rows = [batch.transpose(0, 1).flatten(1) for batch in logits]
        labels = [mask.flatten() for mask in masks]
        return mean(
            self.losses,
            torch.cat(rows, dim=1)[None, :, None],
            torch.cat(labels)[None, None],
        )

    def _match(self, features: Tensor, mask: Tensor) -> Tensor:
        """Logits (N,2,h,w) of images against the prototypes of their own masks."""
        own = mask_prototypes(features, mask)
        return similarity_logits(
            unit(features), own['foreground'], own['background'], self.similarity_scale
        )

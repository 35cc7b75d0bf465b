"""PANet's prototypes: means over the pixels of the mask, of features enlarged to it."""

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...utils.checks import flag
from ..prototypes import POOLING_EPS
from .mean_prototypes import MeanPrototypes
from .support_memory import State


@MODELS.register_module()
class PixelPrototypes(MeanPrototypes):
    """One prototype a side, averaged at the size of the mask.

    Source: "PANet: Few-Shot Image Semantic Segmentation with Prototype Alignment" (ICCV
    2019, arXiv 1908.06391). There features are enlarged to the mask, where SSP shrinks
    the mask to the features, so an object of a few pixels still has a prototype. A mean
    of enlarged features is one of the features themselves, each by its part in the
    pixels of the mask; so nothing is enlarged here.

    Args:
        align_corners: Of the enlargement; False in PANet.
    """

    def __init__(self, align_corners: bool = False) -> None:
        self.align_corners = flag('align_corners', align_corners)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(align_corners={self.align_corners})'

    def shot_state(self, features: Tensor, mask: Tensor) -> State:
        """Prototypes ``foreground`` and ``background``, (N,C) each."""
        return {
            name: self._pooled(features, (mask == label).to(features.dtype))
            for name, label in (('foreground', 1), ('background', 0))
        }

    def _pooled(self, features: Tensor, mask: Tensor) -> Tensor:
        rows, columns = (
            self._parts(cells, pixels, features)
            for cells, pixels in zip(features.shape[-2:], mask.shape[-2:], strict=True)
        )
        weights = (rows @ mask @ columns.T).flatten(1)
        pooled = torch.bmm(features.flatten(2), weights[..., None]).squeeze(-1)
        return pooled / (mask.flatten(1).sum(1, keepdim=True) + POOLING_EPS)

    def _parts(self, cells: int, pixels: int, like: Tensor) -> Tensor:
        """(cells, pixels): how much of each pixel an enlarged cell makes, along a side."""
        one_by_one = torch.eye(cells, dtype=like.dtype, device=like.device)
        return torch.nn.functional.interpolate(
            one_by_one[None], pixels, mode='linear', align_corners=self.align_corners
        )[0]

"""A small neck that sums several levels of a backbone at the finest of them."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import whole_number


@MODELS.register_module()
class LevelFusion(BaseModule):
    """Projects each level to a few channels and sums them at the size of the finest.

    Normalised by groups of channels, within each image: nothing of a batch is kept, so a
    handful of images is enough to train it on.

    Args:
        in_channels: Of each level.
        channels: Of the sum.
        groups: Of channels that are normalised together; they divide ``channels``.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int = 64, groups: int = 8
    ) -> None:
        super().__init__()
        self.in_channels = [whole_number('in_channels', c, 1) for c in in_channels]
        self.channels = whole_number('channels', channels, 1)
        if channels % whole_number('groups', groups, 1):
            raise ValueError(
                f'groups={groups}: expected a number that divides channels={channels}'
            )
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, channels, 1), nn.GroupNorm(groups, channels))
            for c in self.in_channels
        )
        self.fuse = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups, channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor]:
        """Levels to one map.

        Args:
            inputs: Maps (N,C_i,h_i,w_i), of ``in_channels``.

        Returns:
            One map (N,channels,h,w), 0 or more, of the size of the largest.

        Raises:
            ValueError: If their number differs from ``in_channels``.
        """
        if len(inputs) != len(self.lateral):
            raise ValueError(
                f'found {len(inputs)} maps: expected {len(self.lateral)}, as in_channels'
            )
        size = max((level.shape[-2:] for level in inputs), key=lambda s: s[0] * s[1])
        projected = [
            resize(lateral(level), size=size, mode='bilinear', align_corners=False)
            for lateral, level in zip(self.lateral, inputs, strict=True)
        ]
        return (self.fuse(F.relu(sum(projected[1:], projected[0]))),)

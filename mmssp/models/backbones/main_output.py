"""The main map alone of a backbone that gives others beside it in training."""

from typing import Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class MainOutput(BaseModule):
    """Has the same map in training and in testing, for backbones that do not.

    MMSegmentation's DDRNet and PIDNet give several maps in training, for auxiliary heads,
    and one tensor in testing; a few-shot segmentor matches in one and the same.

    Args:
        backbone: Config of the backbone.
        index: Of the map, among those in training: -1 for DDRNet, 1 for PIDNet.
        init_cfg: As for mmengine's ``BaseModule``.

    Example:
        >>> dict(type='MainOutput', backbone=dict(type='DDRNet'))
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        index: int = -1,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone)
        self.index = index

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """(B,3,H,W) float to one map (B,C,h,w)."""
        maps = self.backbone(x)
        return (maps if isinstance(maps, Tensor) else maps[self.index],)

"""Backbones, or variants of them, that MMSegmentation lacks."""

from .efficientnet_lite import EfficientNetLite0, EfficientNetLite1, EfficientNetLite2
from .hf_backbone import HFBackbone
from .main_output import MainOutput
from .resnet import SSPResNetV1c

__all__ = [
    'EfficientNetLite0',
    'EfficientNetLite1',
    'EfficientNetLite2',
    'HFBackbone',
    'MainOutput',
    'SSPResNetV1c',
]

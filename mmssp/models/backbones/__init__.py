"""Backbones, or variants of them, that MMSegmentation lacks."""

from .efficientnet_lite import EfficientNetLite0
from .resnet import SSPResNetV1c

__all__ = ['EfficientNetLite0', 'SSPResNetV1c']

"""The segmentor, the matching head and its mathematics, and backbones."""

from .adaptation import Adapter, Shot
from .backbones import *  # noqa: F403
from .data_preprocessor import FewShotDataPreProcessor
from .decode_heads import BaselineHead, MatchingHead, SSPHead
from .losses import FeatureLoss, SelfMatchingLoss
from .refiners import Refiner
from .segmentors import FewShotEncoderDecoder

__all__ = [
    'Adapter',
    'BaselineHead',
    'FeatureLoss',
    'FewShotDataPreProcessor',
    'FewShotEncoderDecoder',
    'MatchingHead',
    'Refiner',
    'SSPHead',
    'SelfMatchingLoss',
    'Shot',
]

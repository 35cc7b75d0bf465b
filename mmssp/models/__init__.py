"""The segmentor, the matching head and its mathematics, and backbones."""

from .adaptation import Adapter, Budget, DecoderAdapter, Shot
from .backbones import *  # noqa: F403
from .data_preprocessor import FewShotDataPreProcessor
from .decode_heads import BaselineHead, MatchingHead, SSPHead
from .losses import FeatureLoss, SelfMatchingLoss
from .memories import (
    MeanPrototypes,
    PartPrototypes,
    PixelPrototypes,
    SupportTokens,
    WhitenedPrototypes,
)
from .necks import LevelFusion
from .positional_debiasing import PositionalDebiasing
from .query_clusters import QueryClusters
from .refiners import GuidedFilterRefiner, Refiner
from .segmentors import FewShotEncoderDecoder

__all__ = [
    'Adapter',
    'BaselineHead',
    'Budget',
    'DecoderAdapter',
    'FeatureLoss',
    'FewShotDataPreProcessor',
    'FewShotEncoderDecoder',
    'GuidedFilterRefiner',
    'LevelFusion',
    'MatchingHead',
    'MeanPrototypes',
    'PartPrototypes',
    'PixelPrototypes',
    'PositionalDebiasing',
    'QueryClusters',
    'Refiner',
    'SSPHead',
    'SelfMatchingLoss',
    'Shot',
    'SupportTokens',
    'WhitenedPrototypes',
]

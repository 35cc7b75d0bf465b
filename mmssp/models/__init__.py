"""The segmentor, the matching head and its mathematics, and backbones."""

from .backbones import *  # noqa: F403
from .data_preprocessor import FewShotDataPreProcessor
from .decode_heads import SSPHead
from .segmentors import FewShotEncoderDecoder

__all__ = ['FewShotDataPreProcessor', 'FewShotEncoderDecoder', 'SSPHead']

"""Segmentors that take episodes."""

from .few_shot_encoder_decoder import FewShotEncoderDecoder

__all__ = ['FewShotEncoderDecoder']

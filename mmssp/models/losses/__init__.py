"""Means over the pixels of all processes, and few-shot losses that MMSegmentation lacks."""

from .pixel_mean import PixelMean
from .self_matching_loss import FeatureLoss, SelfMatchingLoss

__all__ = ['FeatureLoss', 'PixelMean', 'SelfMatchingLoss']

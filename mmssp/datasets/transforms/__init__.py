"""Transforms that mmseg lacks."""

from .loading import LoadImage, LoadMask

__all__ = ['LoadImage', 'LoadMask']

"""Transforms that mmseg lacks."""

from .loading import LoadImage, LoadMask
from .protocol_resize import ResizePadded, ResizeSquashed

__all__ = ['LoadImage', 'LoadMask', 'ResizePadded', 'ResizeSquashed']

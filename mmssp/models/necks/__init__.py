"""Necks, or kinds of them, that MMSegmentation lacks."""

from .level_fusion import LevelFusion

__all__ = ['LevelFusion']

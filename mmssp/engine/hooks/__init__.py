"""Hooks that MMSegmentation lacks."""

from .progress_bar_hook import ProgressBarHook
from .visualization_hook import FewShotVisualizationHook

__all__ = ['FewShotVisualizationHook', 'ProgressBarHook']

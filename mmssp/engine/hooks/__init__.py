"""Hooks that MMSegmentation lacks."""

from .checkpoint_hook import DurableCheckpointHook
from .exact_resume_hook import ExactResumeHook
from .finite_loss_hook import FiniteLossHook
from .progress_bar_hook import ProgressBarHook
from .visualization_hook import FewShotVisualizationHook

__all__ = [
    'DurableCheckpointHook',
    'ExactResumeHook',
    'FewShotVisualizationHook',
    'FiniteLossHook',
    'ProgressBarHook',
]

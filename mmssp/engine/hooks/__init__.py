"""Hooks that show how it goes; and, by their names of 0.1, those of the runtime."""

from ...runtime import DurableCheckpointHook, ExactResumeHook, FiniteLossHook
from .cudnn_benchmark_hook import CudnnBenchmarkHook
from .progress_bar_hook import ProgressBarHook
from .untrained_score_hook import UntrainedScoreHook
from .visualization_hook import FewShotVisualizationHook

__all__ = [
    'CudnnBenchmarkHook',
    'DurableCheckpointHook',
    'ExactResumeHook',
    'FewShotVisualizationHook',
    'FiniteLossHook',
    'ProgressBarHook',
    'UntrainedScoreHook',
]

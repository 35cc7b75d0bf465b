"""Protocols, the metric, and what scores mean: intervals, comparisons."""

from ..protocols import PROTOCOLS, Protocol, get_protocol
from .bootstrap import bootstrap_interval
from .few_shot_iou_metric import FewShotIoUMetric
from .scores import pixel_counts, score_run, score_runs

__all__ = [
    'PROTOCOLS',
    'FewShotIoUMetric',
    'Protocol',
    'bootstrap_interval',
    'get_protocol',
    'pixel_counts',
    'score_run',
    'score_runs',
]

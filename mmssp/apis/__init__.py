"""Segmenting with a few labelled images: prepare once, predict many times."""

from .annotations.conversion import Box, Points, Polygon
from .explanation import Explanation
from .inferencer import FewShotInferencer
from .result import Result

__all__ = ['Box', 'Explanation', 'FewShotInferencer', 'Points', 'Polygon', 'Result']

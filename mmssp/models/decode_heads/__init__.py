"""Heads that match instead of classify."""

from .baseline_head import BaselineHead
from .matching_head import MatchingHead, full_precision
from .ssp_head import SSPHead

__all__ = ['BaselineHead', 'MatchingHead', 'SSPHead', 'full_precision']

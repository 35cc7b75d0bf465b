"""Heads that match instead of classify."""

from .ssp_head import SSPHead

__all__ = ['SSPHead']

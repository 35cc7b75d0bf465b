"""Loops that encode every image once."""

from .episodic_loop import EpisodicTestLoop, EpisodicValLoop

__all__ = ['EpisodicTestLoop', 'EpisodicValLoop']

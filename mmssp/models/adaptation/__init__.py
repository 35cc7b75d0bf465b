"""What is learned from the labelled images of a class alone, before it is searched for."""

from .adapter import Adapter, Shot, adapt

__all__ = ['Adapter', 'Shot', 'adapt']

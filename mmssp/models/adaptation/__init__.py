"""What is learned from the labelled images of a class alone, before it is searched for."""

from .adapter import Adapter, Features, Shot, adapt, matched
from .budget import Budget
from .decoder_adapter import DecoderAdapter

__all__ = [
    'Adapter',
    'Budget',
    'DecoderAdapter',
    'Features',
    'Shot',
    'adapt',
    'matched',
]

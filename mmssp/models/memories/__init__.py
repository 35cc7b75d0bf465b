"""How prototype heads keep supports: means, parts, single cells."""

from .mean_prototypes import MeanPrototypes
from .part_prototypes import PartPrototypes
from .pixel_prototypes import PixelPrototypes
from .support_memory import Recalled, State, SupportMemory
from .support_tokens import SupportTokens
from .whitened_prototypes import WhitenedPrototypes

__all__ = [
    'MeanPrototypes',
    'PartPrototypes',
    'PixelPrototypes',
    'Recalled',
    'State',
    'SupportMemory',
    'SupportTokens',
    'WhitenedPrototypes',
]

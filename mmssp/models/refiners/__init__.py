"""After matching: masks that follow the edges of the image."""

from .guided_filter_refiner import GuidedFilterRefiner
from .refiner import Refiner

__all__ = ['GuidedFilterRefiner', 'Refiner']

"""After matching: masks that follow the edges of the image."""

from .refiner import Refiner

__all__ = ['Refiner']

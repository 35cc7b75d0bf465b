"""Whatever marks an object in an image, as one mask."""

from .conversion import Annotation, to_mask
from .shapes import Box, Points, Polygon

__all__ = ['Annotation', 'Box', 'Points', 'Polygon', 'to_mask']

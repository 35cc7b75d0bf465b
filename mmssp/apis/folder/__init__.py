"""Whole folders and videos: found, segmented, written, resumed."""

from .inputs import ImageReader, InputItem, list_inputs
from .prediction import FolderReport, assemble, predict_folder, predict_items

__all__ = [
    'FolderReport',
    'ImageReader',
    'InputItem',
    'assemble',
    'list_inputs',
    'predict_folder',
    'predict_items',
]

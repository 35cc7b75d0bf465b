"""Black-and-white pictures as masks: white is the object, soft edges are cut at half.

A mask file may hold class indices, of which 255 is ignored, or be a picture, in which 255
is white. Indices are low numbers in plain areas; a picture has brighter greys.
"""

import cv2
import numpy as np

WHITE = 250
"""From here on a grey is white."""
LOW, HIGH = 32, 224
"""Greys below are black with noise, or class indices; from HIGH on white with noise."""
HALF = 128
UNKNOWN = range(112, 144)
"""The grey of a trimap's unknown band."""
STRAY = 0.01
"""Share of the white pixels that is too little for an object."""


def picture_mask(values: np.ndarray) -> np.ndarray | str | None:
    """Read a mask as a black-and-white picture, if it is one.

    Args:
        values: (H,W) uint8, as stored.

    Returns:
        (H,W) uint8, 1 object, 0 background, 255 a trimap's unknown band; None if these
        are class indices; or why it may be either, in words.
    """
    counts = np.bincount(values.ravel(), minlength=256)
    found = np.flatnonzero(counts)
    grey = found[(found > 0) & (found < 255)]
    white = int(counts[WHITE:].sum())
    if not white or not len(grey) or len(found[found > 0]) == 1:
        return None
    if grey.max() < UNKNOWN[0]:  # class indices, as a rule
        if not counts[255]:
            return None
        if len(grey) == 1 and counts[grey[0]] < STRAY * white:
            return f'{grey[0]} has {counts[grey[0]]} pixels only, and 255 {white}'
        if grey.max() >= LOW:
            return f'{grey.max()} may be grey'
        return None
    low = [v for v in grey[grey < LOW] if _is_plain(values, int(v))]
    if low and len(grey) <= 8:
        return f'{low[0]} may be a class, and then 255 is ignored'
    middle = grey[(grey >= LOW) & (grey < HIGH)]
    plain = [v for v in middle if _is_plain(values, int(v))]
    if any(v not in UNKNOWN for v in plain):
        return f'{plain[0]} fills an area of its own'
    if plain:  # a trimap
        band = (values >= LOW) & (values < HIGH)
        return np.where(band, np.uint8(255), (values >= HIGH).astype(np.uint8))
    if int(counts[LOW:HIGH].sum()) > int(counts[HIGH:].sum()):
        return 'more of it is grey than white'
    return (values >= HALF).astype(np.uint8)


def _is_plain(values: np.ndarray, value: int) -> bool:
    """Whether a value fills 3x3 pixels somewhere, as no soft edge does."""
    own = (values == value).astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    return bool(
        cv2.erode(own, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0).any()
    )

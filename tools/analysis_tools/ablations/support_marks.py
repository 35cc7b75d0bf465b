"""Supports that are marked by less than their full mask, all made from that mask."""

from collections.abc import Callable

import cv2
import numpy as np
from measuring.inferencer import boxes, dots, inside, parts, union

from mmssp.apis.annotations.conversion import to_mask

Mark = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""(H,W) uint8 in {0, 1, 255} and chance → the same, as marked."""
STROKES = 3
STROKE_WIDTH = 0.015
"""Of the image's longer side."""
NOISE = 0.15
"""How far a noisy outline strays, as a share of the object's size."""


def as_it_is(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return mask


def boxed(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A box around each part is all object; what is outside is background."""
    return union(boxes(mask), blank(mask), False)


def pointed(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Five points inside each part and five outside; the rest is ignored."""
    return to_mask(dots(mask, rng), blank(mask))


def scribbled(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes between points well inside, of each part and outside; the rest is ignored."""
    found = np.full(mask.shape, 255, np.uint8)
    width = max(1, round(STROKE_WIDTH * max(mask.shape)))
    for label, regions in ((1, parts(mask)), (0, [mask == 0])):
        for region in regions:
            if region.any():
                lines = np.zeros(mask.shape, np.uint8)
                ends = inside(region, rng)
                for start, end in zip(ends, ends[1 : STROKES + 1], strict=False):
                    cv2.line(lines, start, end, 1, width)
                for point in ends[:1]:
                    cv2.circle(lines, point, width, 1, -1)
                found[(lines == 1) & region] = label
    return found


def noisy(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An outline that strays inwards and outwards, as of a hasty hand."""
    inside = (mask == 1).astype(np.uint8)
    size = np.sqrt(inside.sum())
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(
        1 - inside, cv2.DIST_L2, 5
    )
    field = cv2.GaussianBlur(rng.normal(size=mask.shape), (0, 0), max(size / 8, 1))
    strayed = distance + NOISE * size * field / max(field.std(), 1e-9)
    found = np.where(mask == 255, 255, strayed > 0).astype(np.uint8)
    return found if (found == 1).any() else mask


def halved(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One half of the object, by a line through its middle; the other is background."""
    ys, xs = np.nonzero(mask == 1)
    angle = rng.uniform(0, 2 * np.pi)
    side = np.cos(angle) * xs + np.sin(angle) * ys
    found = mask.copy()
    other = side > np.median(side)
    found[ys[other], xs[other]] = 0
    return found


MARKS: dict[str, Mark] = {
    'masks': as_it_is,
    'boxes': boxed,
    'scribbles': scribbled,
    'points': pointed,
    'noisy masks': noisy,
    'half objects': halved,
}


def marked(kind: str, mask: np.ndarray, seed: tuple[int, ...]) -> np.ndarray:
    """A support's mask as it is marked.

    Args:
        kind: A name of :data:`MARKS`.
        mask: (H,W) uint8 in {0, 1, 255}.
        seed: Of chance: the same numbers give the same mask.

    Returns:
        (H,W) uint8 in {0, 1, 255}; a mask without a pixel of the object stays as it is.
    """
    if not (mask == 1).any():
        return mask
    return MARKS[kind](mask, np.random.default_rng(seed))


def blank(mask: np.ndarray) -> np.ndarray:
    return np.zeros((*mask.shape, 3), np.uint8)

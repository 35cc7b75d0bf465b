"""Shots of several classes as images of which something is known of each class."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .adapter import Shot

IGNORE = 255
MOST_PLACES = 4096
"""Of a class in an image, that crops are centred near."""


class Labelled(NamedTuple):
    """An image and what is known of each class in it.

    Attributes:
        image: (3,H,W) float, normalised.
        masks: (N,H,W) uint8 in {0, 1, 255}, of N classes.
        places: Of each class that is there some of its pixels, (P,2) as (x, y).
    """

    image: Tensor
    masks: Tensor
    places: tuple[np.ndarray, ...]

    def shows(self, label: int) -> bool:
        """Whether any pixel is of the class of this number."""
        return bool((self.masks[label] == 1).any())

    def knows(self, label: int) -> bool:
        """Whether anything is known of that class."""
        return bool((self.masks[label] != IGNORE).any())


def labelled(image: Tensor, masks: Tensor) -> Labelled:
    """See :class:`Labelled`."""
    places = []
    for mask in masks:
        y, x = (mask == 1).nonzero(as_tuple=True)
        step = -(-len(y) // MOST_PLACES) or 1
        if len(y):
            places.append(torch.stack([x, y], 1)[::step].cpu().numpy())
    return Labelled(image, masks, tuple(places))


def joined(shots: Mapping[str, Sequence[Shot]]) -> list[Labelled]:
    """Each image once, whichever classes it was labelled for.

    A pixel of one class is none of the others. Of classes that an image was not labelled
    for, nothing else is known.

    Args:
        shots: Of N classes.
    """
    images: list[Tensor] = []
    masks: list[dict[int, Tensor]] = []
    for label, own in enumerate(shots.values()):
        for shot in own:
            place = next(
                (i for i, other in enumerate(images) if _same(other, shot.image)), None
            )
            if place is None or label in masks[place]:
                images.append(shot.image)
                masks.append({})
                place = -1
            masks[place][label] = shot.mask.to(torch.uint8)
    found = []
    for image, own_masks in zip(images, masks, strict=True):
        occupied = torch.stack([m == 1 for m in own_masks.values()]).any(0)
        other = torch.where(occupied, 0, IGNORE).to(torch.uint8)
        every = [own_masks.get(label, other) for label in range(len(shots))]
        found.append(labelled(image, torch.stack(every)))
    return found


def parts(images: Sequence[Labelled], most: int) -> list[list[int]]:
    """Images as parts that are set aside in turn, so that others show each class.

    Args:
        images: K of N classes.
        most: Parts; fewer if there are fewer images.

    Returns:
        Numbers of images; none if that cannot be, as of a single image.
    """
    number = len(images[0].masks)
    shown = [[own.shows(label) for label in range(number)] for own in images]
    several = [label for label in range(number) if sum(s[label] for s in shown) > 1]
    if not several:
        return []
    size = min(most, max(sum(s[label] for s in shown) for label in several))
    found: list[list[int]] = [[] for _ in range(size)]
    for i, own in enumerate(shown):

        def crowded(part: list[int], own: list[bool] = own) -> tuple[int, int]:
            """Images of a part that show what this one shows, then all of them."""
            alike = [
                any(a and b for a, b in zip(own, shown[j], strict=True)) for j in part
            ]
            return sum(alike), len(part)

        min(found, key=crowded).append(i)
    return [part for part in found if part]


def _same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first, second)

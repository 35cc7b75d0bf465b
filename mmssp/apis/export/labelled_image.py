"""What every format is given: images with their labels, and how objects are told apart."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..annotations.shapes import Polygon
from .outlines import Part, cropped, part_polygons, parts, without_specks

DIGITS = 2
"""Of coordinates in pixels, as files hold them."""


@dataclass(frozen=True)
class ExportSettings:
    """How masks become objects and outlines.

    Attributes:
        tolerance: How far an outline may be from the edge of its mask, pixels; 0 is exact.
        instances: Each connected part is an object of its own; else all pixels of a class
            in an image are one.
        min_area: Connected parts of fewer pixels are left out, as specks.

    Raises:
        ValueError: A number is out of range.
    """

    tolerance: float = 1.0
    instances: bool = False
    min_area: int = 0

    def __post_init__(self) -> None:
        if not (isinstance(self.tolerance, (int, float)) and self.tolerance >= 0) or (
            math.isinf(self.tolerance)
        ):
            raise ValueError(
                f'tolerance={self.tolerance!r}: expected pixels, 0 or more'
            )
        if not (isinstance(self.min_area, (int, np.integer)) and self.min_area >= 0):
            raise ValueError(f'min_area={self.min_area!r}: expected pixels, 0 or more')


@dataclass(frozen=True)
class LabelledObject:
    """All that is of one class in an image, or one connected part of it.

    Attributes:
        label: Of the class, from 1 on.
        name: Of the class.
        score: Presence of the class in the image, [0, 1].
        part: Its pixels, at least one, which need not be connected.
        size: Height and width of the image, pixels.
        tolerance: Of the outlines, pixels.
    """

    label: int
    name: str
    score: float
    part: Part
    size: tuple[int, int]
    tolerance: float

    @cached_property
    def polygons(self) -> list[Polygon]:
        """Its outlines, one with its holes for each connected part."""
        return part_polygons(self.part, self.tolerance)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels; the last two are exclusive."""
        left, top, inside = self.part
        return left, top, left + inside.shape[1], top + inside.shape[0]

    @property
    def region(self) -> np.ndarray:
        """(H,W) bool."""
        region = np.zeros(self.size, bool)
        left, top, right, bottom = self.box
        region[top:bottom, left:right] = self.part.inside
        return region

    @property
    def area(self) -> int:
        """Pixels."""
        return int(np.count_nonzero(self.part.inside))


@dataclass(frozen=True)
class LabelledImage:
    """An image and what was found in it.

    Attributes:
        name: Path relative to the folder of the images, forward slashes.
        stem: The same for files beside it, without suffix; no other image's.
        classes: N names, of the labels 1..N.
        labels: (H,W) uint8, 0 background, i the class ``classes[i - 1]``.
        scores: Class → presence score in [0, 1].
        source: The image's file; None where it is in memory alone.
    """

    name: str
    stem: str
    classes: tuple[str, ...]
    labels: np.ndarray
    scores: dict[str, float]
    source: Path | None = None

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.labels.shape[0])

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.labels.shape[1])

    def objects(self, settings: ExportSettings) -> Iterator[LabelledObject]:
        """What is in it, class by class; nothing of classes without a pixel."""
        for label, name in enumerate(self.classes, start=1):
            region = self.labels == label
            found: Iterable[Part | None]
            if settings.instances:
                found = parts(region, settings.min_area)
            else:
                found = [cropped(without_specks(region, settings.min_area))]
            for own in found:
                if own is not None:
                    yield LabelledObject(
                        label,
                        name,
                        float(self.scores[name]),
                        own,
                        (self.height, self.width),
                        settings.tolerance,
                    )

    def kept_labels(self, settings: ExportSettings) -> np.ndarray:
        """(H,W) uint8: the labels without specks."""
        kept = np.zeros_like(self.labels)
        for label in range(1, len(self.classes) + 1):
            kept[without_specks(self.labels == label, settings.min_area)] = label
        return kept


def rounded(points: object) -> list[list[float]]:
    """Points (N,2) in pixels as lists of numbers of :data:`DIGITS`."""
    found: list[list[float]] = np.round(np.asarray(points, float), DIGITS).tolist()
    return found

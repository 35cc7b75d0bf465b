"""What an episode is, and how its class, query and supports are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .class_index import ClassIndex


@dataclass(frozen=True)
class Episode:
    """One few-shot task.

    Attributes:
        label: The target's pixel value in the data set's masks.
        query: Position of the query image in the data set.
        supports: Positions of the K support images.
    """

    label: int
    query: int
    supports: tuple[int, ...]


def usable_images(
    index: ClassIndex, labels: Sequence[int], min_pixels: int
) -> dict[int, np.ndarray]:
    """Images that can support each class: those with ``min_pixels`` of it or more.

    Args:
        index: Class index of the data set.
        labels: Pixel values of the classes.
        min_pixels: Pixels at the original size.

    Returns:
        Label → image positions, ascending, int64.
    """
    return {label: index.images_with(label, min_pixels) for label in labels}


class EpisodeSampler:
    """Draws episodes as the method's release does, in training and in testing.

    Kept are the images with at least ``min_pixels`` of some class of the split. The query
    is drawn uniformly from these *images*, then the class uniformly from the split's
    classes present in it (however small), then the supports uniformly, without repeats
    and never the query, from the images with at least ``min_pixels`` of that class.

    Args:
        index: Class index of the data set.
        labels: Pixel values of the split's classes. Each needs at least
            ``shots + 1`` usable images (see :func:`usable_images`).
        shots: K.
        min_pixels: Pixels at the original size.
    """

    def __init__(
        self, index: ClassIndex, labels: Sequence[int], shots: int, min_pixels: int
    ) -> None:
        self.shots = shots
        self._supports = usable_images(index, labels, min_pixels)
        self._queries = np.unique(np.concatenate(list(self._supports.values())))
        wanted = set(labels)
        self._present = {
            int(image): sorted(wanted.intersection(index.classes_in(int(image))))
            for image in self._queries
        }

    def sample(self, rng: np.random.Generator) -> Episode:
        """Draw one episode.

        Args:
            rng: The only source of chance.

        Returns:
            The episode; a pure function of the generator's state.
        """
        query = int(rng.choice(self._queries))
        label = int(rng.choice(self._present[query]))
        candidates = self._supports[label]
        candidates = candidates[candidates != query]
        supports = rng.choice(candidates, self.shots, replace=False)
        return Episode(label, query, tuple(int(image) for image in supports))

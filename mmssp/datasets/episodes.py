"""What an episode is, and how its class, query and supports are drawn.

Every sampler's ``episode(seed, index)`` is a pure function of the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..utils.random_state import generator
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


class EpisodeSampler(Protocol):
    """Draws episodes."""

    def episode(self, seed: int, index: int) -> Episode:
        """Episode ``index`` (0 or more) of the run with that seed (0 or more)."""


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


class ImageSampler:
    """Query drawn from the images, as in the method's release (``'images'``).

    Kept are the images that are usable for some class of the split. The query is drawn
    uniformly from these *images*, then the class uniformly from the split's classes
    present in it (however small), then the supports uniformly, without repeats and never
    the query, from the images usable for that class.

    Args:
        index: Class index of the data set.
        usable: Label → images that can support it, :func:`usable_images`; each has
            ``shots + 1`` or more.
        shots: K.
    """

    def __init__(
        self, index: ClassIndex, usable: Mapping[int, np.ndarray], shots: int
    ) -> None:
        self.shots = shots
        self._usable = dict(usable)
        self._queries = np.unique(np.concatenate(list(usable.values())))
        self._present = {
            int(image): sorted(set(usable).intersection(index.classes_in(int(image))))
            for image in self._queries
        }

    def episode(self, seed: int, index: int) -> Episode:
        """See :class:`EpisodeSampler`."""
        rng = generator(seed, index)
        query = self._draw_query(rng, index)
        label = int(rng.choice(self._present[query]))
        candidates = self._usable[label]
        candidates = candidates[candidates != query]
        supports = rng.choice(candidates, self.shots, replace=False)
        return Episode(label, query, tuple(int(image) for image in supports))

    def _draw_query(self, rng: np.random.Generator, index: int) -> int:
        return int(rng.choice(self._queries))


class InOrderSampler(ImageSampler):
    """The images' turn as queries, again and again (``'in_order'``): PFENet, BAM.

    All else is as in :class:`ImageSampler`.
    """

    def _draw_query(self, rng: np.random.Generator, index: int) -> int:
        return int(self._queries[index % len(self._queries)])


class _HSNetSampler:
    """HSNet's draws, call by call, from NumPy's legacy generator.

    Episodes follow each other in one stream of chance, so they are drawn from the first
    on, and kept.

    Args:
        pairs: (image position, label) of the split's list, in its order. Each class has
            two or more images.
        shots: K. The same support may come twice.
    """

    def __init__(self, pairs: Sequence[tuple[int, int]], shots: int) -> None:
        self.shots = shots
        self._pairs = list(pairs)
        self._labels = sorted({label for _, label in self._pairs})
        self._images = {
            label: np.array([i for i, own in self._pairs if own == label])
            for label in self._labels
        }
        self._drawn: dict[int, tuple[np.random.RandomState, list[Episode]]] = {}

    def episode(self, seed: int, index: int) -> Episode:
        """See :class:`EpisodeSampler`."""
        if seed not in self._drawn:
            self._drawn[seed] = np.random.RandomState(seed), []
        rng, episodes = self._drawn[seed]
        while len(episodes) <= index:
            query, label = self._draw_query(rng, len(episodes))
            supports: list[int] = []
            while len(supports) < self.shots:
                support = self._choose(rng, self._images[label])
                if support != query:
                    supports.append(support)
            episodes.append(Episode(label, query, tuple(supports)))
        return episodes[index]

    def _draw_query(self, rng: np.random.RandomState, index: int) -> tuple[int, int]:
        raise NotImplementedError

    @staticmethod
    def _choose(rng: np.random.RandomState, values: Sequence[int] | np.ndarray) -> int:
        # without replacement: another sequence than with
        return int(rng.choice(values, 1, replace=False)[0])


class HSNetPairSampler(_HSNetSampler):
    """The list's turn as queries, again and again (``'hsnet_pairs'``): its PASCAL-5i."""

    def _draw_query(self, rng: np.random.RandomState, index: int) -> tuple[int, int]:
        return self._pairs[index % len(self._pairs)]


class HSNetClassSampler(_HSNetSampler):
    """A class drawn, then one of its images (``'hsnet_classes'``): its COCO-20i."""

    def _draw_query(self, rng: np.random.RandomState, index: int) -> tuple[int, int]:
        label = self._choose(rng, self._labels)
        return self._choose(rng, self._images[label]), label


IMAGE_SAMPLERS = {'images': ImageSampler, 'in_order': InOrderSampler}
PAIR_SAMPLERS = {'hsnet_pairs': HSNetPairSampler, 'hsnet_classes': HSNetClassSampler}
SAMPLINGS = (*IMAGE_SAMPLERS, *PAIR_SAMPLERS)

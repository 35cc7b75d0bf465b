"""What an episode is, and how its class, query and supports are drawn.

Every sampler's ``episode(seed, index)`` is a pure function of the two.
"""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..utils.random_state import generator
from .class_index import ClassIndex
from .same_photos import first_of_each_photo


@dataclass(frozen=True)
class Episode:
    """One few-shot task.

    Attributes:
        label: The target's position among the data set's classes.
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
        labels: Of the classes.
        min_pixels: Pixels at the original size.

    Returns:
        Label → image positions, ascending, int64.
    """
    return {label: index.images_with(label, min_pixels) for label in labels}


def images_by_class(pairs: Sequence[tuple[int, int]]) -> dict[int, np.ndarray]:
    """Class → its images in the order of the pairs, int64.

    Args:
        pairs: (image position, class).
    """
    images: dict[int, list[int]] = defaultdict(list)
    for image, own in pairs:
        images[own].append(image)
    return {own: np.array(found, np.int64) for own, found in images.items()}


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
        photos: (num_images,) the photo that each image is; none comes twice in an
            episode. By default each is another one.
    """

    def __init__(
        self,
        index: ClassIndex,
        usable: Mapping[int, np.ndarray],
        shots: int,
        photos: np.ndarray | None = None,
    ) -> None:
        self.shots = shots
        self._usable = dict(usable)
        self._photos = np.arange(index.num_images) if photos is None else photos
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
        photos = self._photos
        candidates = candidates[photos[candidates] != photos[query]]
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
            two or more photos.
        shots: K. The same support may come twice.
        photos: Image position → the photo that it is; by default each is another one.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[int, int]],
        shots: int,
        photos: np.ndarray | None = None,
    ) -> None:
        self.shots = shots
        last = max((image for image, _ in pairs), default=-1)
        self._photos = np.arange(last + 1) if photos is None else photos
        self._pairs = list(pairs)
        self._images = images_by_class(self._pairs)
        self._labels = sorted(self._images)
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
                if self._photos[support] != self._photos[query]:
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


def build_sampler(
    index: ClassIndex,
    labels: Mapping[int, int],
    names: Mapping[int, str],
    *,
    sampling: str,
    shots: int,
    min_pixels: int,
    pairs: Sequence[tuple[int, int]] | None = None,
    left_out: np.ndarray | None = None,
    photos: np.ndarray | None = None,
    allow_missing: bool = False,
) -> tuple[EpisodeSampler, list[int]]:
    """A sampler, and the classes that it draws.

    Args:
        index: Class index of the data set.
        labels: Class id → label, of the classes to draw, by id.
        names: Class id → name.
        sampling: One of :data:`SAMPLINGS`.
        shots: K.
        min_pixels: Pixels that make an image usable, unless ``pairs`` are given.
        pairs: (image position, class id) of a split list; for HSNet's samplings only,
            which otherwise take all usable images of all classes.
        left_out: (num_images,) bool, images that are no part of any episode.
        photos: (num_images,) the photo that each image is; no episode's query is one of
            its supports. By default each is another one.
        allow_missing: Leave out classes with too few images, with a warning.

    Returns:
        The sampler, and class ids, ascending.

    Raises:
        ValueError: If the sampling is unknown or takes no pairs, or classes have too few
            images; all are named, with counts.
    """
    if sampling not in SAMPLINGS:
        raise ValueError(f'sampling={sampling!r}: expected one of {SAMPLINGS}')
    if pairs is not None and sampling not in PAIR_SAMPLERS:
        raise ValueError(
            f'split_file: sampling={sampling!r} takes its images from the masks; lists '
            f"are for {tuple(PAIR_SAMPLERS)}, the hsnet protocol's"
        )
    if pairs is None:
        usable = usable_images(index, list(labels.values()), min_pixels)
        of_class = {c: usable[label] for c, label in labels.items()}
        rule = f'with at least {min_pixels} pixels of the class'
    else:
        listed = images_by_class(pairs)
        of_class = {c: listed.get(c, np.zeros(0, np.int64)) for c in labels}
        rule = 'in the split list'
    if left_out is not None:
        of_class = {c: images[~left_out[images]] for c, images in of_class.items()}
        rule += ' and without novel classes'
    # HSNet's supports may repeat, so that one other image is enough
    needed = 2 if sampling in PAIR_SAMPLERS else shots + 1
    photos = np.arange(index.num_images) if photos is None else photos
    counts = {c: len(np.unique(photos[images])) for c, images in of_class.items()}
    missing = {c: counts[c] for c in labels if counts[c] < needed}
    if missing:
        found = ', '.join(f'{names[c]} ({count})' for c, count in missing.items())
        problem = (
            f'{len(missing)} of {len(labels)} classes have fewer than '
            f'{needed} images (a query and {needed - 1} support(s)) {rule}: {found}'
        )
        _leave_out(problem, len(missing) == len(labels), allow_missing)
    drawn = {c: label for c, label in labels.items() if c not in missing}
    if sampling in IMAGE_SAMPLERS:
        usable = {
            label: first_of_each_photo(of_class[c], photos)
            for c, label in drawn.items()
        }
        return IMAGE_SAMPLERS[sampling](index, usable, shots, photos), list(drawn)
    if pairs is None:
        pairs = sorted((int(i), c) for c in drawn for i in of_class[c])
    pairs = [(i, drawn[c]) for i, c in pairs if c in drawn]
    return PAIR_SAMPLERS[sampling](pairs, shots, photos), list(drawn)


def _leave_out(problem: str, all_of_them: bool, allowed: bool) -> None:
    if all_of_them:
        raise ValueError(
            f'{problem}; no class is left: check the data set, or '
            'lower shots or min_pixels'
        )
    if not allowed:
        raise ValueError(
            f'{problem}; lower shots or min_pixels, or leave these classes out with '
            'allow_missing_classes=True'
        )
    warnings.warn(f'{problem}; these classes are left out', stacklevel=4)

"""What is found in one image."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from ..datasets.coco.coco_masks import label_palette
from ..models.decision import cut
from ..visualization.overlay import inner_outline
from .explanation import Explanation
from .export.result_export import ResultExport

OPACITY = 0.5
SURE = 20.0
"""The margin of a pixel that a person labelled."""


@dataclass(frozen=True)
class Result(ResultExport):
    """Masks and scores of one image.

    :meth:`save` writes them for other tools.

    Attributes:
        image: (H,W,3) uint8 RGB, upright.
        names: N classes, in the order of their labels 1..N.
        margins: Label 0..N-1 → (H,W) float32: the logit of the probability of foreground,
            that class against background by its own supports. Made when it is asked for,
            so that a result takes the memory of its image, however many classes there are.
        scores: Class → presence score in [0, 1].
        threshold: Probability above which a pixel can be of a class.
        presence_threshold: Score from which on a class counts as present.
        source: The image's file, where it came from one.
        doubt: How unsure the masks are, in [0, 1], by
            :func:`mmssp.apis.image_scores.doubt`: of those of several images, the one in
            most doubt is worth being labelled next.
    """

    image: np.ndarray
    names: tuple[str, ...]
    margins: Callable[[int], np.ndarray] = field(repr=False)
    scores: dict[str, float]
    threshold: float
    presence_threshold: float
    _explain: Callable[[str], Explanation] | None = field(default=None, repr=False)
    source: Path | None = None
    doubt: float = 0.0

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        scores = ', '.join(f'{name} {score:.2f}' for name, score in self.scores.items())
        return f'Result({width}x{height} pixels, presence: {scores})'

    @classmethod
    def from_probabilities(
        cls, *, probabilities: np.ndarray, **others: Any
    ) -> 'Result':
        """A result of probabilities at hand.

        Args:
            probabilities: (N,H,W) float32 in [0, 1].
            **others: The other arguments.
        """

        def margins(i: int) -> np.ndarray:
            with np.errstate(divide='ignore'):
                share = probabilities[i].astype(np.float64)
                return (np.log(share) - np.log1p(-share)).astype(np.float32)

        return cls(margins=margins, **others)

    @property
    def probabilities(self) -> np.ndarray:
        """(N,H,W) float32 in [0, 1] of foreground, all classes at once; made anew."""
        found = np.empty((len(self.names), *self.image.shape[:2]), np.float32)
        for i in range(len(self.names)):
            found[i] = _probability(self.margins(i))
        return found

    def probability(self, name: str) -> np.ndarray:
        """(H,W) float32 in [0, 1] of one class.

        Raises:
            ValueError: If there is no such class.
        """
        if name not in self.names:
            raise ValueError(f'name={name!r}: expected one of {list(self.names)}')
        return _probability(self.margins(self.names.index(name)))

    @property
    def present(self) -> dict[str, bool]:
        """Class → whether it is in the image."""
        return {n: s >= self.presence_threshold for n, s in self.scores.items()}

    @cached_property
    def mask(self) -> np.ndarray:
        """(H,W) uint8: 0 background, i the class ``names[i - 1]``.

        A pixel goes to the class of highest probability above the threshold; classes
        that are not present have none.
        """
        best = np.full(self.image.shape[:2], cut(self.threshold), np.float32)
        mask = np.zeros(self.image.shape[:2], np.uint8)
        for i, name in enumerate(self.names):
            if self.present[name]:
                margin = self.margins(i)
                better = margin > best
                mask[better] = i + 1
                best[better] = margin[better]
        return mask

    @property
    def areas(self) -> dict[str, int]:
        """Class → pixels of it in the mask."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.names) + 1)
        return {name: int(n) for name, n in zip(self.names, counts[1:], strict=True)}

    def with_threshold(self, threshold: float) -> 'Result':
        """The same with another threshold in [0, 1]; no new pass through the model.

        Raises:
            ValueError: If it is out of range.
        """
        return replace(self, threshold=checked_share('threshold', threshold))

    def corrected(self, mask: np.ndarray) -> 'Result':
        """The same with a mask that a person gave.

        To learn from it, give it to the inferencer as well:
        ``inferencer.add_support(result.image, mask, name)``, then ``adapt()``.

        Args:
            mask: (H,W) integer or bool, labels as of :attr:`mask`: 0 background, i the
                class ``names[i - 1]``.

        Returns:
            A result of exactly this mask; classes in it are present with a score of 1,
            the others absent with 0.

        Raises:
            ValueError: If it has another size, or a label that is no class's.
        """
        mask = np.asarray(mask)
        if mask.shape != self.image.shape[:2] or mask.dtype.kind not in 'biu':
            raise ValueError(
                f'mask {mask.shape} {mask.dtype}: expected labels of the size of the '
                f'image, {self.image.shape[:2]}'
            )
        most = len(self.names)
        if mask.size and not 0 <= int(mask.min()) <= int(mask.max()) <= most:
            raise ValueError(
                f'mask has labels {mask.min()}..{mask.max()}: expected 0..{most}'
            )
        labels = mask.astype(np.uint8)
        there = {name: bool((labels == i).any()) for i, name in self._labels}
        found = replace(
            self,
            margins=lambda i: np.where(labels == i + 1, SURE, -SURE).astype(np.float32),
            scores={name: float(there[name]) for name in self.names},
            presence_threshold=0.5,
        )
        # what a person says needs no threshold
        found.__dict__['mask'] = labels
        return found

    @property
    def _labels(self) -> list[tuple[int, str]]:
        return list(enumerate(self.names, start=1))

    def draw(self) -> np.ndarray:
        """The image with every class tinted in its own colour, (H,W,3) uint8 RGB."""
        shown = self.image.copy()
        width = max(1, round(max(shown.shape[:2]) / 250))
        for i, colour in enumerate(label_palette(len(self.names) + 1)[1:], start=1):
            region = self.mask == i
            tint = (1 - OPACITY) * shown[region] + OPACITY * np.array(colour)
            shown[region] = np.rint(tint).astype(np.uint8)
            shown[inner_outline(region, width)] = colour
        return shown

    def to_coco(
        self, image_id: int = 0, file_name: str | None = None
    ) -> list[dict[str, Any]]:
        """COCO annotations, one for each class with pixels in the mask.

        Args:
            image_id: Of the image.
            file_name: Kept in each annotation, if given.

        Returns:
            Dicts of ``image_id``, ``category_id`` (1..N), ``category``,
            ``segmentation`` (compressed RLE, counts as str), ``area``, ``bbox``
            ([x, y, width, height]), ``iscrowd`` (0) and ``score``.
        """
        found = []
        for i, name in enumerate(self.names, start=1):
            region = np.asfortranarray(self.mask == i, dtype=np.uint8)
            if not region.any():
                continue
            rle = coco_mask.encode(region)
            annotation = dict(
                image_id=image_id,
                category_id=i,
                category=name,
                segmentation=dict(
                    size=[int(side) for side in rle['size']],
                    counts=rle['counts'].decode(),
                ),
                area=int(region.sum()),
                bbox=[float(x) for x in coco_mask.toBbox(rle)],
                iscrowd=0,
                score=self.scores[name],
            )
            if file_name is not None:
                annotation['file_name'] = file_name
            found.append(annotation)
        return found

    def explain(self, name: str | None = None) -> Explanation:
        """Why: confident pixels and similarities; see :class:`Explanation`.

        The image is encoded again for it, since a result keeps no features.

        Args:
            name: Of the class; may be left out if there is one only.

        Raises:
            ValueError: If there is no such class, or an inferencer did not make this.
        """
        if name is None and len(self.names) == 1:
            name = self.names[0]
        if name not in self.names:
            raise ValueError(f'name={name!r}: expected one of {list(self.names)}')
        if self._explain is None:
            raise ValueError(
                'this result cannot be explained; expected one that '
                'FewShotInferencer.predict made'
            )
        return self._explain(name)


def _probability(margin: np.ndarray) -> np.ndarray:
    with np.errstate(over='ignore'):
        return 1 / (1 + np.exp(-margin))


def checked_share(what: str, value: float) -> float:
    """A number in [0, 1].

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ValueError(f'{what}={value!r}: expected a number in [0, 1]')
    return float(value)

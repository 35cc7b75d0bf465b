"""Images of episodes loaded once each, for all the episodes they are part of."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from ...datasets.class_masks import LABEL, LoadClassMask, binary_mask
from ...datasets.episode_item import checked, image_tensor
from ...datasets.episodic_dataset import EpisodicDataset
from ...utils.random_state import fixed_random_state, random_state


@dataclass(frozen=True)
class Visit:
    """What an image is loaded for.

    Attributes:
        image: Position in the wrapped data set.
        labels: Classes that it is a support of.
        items: Episodes that it is the query of, as items of the episodic data set.
        asked: Classes of these episodes.
    """

    image: int
    labels: tuple[int, ...]
    items: tuple[int, ...]
    asked: tuple[int, ...] = ()


class ImageViews(Dataset[Any]):
    """Item k is the image of visit k, as :class:`EpisodicDataset` would load it.

    The image is decoded once, and what both pipelines begin with is done once, up to the
    mask. From there on they run for each class by itself: so it is exact whatever
    transforms do with a mask, and as a rule resizing is all that is left.

    Args:
        dataset: Whose pipelines, which must not draw at random, load the images.
        visits: What to load.
    """

    def __init__(self, dataset: EpisodicDataset, visits: Sequence[Visit]) -> None:
        self.dataset = dataset
        self.visits = visits
        self._common = _common_start(dataset.pipeline, dataset.support_pipeline)
        self._without_mask = min(self._common, _before_masks(dataset.pipeline))

    def __len__(self) -> int:
        return len(self.visits)

    def __getitem__(self, k: int) -> dict[str, Any]:
        """Load image k.

        Returns:
            ``visit``; ``img_path``; ``support``, (3,h,w) uint8, and ``support_masks``,
            label → (h,w) uint8 in {0, 1, 255}, if the image is a support; ``query``,
            (3,H,W) uint8, or True if it is the same as ``support``, ``truths``, label →
            (H',W') uint8 in {0, 1, 255}, and ``query_infos``, label → what else the
            pipeline gave, if it is a query.

        Raises:
            ValueError: If a transform drew at random, or made other images for other
                classes.
        """
        visit = self.visits[k]
        supports, queries, drawn = self._load(visit)
        if drawn:
            raise ValueError(
                'a transform of the test pipelines draws at random for some images '
                "only, so that images cannot be shared; set test_cfg=dict(type='TestLoop')"
            )
        loaded = next(iter((supports or queries).values()))
        view: dict[str, Any] = dict(visit=visit, img_path=loaded['img_path'])
        image = None
        if supports:
            image = _the_image(supports)
            view['support'] = image_tensor(image)
            view['support_masks'] = {
                label: self.dataset.support_mask(support['gt_seg_map'])
                for label, support in supports.items()
            }
        if queries:
            asked = _the_image(queries)
            same = image is not None and np.array_equal(asked, image)
            view['query'] = True if same else image_tensor(asked)
            view['truths'] = {
                label: torch.from_numpy(binary_mask(query['gt_seg_map'], 1))
                for label, query in queries.items()
            }
            view['query_infos'] = {
                label: {
                    n: v for n, v in query.items() if n not in ('img', 'gt_seg_map')
                }
                for label, query in queries.items()
            }
        return view

    def draws_at_random(self) -> bool:
        """Whether the pipelines draw at random, tried on the first image."""
        label = self.dataset.episode(0).label
        image = self.visits[0].image
        visit = Visit(image, labels=(label,), items=(0,), asked=(label,))
        return self._load(visit)[2]

    def _load(
        self, visit: Visit
    ) -> tuple[dict[int, dict[str, Any]], dict[int, dict[str, Any]], bool]:
        """Supports and queries by label, and whether chance had a part in it."""
        dataset = self.dataset
        labels = sorted({*visit.labels, *visit.asked})
        supports, queries = {}, {}
        with fixed_random_state(0):
            before = random_state()
            start: Any = dataset.dataset.get_data_info(visit.image)
            for transform in dataset.pipeline.transforms[: self._without_mask]:
                start = start and transform(start)
            for label in labels:
                results = start if len(labels) == 1 else copy.deepcopy(start)
                results = results and {**results, LABEL: label}
                for transform in dataset.pipeline.transforms[
                    self._without_mask : self._common
                ]:
                    results = results and transform(results)
                if label in visit.labels:
                    own = copy.deepcopy(results) if label in visit.asked else results
                    supports[label] = self._finish(dataset.support_pipeline, own)
                if label in visit.asked:
                    queries[label] = self._finish(dataset.pipeline, results)
            return supports, queries, random_state() != before

    def _finish(
        self, pipeline: Compose, results: dict[str, Any] | None
    ) -> dict[str, Any]:
        for transform in pipeline.transforms[self._common :]:
            results = results and transform(results)
        return checked(results)


def _the_image(views: dict[int, dict[str, Any]]) -> np.ndarray:
    """The image that is the same for all classes.

    Raises:
        ValueError: If it is not.
    """
    first, *others = views.values()
    if not all(np.array_equal(first['img'], other['img']) for other in others):
        raise ValueError(
            f'the test pipelines make another image of {first["img_path"]} for each of '
            f'the labels {sorted(views)}, so that images cannot be shared; set '
            "test_cfg=dict(type='TestLoop')"
        )
    image: np.ndarray = first['img']
    return image


def _common_start(first: Compose, second: Compose) -> int:
    """How many transforms two pipelines have in common at their beginning."""
    if first is second:
        return len(first.transforms)
    count = 0
    for one, other in zip(first.transforms, second.transforms, strict=False):
        # a repr that shows an address does not tell the settings, and is never equal
        if repr(one) != repr(other):
            break
        count += 1
    return count


def _before_masks(pipeline: Compose) -> int:
    """How many transforms come before any that loads a mask."""
    loads = [isinstance(t, LoadClassMask) for t in pipeline.transforms]
    return loads.index(True)

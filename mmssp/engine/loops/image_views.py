"""Images of episodes loaded once each, for all the episodes they are part of."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from ...datasets.episodic_dataset import EpisodicDataset, checked, image_tensor
from ...utils.random_state import fixed_random_state, random_state


@dataclass(frozen=True)
class Visit:
    """What an image is loaded for.

    Attributes:
        image: Position in the wrapped data set.
        labels: Classes that it is a support of, as pixel values.
        items: Episodes that it is the query of, as items of the episodic data set.
    """

    image: int
    labels: tuple[int, ...]
    items: tuple[int, ...]


class ImageViews(Dataset[Any]):
    """Item k is the image of visit k, as :class:`EpisodicDataset` would load it.

    An image that is query and support is decoded once, and the transforms that both
    pipelines begin with are run once.

    Args:
        dataset: Whose pipelines, which must not draw at random, load the images.
        visits: What to load.
    """

    def __init__(self, dataset: EpisodicDataset, visits: Sequence[Visit]) -> None:
        self.dataset = dataset
        self.visits = visits
        self._common = _common_start(dataset.pipeline, dataset.support_pipeline)

    def __len__(self) -> int:
        return len(self.visits)

    def __getitem__(self, k: int) -> dict[str, Any]:
        """Load image k.

        Returns:
            ``visit``; ``img_path``; ``support``, (3,h,w) uint8, and ``support_mask``,
            (h,w) uint8 of all classes, if the image is a support; ``query``, (3,H,W)
            uint8, or True if it is the same as ``support``, ``truth``, (H',W') uint8 of
            all classes, and ``query_info``, what else the pipeline gave, if it is a
            query.

        Raises:
            ValueError: If a transform drew at random.
        """
        visit = self.visits[k]
        support, query, drawn = self._load(visit)
        if drawn:
            raise ValueError(
                'a transform of the test pipelines draws at random for some images '
                "only, so that images cannot be shared; set test_cfg=dict(type='TestLoop')"
            )
        loaded: Any = support or query
        view = dict(visit=visit, img_path=loaded['img_path'])
        if support is not None:
            view['support'] = image_tensor(support['img'])
            view['support_mask'] = torch.from_numpy(support['gt_seg_map'])
        if query is not None:
            image, truth = query.pop('img'), query.pop('gt_seg_map')
            same = support is not None and np.array_equal(image, support['img'])
            view['query'] = True if same else image_tensor(image)
            view['truth'] = torch.from_numpy(truth)
            view['query_info'] = query
        return view

    def draws_at_random(self) -> bool:
        """Whether the pipelines draw at random, tried on the first image."""
        image = self.visits[0].image
        return self._load(Visit(image, labels=(0,), items=(0,)))[2]

    def _load(
        self, visit: Visit
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None, bool]:
        """Support and query, where wanted, and whether chance had a part in it."""
        with fixed_random_state(0):
            before = random_state()
            results = self.dataset.dataset.get_data_info(visit.image)
            for transform in self.dataset.pipeline.transforms[: self._common]:
                results = results and transform(results)
            support = query = None
            if visit.labels:
                own = copy.deepcopy(results) if visit.items else results
                support = self._finish(self.dataset.support_pipeline, own)
            if visit.items:
                query = self._finish(self.dataset.pipeline, results)
            return support, query, random_state() != before

    def _finish(
        self, pipeline: Compose, results: dict[str, Any] | None
    ) -> dict[str, Any]:
        for transform in pipeline.transforms[self._common :]:
            results = results and transform(results)
        return checked(results)


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

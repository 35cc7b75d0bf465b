"""Logits averaged over clusters of a query's own cells: edges follow what looks alike."""

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ..utils.checks import number, whole_number
from .clusters import cluster_pixels


@MODELS.register_module()
class QueryClusters:
    """Cells of a query that look alike get the same answer, or nearly so.

    Source of the thought: "INSID3: Training-Free In-Context Segmentation with DINOv3"
    (arXiv 2603.28480), which decides for whole clusters of a query, those of an
    agglomerative clustering; here k-means makes them, as many for each image, and their
    logits are averaged, so that matching decides as before.

    Args:
        clusters: Of an image, 1 or more.
        weight: Share of the cluster's mean in a cell's logits, in [0, 1]; its own have
            the rest.
        rounds: Steps of k-means.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self, clusters: int = 32, weight: float = 1.0, rounds: int = 10
    ) -> None:
        self.clusters = whole_number('clusters', clusters, 1)
        self.weight = number('weight', weight, 0, 1)
        self.rounds = whole_number('rounds', rounds, 0)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(clusters={self.clusters}, weight={self.weight}, '
            f'rounds={self.rounds})'
        )

    def members(self, query: Tensor) -> Tensor:
        """The clusters of queries.

        Args:
            query: (B,C,h,w) of unit length over C.

        Returns:
            (B,clusters,hw) of 0. and 1.
        """
        pixels = query.flatten(2)
        weights = torch.ones_like(pixels[:, 0])
        return cluster_pixels(pixels, weights, self.clusters, self.rounds)

    def averaged(self, maps: Tensor, members: Tensor) -> Tensor:
        """Maps with the mean of each cluster in the place of its cells, or mixed in.

        Args:
            maps: (B,K,h,w), logits say.
            members: From :meth:`members`.
        """
        flat = maps.flatten(2)
        sums = torch.bmm(flat, members.transpose(1, 2))
        means = sums / members.sum(2).clamp_min(1)[:, None]
        return torch.lerp(flat, torch.bmm(means, members), self.weight).view_as(maps)

"""Clusters of pixels by what they look like: the same ones for the same pixels, always.

K-means over directions, begun at pixels far from one another instead of random ones, so
that a state or a prepared query is a function of its image alone. Everything is batched,
by masks, and has as many steps whatever the data.

Shapes: N images, C channels, n pixels, P clusters.
"""

import torch
from torch import Tensor

from .prototypes import POOLING_EPS, unit


@torch.no_grad()
def cluster_pixels(
    points: Tensor, weights: Tensor, clusters: int, rounds: int
) -> Tensor:
    """Which cluster each pixel belongs to.

    The first centre is the pixel most like all of them together, each further one the
    pixel that is least like those there are.

    Args:
        points: (N,C,n) of unit length over C.
        weights: (N,n) 0 or more; pixels of weight 0 move no centre and begin none, while
            there are others.
        clusters: P, 1 or more. Where fewer pixels have weight, some stay empty.
        rounds: Steps of k-means, 0 or more.

    Returns:
        (N,P,n) of 0. and 1., one 1. for each pixel, in the dtype of the points.
    """
    centres = _far_apart(points, weights, clusters)
    for _ in range(rounds):
        weighted = _nearest(centres, points) * weights[:, None]
        sums = torch.bmm(points, weighted.transpose(1, 2))
        found = weighted.sum(2)[:, None] > 0
        centres = torch.where(found, unit(sums), centres)
    return _nearest(centres, points)


def _far_apart(points: Tensor, weights: Tensor, clusters: int) -> Tensor:
    """Pixels to begin at, (N,C,P)."""
    without = weights <= 0
    whole = torch.bmm(points, weights[..., None])
    likeness = _likeness(points, whole).masked_fill(without, -torch.inf)
    chosen = [_at(points, likeness.argmax(1))]
    nearest = torch.full_like(weights, -torch.inf)
    for _ in range(clusters - 1):
        nearest = torch.maximum(nearest, _likeness(points, chosen[-1]))
        chosen.append(_at(points, nearest.masked_fill(without, torch.inf).argmin(1)))
    return torch.cat(chosen, dim=2)


def _likeness(points: Tensor, centre: Tensor) -> Tensor:
    """(N,n) products of the points with one centre (N,C,1)."""
    return torch.bmm(centre.transpose(1, 2), points).squeeze(1)


def _at(points: Tensor, index: Tensor) -> Tensor:
    """The points (N,C,1) at an index (N)."""
    return points.gather(2, index[:, None, None].expand(-1, points.shape[1], 1))


def _nearest(centres: Tensor, points: Tensor) -> Tensor:
    """(N,P,n) of 0. and 1."""
    nearest = torch.bmm(centres.transpose(1, 2), points).argmax(1, keepdim=True)
    numbers = torch.arange(centres.shape[2], device=points.device)[None, :, None]
    return (nearest == numbers).to(points.dtype)


def cluster_means(features: Tensor, weights: Tensor, members: Tensor) -> Tensor:
    """Mean feature of each cluster.

    Args:
        features: (N,C,n).
        weights: (N,n) 0 or more.
        members: (N,P,n) of 0. and 1., from :func:`cluster_pixels`.

    Returns:
        (N,C,P); of an empty cluster the mean of all pixels, by weight, which is zero where
        no pixel has any.
    """
    shares = members * weights[:, None]
    sums = torch.bmm(features, shares.transpose(1, 2))
    share = shares.sum(2)[:, None]
    whole = torch.bmm(features, weights[..., None])
    whole = whole / (weights.sum(1)[:, None, None] + POOLING_EPS)
    return torch.where(share > 0, sums / (share + POOLING_EPS), whole)

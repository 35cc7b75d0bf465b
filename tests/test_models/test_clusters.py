"""Clusters: what looks alike is together, whatever the order and the batch."""

import pytest
import torch

from mmssp.models.clusters import cluster_means, cluster_pixels
from mmssp.models.prototypes import unit


def blobs(sizes=(7, 5, 3), channels=8, seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (1,C,n) around one axis each, shuffled, and which axis (n)."""
    rng = torch.Generator().manual_seed(seed)
    truth = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    truth = truth[torch.randperm(len(truth), generator=rng)]
    points = torch.eye(channels)[truth].T
    return (points + 0.1 * torch.randn(points.shape, generator=rng))[None], truth


def same_sets(members: torch.Tensor, truth: torch.Tensor) -> bool:
    """Whether two pixels share a cluster exactly where they share an axis."""
    found = members[0].argmax(0)
    together = found[:, None] == found
    return bool((together == (truth[:, None] == truth)).all())


@pytest.mark.parametrize('seed', range(4))
def test_groups_that_are_there_are_found(seed):
    points, truth = blobs(seed=seed)
    members = cluster_pixels(unit(points), torch.ones(1, len(truth)), 3, 5)
    assert same_sets(members, truth)
    assert torch.equal(members.sum(1), torch.ones(1, len(truth)))


def test_order_of_the_pixels_does_not_count():
    points, truth = blobs()
    order = torch.randperm(len(truth), generator=torch.Generator().manual_seed(1))
    members = cluster_pixels(unit(points[..., order]), torch.ones(1, len(truth)), 3, 5)
    assert same_sets(members, truth[order])


def test_a_batch_is_its_images():
    points = torch.cat([unit(blobs(seed=seed)[0]) for seed in range(3)])
    weights = torch.rand(3, 15, generator=torch.Generator().manual_seed(0))
    together = cluster_pixels(points, weights, 4, 5)
    for i in range(3):
        alone = cluster_pixels(points[i : i + 1], weights[i : i + 1], 4, 5)
        assert torch.equal(together[i : i + 1], alone)


def test_pixels_without_weight_make_no_centre():
    points, truth = blobs()
    weights = (truth != 2).float()[None]
    members = cluster_pixels(unit(points), weights, 2, 5)
    seen = truth != 2
    assert same_sets(members[..., seen], truth[seen])


def test_means_are_those_of_the_members_by_weight():
    points, truth = blobs()
    weights = torch.rand(1, len(truth), generator=torch.Generator().manual_seed(0))
    members = torch.nn.functional.one_hot(truth, 3).T[None].float()
    means = cluster_means(points, weights, members)
    for k in range(3):
        own = truth == k
        expected = (points[0, :, own] * weights[0, own]).sum(1) / weights[0, own].sum()
        torch.testing.assert_close(means[0, :, k], expected, rtol=1e-4, atol=1e-4)


def test_an_empty_cluster_has_the_mean_of_all():
    points = torch.ones(1, 4, 5)
    members = cluster_pixels(unit(points), torch.ones(1, 5), 3, 5)
    assert members.sum(2).tolist() == [[5, 0, 0]]
    means = cluster_means(points, torch.ones(1, 5), members)
    torch.testing.assert_close(means, torch.ones(1, 4, 3), rtol=0, atol=1e-4)


def test_no_weight_at_all_gives_zeros():
    points, truth = blobs()
    nothing = torch.zeros(1, len(truth))
    members = cluster_pixels(unit(points), nothing, 3, 5)
    assert not cluster_means(points, nothing, members).any()

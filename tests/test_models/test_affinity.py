"""Affinity-weighted sums: every way to compute them gives the same."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmssp.models import affinity as module
from mmssp.models.affinity import DenseAffinity, SparseAffinity
from mmssp.models.prototypes import unit
from mmssp.models.self_support import PreparedQuery


def pixels(n: int, channels: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features (1,C,n) and the same of unit length; float64."""
    rng = torch.Generator().manual_seed(seed)
    features = torch.randn(1, channels, n, generator=rng, dtype=torch.float64)
    return features, unit(features)


def chosen(n: int, share: float, seed: int) -> Tensor:
    """(1,n) of 0. and 1., at least one 1."""
    rng = torch.Generator().manual_seed(seed)
    mask = torch.rand(1, n, generator=rng, dtype=torch.float64) < share
    mask[0, 0] = True
    return mask.double()


def expected(features: Tensor, unit_features: Tensor, mask: Tensor) -> Tensor:
    """The definition: a softmax over the chosen pixels, (1,C,n)."""
    cosines = 2 * unit_features[0].T @ unit_features[0]
    weights = cosines.masked_fill(mask == 0, float('-inf')).softmax(1)
    return (weights @ features[0].T).T[None]


shares = st.sampled_from([0.0, 0.05, 0.3, 0.6, 0.95, 1.0])


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 70), first=shares, second=shares, seed=st.integers(0, 99))
def test_both_kinds_give_the_softmax_mean_in_both_passes(n, first, second, seed):
    features, unit_features = pixels(n, seed=seed)
    sets = chosen(n, first, seed), chosen(n, second, seed + 1)
    for kind in (DenseAffinity, SparseAffinity):
        affinity, sums = kind(features, unit_features, 2.0), None
        for mask in sets:
            sums = affinity.sums(mask, sums)
            torch.testing.assert_close(
                sums.means(), expected(features, unit_features, mask)
            )


@pytest.mark.parametrize('share', [0.02, 0.3, 0.9])
def test_blocks_cut_nothing_off(share, monkeypatch):
    monkeypatch.setattr(module, 'BLOCK', 16)
    features, unit_features = pixels(75)
    mask = chosen(75, share, 0)
    found = SparseAffinity(features, unit_features, 2.0).sums(mask).means()
    torch.testing.assert_close(found, expected(features, unit_features, mask))


def test_a_matrix_beyond_the_limit_is_not_made():
    features, unit_features = pixels(40)
    affinity = SparseAffinity(features, unit_features, 2.0, largest_matrix=40 * 40)
    mask = chosen(40, 0.9, 0)
    sums = affinity.sums(mask)
    assert 'matrix' not in vars(affinity)
    torch.testing.assert_close(sums.means(), expected(features, unit_features, mask))


def test_what_was_asked_before_changes_no_bit():
    features, unit_features = (x.float() for x in pixels(300))
    masks = [chosen(300, share, i).float() for i, share in enumerate((0.9, 0.6, 0.3))]
    used = SparseAffinity(features, unit_features, 2.0)
    for mask in masks:
        used.sums(mask)
    for mask in masks:
        fresh = SparseAffinity(features, unit_features, 2.0)
        assert torch.equal(fresh.sums(mask).total, used.sums(mask).total)


@pytest.mark.parametrize('share', [0.3, 0.9])
def test_gradients_of_both_kinds_agree(share):
    features, _ = pixels(30)
    masks = chosen(30, share, 0), chosen(30, share, 1)
    gradients = []
    for kind in (DenseAffinity, SparseAffinity):
        leaf = features.clone().requires_grad_()
        affinity = kind(leaf, unit(leaf), 2.0)
        first = affinity.sums(masks[0])
        second = affinity.sums(masks[1], first)
        (first.means().pow(2).sum() + second.means().pow(3).sum()).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


def test_head_gives_the_same_by_both_kinds(build_segmentor):
    head = build_segmentor(refine=True).decode_head
    rng = torch.Generator().manual_seed(0)
    query = torch.randn(1, 8, 9, 7, generator=rng, dtype=torch.float64)
    support = torch.randn(1, 2, 8, 9, 7, generator=rng, dtype=torch.float64)
    mask = torch.randint(0, 2, (1, 2, 9, 7), generator=rng)
    prototypes = head.support_state(support, mask)
    sparse = head.prepare(query)
    dense = PreparedQuery(
        sparse.features,
        sparse.unit,
        DenseAffinity(query.flatten(2), sparse.unit.flatten(2), 2.0),
    )
    found = head.match_state(dense, prototypes)
    wanted = head.match_state(sparse, prototypes)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name])


def test_off_the_cpu_the_head_never_waits_for_the_device(build_segmentor):
    """Fake tensors have no values: reading one, or a shape that needs one, raises."""
    head = build_segmentor(refine=True).decode_head
    with FakeTensorMode():
        query = torch.empty(2, 8, 9, 7)
        support = torch.empty(2, 3, 8, 9, 7)
        masks = torch.empty(2, 72, 56, dtype=torch.uint8)
        support_masks = torch.empty(2, 3, 72, 56, dtype=torch.uint8)
        with pytest.raises(DynamicOutputShapeException):
            head.match(query, support, support_masks)
        head = build_segmentor(refine=True, affinity='dense').decode_head
        logits = head.match(query, support, support_masks)
        losses = head.loss(query, support, masks, support_masks)
    assert logits['final'].shape == (2, 2, 9, 7)
    assert len(losses) == 4


class LargestTensor(TorchDispatchMode):
    """Notes the elements of the largest tensor that is made."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
        return made


@pytest.mark.parametrize('gradient', [False, True])
def test_dense_sums_beyond_the_limit_are_the_same_without_the_matrix(
    gradient, monkeypatch
):
    monkeypatch.setattr(module, 'BLOCK', 16)
    n = 200
    features, _ = pixels(n, channels=4)
    mask = chosen(n, 0.6, 0)
    results = []
    for limit in (module.LARGEST_MATRIX, 8 * n * 16):
        leaf = features.clone().requires_grad_(gradient)
        with LargestTensor() as made:
            affinity = DenseAffinity(leaf, unit(leaf), 2.0, limit)
            means = affinity.sums(mask).means()
            if gradient:
                means.pow(2).sum().backward()
        results.append((means.detach(), leaf.grad, made.largest))
    whole, blocks = results
    torch.testing.assert_close(blocks[0], whole[0])
    if gradient:
        torch.testing.assert_close(blocks[1], whole[1])
    assert whole[2] == n * n
    assert blocks[2] <= 16 * n


def test_several_images_of_one_sparse_affinity_are_an_error():
    features = torch.zeros(2, 3, 4)
    with pytest.raises(ValueError, match='found 2 images, expected one'):
        SparseAffinity(features, features, 2.0)

"""The head at the edges: finite outputs and gradients, and the documented meaning."""

import pytest
import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmssp.models import self_support
from mmssp.models.affinity import BatchedAffinity, DenseAffinity
from mmssp.models.prototypes import (
    confident_by_label,
    masked_average_pooling,
    self_support_prototypes,
    unit,
)

CHANNELS = 64
MASKS = {'foreground': 1, 'background': 0, 'ignored': 255}


@pytest.fixture(params=['sparse', 'dense'], autouse=True)
def _affinity(request, monkeypatch) -> None:
    """Both ways to sum, on a CPU: the second is what accelerators run."""
    if request.param == 'dense':
        monkeypatch.setattr(self_support, 'BatchedAffinity', DenseAffinity)


def make_head(**options) -> nn.Module:
    return MODELS.build(
        dict(type='SSPHead', in_channels=CHANNELS, refine=True, **options)
    )


def episode(size=(6, 7), shots=2, scale=1.0, dtype=torch.float32) -> tuple:
    """Features of a query and supports, leaves with a gradient."""
    rng = torch.Generator().manual_seed(0)
    query = scale * torch.randn(1, CHANNELS, *size, generator=rng)
    support = scale * torch.randn(1, shots, CHANNELS, *size, generator=rng)
    return tuple(x.to(dtype).requires_grad_() for x in (query, support))


def halves(size: tuple[int, ...], value: int | None = None) -> Tensor:
    """Left background, right foreground; or all of one value."""
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[..., size[-1] // 2 :] = 1
    return mask if value is None else torch.full_like(mask, value)


def check(head: nn.Module, query: Tensor, support: Tensor, truth, masks) -> dict:
    """Match and train on an episode; the logits, after checks that all is finite."""
    logits = head.match(query, support, masks)
    for name, value in logits.items():
        assert torch.isfinite(value).all(), name
        assert value.abs().max() <= head.similarity_scale * 1.001
    losses = head.loss(query, support, truth, masks)
    assert set(losses) == {
        'loss_final',
        'loss_stage1',
        'loss_query_self',
        'loss_support_self',
    }
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    for leaf in (query, support):
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()
    return logits


@pytest.mark.parametrize('truth', MASKS)
@pytest.mark.parametrize('mask', MASKS)
def test_masks_of_one_value(mask, truth):
    query, support = episode()
    check(
        make_head(),
        query,
        support,
        halves((1, 48, 56), MASKS[truth]),
        halves((1, 2, 48, 56), MASKS[mask]),
    )


@pytest.mark.parametrize('mask', MASKS)
def test_support_masks_of_one_value_at_prediction(mask, build_segmentor):
    model = build_segmentor(channels=8, refine=True)
    inputs = dict(
        query=torch.rand(1, 3, 40, 48),
        support=torch.rand(1, 2, 3, 40, 48),
        support_mask=halves((1, 2, 40, 48), MASKS[mask]),
    )
    sample = SegDataSample(metainfo=dict(ori_shape=(40, 48)))
    (found,) = model.predict(inputs, [sample])
    assert torch.isfinite(found.seg_logits.data).all()
    assert set(found.pred_sem_seg.data.unique().tolist()) <= {0, 1}


def test_a_loss_without_a_pixel_that_counts_is_zero_and_so_is_its_gradient():
    query, support = episode()
    losses = make_head().loss(
        query, support, halves((1, 48, 56), 255), halves((1, 2, 48, 56), 255)
    )
    assert all(loss == 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert not query.grad.any()
    assert not support.grad.any()


@pytest.mark.parametrize('mask', MASKS)
def test_zero_features(mask):
    query, support = (torch.zeros_like(x).requires_grad_() for x in episode())
    masks = halves((1, 2, 48, 56), None if mask == 'foreground' else MASKS[mask])
    logits = check(make_head(), query, support, halves((1, 48, 56)), masks)
    # no direction, no similarity: neither side is likelier
    assert not logits['final'].any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_features_of_ten_thousand(dtype):
    """Norms (8e4 here) and sums of products are beyond float16; cosines are not."""
    query, support = episode(scale=1e4, dtype=dtype)
    assert torch.isfinite(query).all()
    masks = halves((1, 2, 48, 56))
    logits = check(make_head(), query, support, halves((1, 48, 56)), masks)
    small = [(x.detach().float() / 1e4) for x in (query, support)]
    expected = make_head().match(*small, masks)
    # but for the constant in the pooling, cosines know no scale
    torch.testing.assert_close(
        logits['baseline'], expected['baseline'], atol=0.02, rtol=0
    )
    assert (
        logits['final'].argmax(1) == expected['final'].argmax(1)
    ).float().mean() > 0.9


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('how', ['autocast', 'cast module'])
def test_large_features_in_half_precision(dtype, how, build_segmentor):
    model = build_segmentor(channels=8, refine=True)
    # the preprocessor gives some units, of which the backbone makes thousands
    with torch.no_grad():
        model.backbone.conv.weight.mul_(1e4)
        model.backbone.conv.bias.zero_()
    images = torch.rand(3, 3, 40, 48)
    if how == 'cast module':
        model, images = model.to(dtype), images.to(dtype)
    masks = halves((1, 2, 40, 48))
    inputs = dict(query=images[:1], support=images[None, 1:], support_mask=masks)
    with torch.autocast('cpu', dtype, enabled=how == 'autocast'):
        features = model.encode(images)
        assert features.dtype == dtype
        assert 1e3 < features.abs().max() < 65_504
        query, support = model.encode_episodes(inputs['query'], inputs['support'])
        losses = model.decode_head.loss(query, support, halves((1, 40, 48)), masks)
        (found,) = model.predict(inputs)
    assert torch.isfinite(found.seg_logits.data).all()
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize('size', [(1, 1), (1, 5), (3, 1), (2, 3)])
@pytest.mark.parametrize('mask', [None, *MASKS.values()])
def test_maps_of_few_pixels(size, mask):
    """Down to one; all have fewer than the twelve of top_k."""
    query, support = episode(size)
    check(
        make_head(), query, support, halves((1, 24, 40)), halves((1, 2, 24, 40), mask)
    )


def test_where_a_map_has_fewer_pixels_than_top_k_all_are_taken():
    chosen = confident_by_label(torch.zeros(2, 2, 2, 3), (0.6, 0.7), top_k=12)
    assert torch.equal(chosen, torch.ones(2, 2, 6))
    features = torch.randn(2, CHANNELS, 2, 3)
    found = self_support_prototypes(features, chosen)
    for of_label in found.unbind(1):
        torch.testing.assert_close(of_label, features.flatten(2).mean(2))


@pytest.mark.parametrize('value', [0, 255])
def test_a_support_without_the_class_changes_no_first_guess(value):
    query, support = (x.detach() for x in episode(shots=3))
    masks = halves((1, 3, 48, 56))
    masks[0, 1] = value
    head = make_head(method='baseline')
    fewer, all_three = support[:, [0, 2]], head.support_state(support, masks)
    without = head.support_state(fewer, masks[:, [0, 2]])
    # the zero vector adds nothing to the direction of the mean
    torch.testing.assert_close(
        unit(all_three['foreground']), unit(without['foreground'])
    )
    found = head.match(query, support, masks)['final'][:, 1]
    expected = head.match(query, fewer, masks[:, [0, 2]])['final'][:, 1]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('ragged', [False, True])
def test_some_supports_empty_or_ignored(ragged):
    query, support = episode(shots=3)
    masks = halves((1, 3, 48, 56))
    masks[0, 0], masks[0, 1] = 0, 255
    if not ragged:
        check(make_head(), query, support, halves((1, 48, 56)), masks)
        return
    lists = [[shot.detach().requires_grad_() for shot in support[0]]]
    losses = make_head().loss(query, lists, halves((1, 48, 56)), [list(masks[0])])
    sum(losses.values()).backward()
    assert torch.isfinite(query.grad).all()
    assert all(torch.isfinite(shot.grad).all() for shot in lists[0])


@pytest.mark.parametrize('value', [0, 255])
def test_the_prototype_of_an_empty_mask_is_the_zero_vector(value):
    features = torch.randn(1, 1, CHANNELS, 6, 7)
    found = make_head().support_state(features, torch.full((1, 1, 48, 56), value))
    assert not found['foreground'].any()
    assert bool(found['background'].any()) == (value == 0)
    assert not masked_average_pooling(features[0], torch.zeros(1, 6, 7)).any()


@pytest.mark.parametrize('temperature', [0.0, 2.0, 10.0, 50.0])
def test_sums_at_all_temperatures_are_those_of_the_definition(temperature):
    """Also where what is taken away outweighs what is left by e^100."""
    rng = torch.Generator().manual_seed(0)
    near = torch.randn(CHANNELS, 1, generator=rng)
    noise = torch.randn(CHANNELS, 60, generator=rng) / 100
    features = torch.cat([near + noise[:, :20], -near + noise[:, 20:]], 1)[None]
    everything, rest = torch.ones(1, 60), torch.ones(1, 60)
    rest[0, :20] = 0
    cosines = unit(features.double())[0]
    cosines = temperature * (cosines.T @ cosines)
    for kind in (DenseAffinity, BatchedAffinity):
        affinity = kind(features, unit(features), temperature)
        sums = affinity.sums(rest, affinity.sums(everything))
        weights = cosines.masked_fill(rest == 0, -torch.inf).softmax(1)
        expected = (weights @ features[0].double().T).T[None]
        assert torch.isfinite(sums.means()).all()
        torch.testing.assert_close(
            sums.means().double(), expected, atol=2e-3, rtol=2e-3
        )

"""PositionalDebiasing: what the place alone makes of features does not count."""

import copy

import pytest
import torch
import toy_models  # noqa: F401  registers PlacedBackbone
from mmseg.registry import MODELS

from mmssp.models import BaselineHead, PositionalDebiasing
from mmssp.models.positional_debiasing import Encoder


def build(
    strength: float = 5.0, kind: str = 'BaselineHead', **options
) -> torch.nn.Module:
    torch.manual_seed(0)
    debiasing = dict(type='PositionalDebiasing', **options) if options else None
    return MODELS.build(
        dict(
            type='FewShotEncoderDecoder',
            backbone=dict(type='PlacedBackbone', channels=12, strength=strength),
            decode_head=dict(type=kind, in_channels=12, debiasing=debiasing),
        )
    ).eval()


def image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_features_become_those_of_a_backbone_that_does_not_know_the_place():
    debiased = build(directions=2).decode_head
    features = build(directions=2).encode(image(1, 3, 40, 48))
    blind = build(strength=0.0).encode(image(1, 3, 40, 48))
    basis = debiased.debiasing.basis(features)
    assert basis.shape == (12, 2)
    free = debiased.debiasing.removed(features)
    torch.testing.assert_close(free, debiased.debiasing.removed(blind))
    assert (features - blind).norm() > 10 * (free - blind).norm()


@torch.no_grad()
def test_directions_without_part_are_not_counted():
    features = image(1, 12, 5, 6)
    model = build(directions=8)
    assert model.decode_head.debiasing.basis(features).shape == (12, 2)
    blind = build(strength=0.0, directions=8).decode_head.debiasing
    assert torch.equal(blind.removed(features), features)


@torch.no_grad()
def test_self_support_sees_features_as_they_are():
    model, plain = build(kind='SSPHead', directions=2), build(kind='SSPHead')
    query, support = (
        model.encode(image(1, 3, 40, 48)),
        model.encode(image(1, 3, 32, 32)),
    )
    prepared = model.decode_head.prepare(query)
    assert torch.equal(prepared.unit, plain.decode_head.prepare(query).unit)
    mask = torch.zeros(1, 32, 32)
    mask[:, 8:20, 8:] = 1
    state = model.shot_state(support, mask)
    freed = model.decode_head.debiasing.removed(support)
    assert torch.equal(state['foreground'], plain.shot_state(freed, mask)['foreground'])
    found = model.decode_head.match_state(prepared, state)
    first = BaselineHead(12).match_state(
        model.decode_head.debiasing.removed(query), state
    )['final']
    assert torch.equal(found['baseline'], first)


@torch.no_grad()
def test_directions_are_made_once_for_a_size_and_anew_for_other_weights():
    model = build(directions=2)
    debiasing, calls = model.decode_head.debiasing, []
    encode = debiasing.encoder.encode

    def counted(size: tuple[int, int]) -> torch.Tensor:
        calls.append(size)
        return encode(size)

    debiasing.encoder = Encoder(counted, debiasing.encoder.tensors)
    for size in ((5, 6), (5, 6), (4, 4), (5, 6)):
        debiasing.removed(image(1, 12, *size))
    assert calls == [(5, 6), (4, 4)]
    before = debiasing.basis(image(1, 12, 5, 6))
    model.backbone.place.mul_(torch.linspace(1, 2, 12)[:, None])
    after = debiasing.basis(image(1, 12, 5, 6))
    assert calls == [(5, 6), (4, 4), (5, 6)]
    assert not torch.equal(before, after)
    model.backbone.place.data.mul_(torch.linspace(2, 1, 12)[:, None])
    model.eval()
    assert not torch.equal(debiasing.basis(image(1, 12, 5, 6)), after)


def test_a_copy_of_a_model_has_its_own_encoder():
    model = build(directions=2)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.backbone.place.zero_()
    features = image(1, 12, 5, 6)
    assert other.decode_head.debiasing.basis(features).shape[1] == 0
    assert model.decode_head.debiasing.basis(features).shape[1] == 2


def test_training_reaches_all_and_changes_no_mode():
    model = build(kind='SSPHead', directions=2).train()
    features = model.encode(image(2, 3, 40, 48))
    support = model.encode(image(2, 3, 40, 48, seed=1))[:, None]
    masks = (image(2, 40, 48) > 0).long()
    losses = model.decode_head.loss(features, support, masks, masks[:, None])
    sum(losses.values()).backward()
    assert model.backbone.conv.weight.grad.abs().sum() > 0
    assert all(module.training for module in model.modules())


def test_without_an_encoder_it_says_so():
    head = BaselineHead(4, debiasing=dict(type='PositionalDebiasing'))
    with pytest.raises(ValueError, match='expected a head that is part of'):
        head.prepare(torch.zeros(1, 4, 3, 3))


def test_features_of_another_size_are_refused():
    debiasing = PositionalDebiasing()
    debiasing.encoder = Encoder(lambda size: torch.zeros(1, 4, 9, 9), lambda: ())
    with pytest.raises(ValueError, match=r'\(4, 9, 9\).*expected \(4, 3, 3\)'):
        debiasing.removed(torch.zeros(1, 4, 3, 3))


@pytest.mark.parametrize('wrong', [dict(directions=0), dict(centred=1), dict(least=2)])
def test_arguments_out_of_range_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        PositionalDebiasing(**wrong)

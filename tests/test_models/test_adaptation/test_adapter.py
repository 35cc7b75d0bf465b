"""Adapters learn from the shots of a class, and leave nothing behind."""

import random

import numpy as np
import pytest
import torch
import toy_models  # noqa: F401  registers ChannelAdapter
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmssp.models import Shot
from mmssp.models.adaptation import adapt


@pytest.fixture
def model(build_segmentor):
    model = build_segmentor(refine=True).eval()
    model.adapter = MODELS.build(dict(type='ChannelAdapter'))
    return model


def shots(seed: int, number: int = 2) -> list[Shot]:
    rng = torch.Generator().manual_seed(seed)
    return [
        Shot(
            torch.randn(3, 40, 48, generator=rng),
            torch.randint(0, 2, (40, 48), generator=rng, dtype=torch.uint8),
        )
        for _ in range(number)
    ]


def batch(seed: int, name: str = 'cat') -> dict:
    rng = torch.Generator().manual_seed(seed)

    def image():
        return torch.randint(0, 256, (3, 40, 48), generator=rng, dtype=torch.uint8)

    def mask():
        return torch.randint(0, 2, (40, 48), generator=rng, dtype=torch.uint8)

    return dict(
        inputs=dict(
            query=[image()],
            support=[[image(), image()]],
            support_mask=[[mask(), mask()]],
        ),
        data_samples=[SegDataSample(metainfo=dict(class_name=name))],
    )


def logits(model, seed: int) -> torch.Tensor:
    return model.test_step(batch(seed))[0].seg_logits.data


def everything(model) -> dict:
    """All that an adapter could leave something in."""
    return dict(
        tensors={k: v.clone() for k, v in model.state_dict().items()},
        grads=[p.grad for p in model.parameters()],
        wanted=[p.requires_grad for p in model.parameters()],
        modes=[module.training for module in model.modules()],
        chance=(
            torch.random.get_rng_state().tolist(),
            random.getstate(),
            np.random.get_state()[1].tolist(),
        ),
    )


@pytest.mark.parametrize('training', [False, True])
def test_the_model_is_the_same_before_and_after(model, training):
    model.train(training)
    frozen = next(model.parameters()).requires_grad_(False)
    before = everything(model)
    adapt(model.adapter, model, dict(cat=shots(0), dog=shots(1)))
    after = everything(model)
    assert frozen.requires_grad is False
    for name, value in before.pop('tensors').items():
        assert torch.equal(value, after['tensors'][name])
    assert all(before[what] == after[what] for what in before)


def test_states_are_of_each_class_and_without_gradient(model):
    states = adapt(model.adapter, model, dict(cat=shots(0), dog=shots(1)))
    assert list(states) == ['cat', 'dog']
    assert not torch.equal(states['cat']['weight'], states['dog']['weight'])
    assert not any(s['weight'].requires_grad for s in states.values())
    # one class learns the same whatever else is there
    alone = adapt(model.adapter, model, dict(cat=shots(0)))
    assert torch.equal(alone['cat']['weight'], states['cat']['weight'])


def test_learning_needs_no_gradient_from_outside(model):
    with torch.no_grad():
        found = adapt(model.adapter, model, dict(cat=shots(0)))['cat']['weight']
        assert not torch.is_grad_enabled()
    none = MODELS.build(dict(type='ChannelAdapter', steps=0))
    start = adapt(none, model, dict(cat=shots(0)))['cat']['weight']
    assert not torch.allclose(found, start)


@pytest.mark.parametrize('seed', [0, 7])
def test_chance_is_the_adapters_own(model, seed):
    adapter = MODELS.build(dict(type='ChannelAdapter', seed=seed))
    torch.manual_seed(1)
    first = adapt(adapter, model, dict(cat=shots(0)))['cat']['weight']
    torch.manual_seed(2)
    assert torch.equal(
        first, adapt(adapter, model, dict(cat=shots(0)))['cat']['weight']
    )


@pytest.mark.parametrize(
    ('spoils', 'name'),
    [('parameter', 'backbone.conv.weight'), ('buffer', 'data_preprocessor.mean')],
)
def test_an_adapter_that_changes_the_model_is_named_with_what_it_changed(
    model, spoils, name
):
    if spoils == 'buffer':
        model.data_preprocessor.register_buffer('mean', torch.zeros(3, 1, 1))
    adapter = MODELS.build(dict(type='ChannelAdapter', spoils=spoils))
    with pytest.raises(RuntimeError, match=f'ChannelAdapter changed 1 .*{name}'):
        adapt(adapter, model, dict(cat=shots(0)))
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ({}, r'gave states of \[\]'),
        (dict(cat=dict(x=3)), 'something else than tensors'),
    ],
)
def test_what_is_no_state_is_refused(model, monkeypatch, given, message):
    monkeypatch.setattr(model.adapter, 'adapt', lambda *_: given)
    with pytest.raises(ValueError, match=message):
        adapt(model.adapter, model, dict(cat=shots(0)))


def test_a_prediction_is_that_of_adapted_features(model):
    found = logits(model, 0)
    inputs = model.data_preprocessor(batch(0))['inputs']
    pairs = zip(inputs['support'][0], inputs['support_mask'][0], strict=True)
    own = [Shot(*pair) for pair in pairs]
    weight = adapt(model.adapter, model, dict(cat=own))['cat']['weight'][
        ..., None, None
    ]
    with torch.no_grad():
        states = [
            model.shot_state(model.encode(s.image[None]) * weight, s.mask[None])
            for s in own
        ]
        query = model.encode(inputs['query']) * weight
        expected = model.decode_head.match_state(
            query, model.decode_head.combine(states)
        )
    expected = model.logits_at(expected['final'], (40, 48))[0]
    torch.testing.assert_close(found, expected)
    model.adapter = None
    assert not torch.allclose(logits(model, 0), found)


def test_nothing_leaks_from_one_episode_to_the_next(model):
    alone = {seed: logits(model, seed) for seed in (3,)}
    in_turn = {seed: logits(model, seed) for seed in (0, 1, 2, 3)}
    backwards = {seed: logits(model, seed) for seed in (3, 2, 1, 0)}
    assert torch.equal(alone[3], in_turn[3])
    assert all(torch.equal(in_turn[seed], backwards[seed]) for seed in in_turn)

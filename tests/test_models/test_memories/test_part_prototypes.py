"""PartPrototypes: parts of an object, and every shot's prototypes."""

import pytest
import torch
from mmseg.registry import MODELS

from mmssp.models import BaselineHead, PartPrototypes
from mmssp.models.prototypes import similarity_logits, unit

HEAD = dict(type='BaselineHead', in_channels=4)
AXES = torch.eye(4)


def shot(*colours: int, mask=(0, 1, 1, 0)) -> tuple[torch.Tensor, torch.Tensor]:
    """A row of four cells, each along an axis, and its mask."""
    return AXES[list(colours)].T[None, :, None], torch.tensor([[mask]])


def test_an_object_of_two_colours_has_two_prototypes():
    features, mask = shot(0, 1, 2, 0)
    state = PartPrototypes(parts=2, background_parts=1).shot_state(features, mask)
    found = sorted(state['foreground'][0].T.round().tolist())
    assert found == sorted(AXES[[1, 2]].tolist())
    torch.testing.assert_close(state['background'][0, :, 0], AXES[0], rtol=0, atol=1e-4)


def test_the_part_that_is_nearest_is_compared():
    features, mask = shot(0, 1, 2, 0)
    query, _ = shot(0, 2, 1, 3)
    heads = {
        parts: MODELS.build(dict(HEAD, memory=dict(type='PartPrototypes', parts=parts)))
        for parts in (1, 2)
    }
    logits = {
        parts: head.match(query, features[None], mask[None])['final'][0, 1, 0]
        for parts, head in heads.items()
    }
    assert logits[1][1] == pytest.approx(10 / 2**0.5, rel=1e-3)
    assert logits[2].tolist() == pytest.approx([0, 10, 10, 0], abs=1e-3)


def random_shots(number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    rng = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(1, 4, 5, 6, generator=rng),
            torch.randint(0, 2, (1, 40, 48), generator=rng),
        )
        for _ in range(number)
    ]


def test_of_all_shots_each_pixel_takes_the_largest_cosine():
    """Against the maximum over single cosines."""
    memory = PartPrototypes(parts=2, background_parts=3, whole=0.8)
    states = [memory.shot_state(*each) for each in random_shots(3)]
    state = memory.combine(states)
    query = unit(random_shots(1)[0][0] + 0.3)
    found = memory.recall(query, state)
    logits = similarity_logits(query, found.foreground, found.background, 1.0)[0]
    for side, name in enumerate(('background', 'foreground')):
        every = torch.cat([s[name] for s in states], dim=2)[0]
        cosines = torch.einsum('chw,cp->phw', query[0], unit(every[None])[0])
        torch.testing.assert_close(logits[side], cosines.amax(0))


def test_one_part_of_one_shot_is_the_mean_prototype():
    features, mask = random_shots(1)[0]
    query = random_shots(2)[1][0]
    memory = dict(type='PartPrototypes', parts=1, background_parts=1)
    found, expected = (
        head.match(query, features[None], mask[None])['final']
        for head in (MODELS.build(dict(HEAD, memory=memory)), BaselineHead(4))
    )
    assert torch.equal(found, expected)


def test_temperature_zero_is_the_mean_over_shots():
    memory = PartPrototypes(parts=1, background_parts=1, temperature=0)
    state = memory.combine([memory.shot_state(*each) for each in random_shots(3)])
    found = memory.recall(unit(random_shots(1)[0][0]), state)
    expected = state['foreground'].mean(2)[..., None, None].expand(-1, -1, 5, 6)
    torch.testing.assert_close(found.foreground, expected)


def test_a_shot_that_looks_alike_counts_among_many_that_do_not():
    """What the mean over eleven shots forgets."""
    rare, mask = shot(0, 3, 3, 0)
    usual, _ = shot(0, 1, 1, 0)
    query, _ = shot(0, 3, 0, 0)
    shots = torch.stack([rare, *[usual] * 10], dim=1)
    masks = torch.stack([mask] * 11, dim=1)
    each = dict(type='PartPrototypes', parts=1, background_parts=1)
    kept = MODELS.build(dict(HEAD, memory=each)).match(query, shots, masks)['final']
    mean = BaselineHead(4).match(query, shots, masks)['final']
    assert kept[0, 1, 0, 1] > 9.9
    assert mean[0, 1, 0, 1] < 2


@pytest.mark.parametrize(
    'wrong', [dict(parts=0), dict(background_parts=-1), dict(temperature=-1.0)]
    + [dict(whole=-0.1), dict(rounds=1.5)],
)  # fmt: skip
def test_numbers_out_of_range_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        PartPrototypes(**wrong)

"""SupportTokens against loops over cells, and what the reverse check is for."""

import pytest
import torch
from mmseg.registry import MODELS

from mmssp.models import SupportTokens
from mmssp.models.memories import support_tokens
from mmssp.models.prototypes import mask_weights, similarity_logits, unit

AXES = torch.eye(4)


def random_shots(number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    rng = torch.Generator().manual_seed(0)
    values = torch.tensor([0, 1, 255])
    return [
        (
            torch.randn(1, 4, 5 + k, 6, generator=rng),
            values[torch.randint(0, 3, (1, 5 + k, 6), generator=rng)],
        )
        for k in range(number)
    ]


@pytest.mark.parametrize('block', [1024, 7])
def test_each_cell_is_compared_with_all(block, monkeypatch):
    """Against a loop, with shots of several sizes, in blocks or at once."""
    monkeypatch.setattr(support_tokens, 'BLOCK', block)
    memory = SupportTokens(reverse_check=True)
    shots = random_shots(2)
    query = unit(torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(9)))
    found = memory.recall(query, memory.combine([memory.shot_state(*s) for s in shots]))
    logits = similarity_logits(query, found.foreground, found.background, 1.0)[0]
    cells, labels = [], []
    for features, mask in shots:
        cells += list(unit(features)[0].flatten(1).T)
        sides = [mask_weights((mask == k).float(), features.shape[-2:]) for k in (0, 1)]
        labels += list(torch.stack(sides, -1).flatten(0, 2) >= 0.5)
    for y in range(3):
        for x in range(5):
            cosines = [float(query[0, :, y, x] @ cell) for cell in cells]
            for side in (0, 1):
                best = max(
                    c for c, own in zip(cosines, labels, strict=True) if own[side]
                )
                assert float(logits[side, y, x]) == pytest.approx(best, abs=1e-5)
            nearest = labels[max(range(len(cosines)), key=cosines.__getitem__)]
            assert bool(found.counts[0, y, x]) == bool(nearest[1])


def test_the_reverse_check_refuses_what_is_more_like_the_background():
    """The object is half one colour, half another; the ground has one between them."""
    between = unit((AXES[0] + AXES[1])[None])[0]
    support = torch.stack([AXES[0], AXES[1], between, AXES[2]], 1)[None, :, None]
    mask = torch.tensor([[[1, 1, 0, 0]]])
    query = torch.stack([AXES[0], between], 1)[None, :, None]
    memory = dict(type='SupportTokens', compared='mean')
    logits = [
        MODELS.build(
            dict(
                type='BaselineHead',
                in_channels=4,
                memory=dict(memory, reverse_check=check),
            )
        ).match(query, support[None], mask[None])['final']
        for check in (False, True)
    ]
    unchecked, checked = (guess.argmax(1)[0, 0].tolist() for guess in logits)
    assert unchecked == [1, 1]
    assert checked == [1, 0]
    assert torch.equal(logits[0][..., 0], logits[1][..., 0])


def test_a_small_object_keeps_its_best_cell():
    mask = torch.zeros(1, 8, 8, dtype=torch.uint8)
    mask[0, 4, 4] = 1
    state = SupportTokens().shot_state(torch.randn(1, 4, 5, 5), mask)
    assert state['inside'][0, 1].nonzero().flatten().tolist() == [12]
    assert state['inside'][0, 0].sum() == 25


def test_an_empty_mask_speaks_for_neither_side():
    memory = SupportTokens(reverse_check=True)
    state = memory.shot_state(torch.randn(1, 4, 2, 2), torch.zeros(1, 8, 8))
    found = memory.recall(unit(torch.randn(1, 4, 3, 3)), state)
    assert not found.foreground.any()
    assert not found.counts.any()


@pytest.mark.parametrize('wrong', [dict(compared='all'), dict(reverse_check=1)])
def test_other_arguments_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        SupportTokens(**wrong)

"""WhitenedPrototypes: what all cells have in common tells nothing."""

import pytest
import torch
from mmseg.registry import MODELS

from mmssp.models import WhitenedPrototypes
from mmssp.models.prototypes import unit


def head(**memory):
    memory = memory and dict(memory, type='WhitenedPrototypes')
    return MODELS.build(dict(type='BaselineHead', in_channels=5, memory=memory or None))


def random_shots(number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    rng = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(1, 5, 6, 7, generator=rng, dtype=torch.float64) + 1,
            torch.randint(0, 2, (1, 6, 7), generator=rng),
        )
        for _ in range(number)
    ]


def test_it_is_the_inner_product_after_whitening():
    """Against the inverse root of the second moment, by its eigenvectors."""
    memory = WhitenedPrototypes(shrinkage=0.25)
    shots = random_shots(3)
    state = memory.combine([memory.shot_state(*shot) for shot in shots])
    query = unit(random_shots(1)[0][0])
    found = memory.recall(query, state)
    cells = torch.cat([unit(features).flatten(2)[0] for features, _ in shots], dim=1)
    moment = cells @ cells.T / cells.shape[1]
    moment = 0.75 * moment + 0.25 * moment.trace() / 5 * torch.eye(5)
    lengths, axes = torch.linalg.eigh(moment / (cells.norm(dim=0) ** 2).mean() * 5)
    root = axes @ torch.diag(lengths**-0.5) @ axes.T
    for kind, own in (
        ('foreground', found.foreground),
        ('background', found.background),
    ):
        expected = (root @ state[kind][0]) @ (root @ query[0].flatten(1))
        torch.testing.assert_close(own[0] @ query[0].flatten(1), expected)


def test_shrunk_to_the_identity_it_is_the_mean():
    shots = random_shots(2)
    query = random_shots(3)[2][0]
    features = torch.stack([own[0][0] for own in shots])[None]
    masks = torch.stack([own[1][0] for own in shots])[None]
    found = head(shrinkage=1).match(query, features, masks)['final']
    torch.testing.assert_close(found, head().match(query, features, masks)['final'])


def test_what_is_everywhere_counts_less():
    """A strong direction of every cell hides the one that tells."""
    rng = torch.Generator().manual_seed(0)
    mask = torch.zeros(1, 8, 8, dtype=torch.long)
    mask[:, :, :4] = 1
    features = 0.3 * torch.randn(1, 5, 8, 8, generator=rng)
    features[:, 0] += 10
    features[:, 1] += mask
    query = features.flip(-1)
    logits = [
        own.match(query, features[None], mask[None])['final'][0]
        for own in (head(), head(shrinkage=0.01))
    ]
    plain, white = (own[1] - own[0] for own in logits)
    inside, outside = mask[0].flip(-1) == 1, mask[0].flip(-1) == 0
    assert white[inside].mean() > 0 > white[outside].mean()
    assert (white[inside].mean() - white[outside].mean()) > 3 * (
        plain[inside].mean() - plain[outside].mean()
    )


def test_features_of_zeros_are_no_obstacle():
    memory = WhitenedPrototypes()
    state = memory.shot_state(torch.zeros(1, 5, 4, 4), torch.ones(1, 4, 4))
    found = memory.recall(torch.zeros(1, 5, 4, 4), state)
    assert torch.isfinite(found.foreground).all()


@pytest.mark.parametrize('shrinkage', [0, 1.5, 'x', True])
def test_a_shrinkage_out_of_range_is_named(shrinkage):
    with pytest.raises(ValueError, match=f'shrinkage={shrinkage!r}: expected a number'):
        WhitenedPrototypes(shrinkage)

"""Whether a class is in an image at all, by the first guess of a head."""

from statistics import mean

import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn.functional import one_hot

from mmssp.apis.image_scores import presence

CHANNELS = 4096
CALIBRATED = dict(presence_background=0.25, presence_offset=0.18)


def head(**settings):
    return MODELS.build(dict(type='SSPHead', in_channels=CHANNELS, **settings))


def score(own, cells: Tensor, shots: list[Tensor], masks: list[Tensor]) -> float:
    """Of an image of cells (h,w,C), with supports (h,w,C) and masks (h,w)."""
    state = own.combine(
        [
            own.shot_state(shot.permute(2, 0, 1)[None], mask[None])
            for shot, mask in zip(shots, masks, strict=True)
        ]
    )
    first_guess = own.match_state(cells.permute(2, 0, 1)[None], state)['baseline']
    return presence(own.presence_margins(first_guess, len(shots)))


def kinds(rows: list[list[int]]) -> Tensor:
    """Cells (h,w,C) of kinds that have nothing in common."""
    return one_hot(torch.tensor(rows), CHANNELS).float()


SUPPORT = kinds([[0, 0, 1], [0, 0, 1]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 0]])


@pytest.mark.parametrize(
    ('cells', 'there'),
    [
        ([[2, 2, 2], [3, 3, 3]], False),  # like neither the object nor its background
        ([[1, 1, 2], [1, 3, 3]], False),
        ([[2, 2, 0], [3, 3, 3]], True),
    ],
)
def test_what_is_like_neither_side_is_not_there(cells, there):
    found = score(head(**CALIBRATED), kinds(cells), [SUPPORT], [MASK])
    assert found > 0.9 if there else found < 0.2


def test_without_settings_it_is_foreground_over_background():
    found = score(head(), kinds([[2, 2, 2], [3, 3, 3]]), [SUPPORT], [MASK])
    assert found == pytest.approx(0.5)


def test_more_images_alone_do_not_make_it_surer():
    """Each image has something of its own, which a mean of them has less of."""
    rng = torch.Generator().manual_seed(0)
    common, background = torch.randn(2, CHANNELS, generator=rng)

    def image(own: float) -> Tensor:
        cell = common + own * torch.randn(CHANNELS, generator=rng)
        return torch.stack([cell, background])[None]

    shots, mask = [image(1.2) for _ in range(8)], torch.tensor([[1, 0]])
    doubtful = [image(3.4) for _ in range(10)]
    found = {
        name: [
            mean(
                score(head(**settings), cells, shots[:k], [mask] * k)
                for cells in doubtful
            )
            for k in (1, 2, 8)
        ]
        for name, settings in (
            ('calibrated', CALIBRATED),
            ('not', dict(presence_background=0.25)),
        )
    }
    assert max(found['calibrated']) - min(found['calibrated']) < 0.02
    assert found['not'] == sorted(found['not'])
    assert found['not'][2] - found['not'][0] > 0.05


def test_other_memories_are_judged_as_before():
    parts = dict(memory=dict(type='PartPrototypes', parts=2))
    cells = kinds([[2, 2, 0], [3, 3, 1]])
    found, usual = (
        score(head(**parts, **own), cells, [SUPPORT], [MASK])
        for own in (CALIBRATED, {})
    )
    assert found == usual


@pytest.mark.parametrize('name', CALIBRATED)
def test_settings_out_of_range_are_refused(name):
    with pytest.raises(ValueError, match=f'{name}=1.5'):
        head(**{name: 1.5})

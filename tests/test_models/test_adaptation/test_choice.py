"""Which mixture decides: by images that nothing was learned from."""

import pytest
import torch

from mmssp.models.adaptation.choice import (
    MATCHING,
    USUAL,
    Choice,
    Margins,
    Mixture,
    choice_of,
    choose,
    stored,
)

TRUTH = torch.tensor([[1, 1, 0, 0, 255]], dtype=torch.uint8)
RIGHT = torch.tensor([[4.0, 4.0, -4.0, -4.0, 4.0]])
WRONG = -RIGHT
HALF = torch.tensor([[1.0, -1.0, -1.0, -1.0, 1.0]])


def found(decoder, matching, unadapted=None):
    return [
        Margins(decoder, matching, matching if unadapted is None else unadapted, TRUTH)
    ]


def test_the_usual_mixture_where_nothing_is_known():
    assert choose([]) == Choice(USUAL, None)


def test_the_usual_mixture_where_all_agree():
    assert choose(found(RIGHT, RIGHT)) == Choice(USUAL, 1.0)


def test_the_decoder_where_matching_is_wrong():
    assert choose(found(RIGHT, 2 * WRONG)) == Choice(Mixture(1, 0), 1.0)


def test_more_of_matching_where_it_is_right():
    partly = torch.tensor([[1.0, -6.0, -6.0, 6.0, -6.0]])
    choice = choose(found(partly, RIGHT))
    assert choice.mixture in (Mixture(1, 2), Mixture(1, 3))
    assert choice.iou == 1


def test_matching_alone_where_the_decoder_finds_nothing():
    nothing = torch.full_like(RIGHT, -100)
    assert choose(found(nothing, RIGHT, HALF)) == Choice(MATCHING, 1.0)
    # as it was, if learning has made it no better
    assert choose(found(nothing, RIGHT)) == Choice(None, 1.0)
    assert choose(found(nothing, HALF, RIGHT)) == Choice(None, 1.0)
    # but what was learned is better in the end than by a part of the images
    assert choose(found(nothing, RIGHT, HALF)) == Choice(MATCHING, 1.0)


def test_matching_stays_where_nothing_can_be_said():
    nothing = torch.full_like(RIGHT, -100)
    assert choose(found(nothing, nothing)) == Choice(None, 0.0)


@pytest.mark.parametrize('iou', [None, 0.0, 0.5])
def test_a_choice_is_kept_in_a_state(iou):
    assert choice_of(stored(Choice(Mixture(1, 0.5), iou))) == Choice(
        Mixture(1, 0.5), iou
    )


def test_choices_are_told_in_words():
    words = [str(Mixture(*m)) for m in ((1, 0), (0, 1), (1, 0.5))]
    assert words == [
        'decoder',
        'matching in tuned features',
        'decoder + 0.5 × matching',
    ]

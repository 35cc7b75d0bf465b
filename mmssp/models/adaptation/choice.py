"""Which mixture of decoder and matching a class is decided by."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .labelled import IGNORE

PREFERRED_BY = 0.02
"""IoU by which another mixture has to be better than the usual one: less is noise."""
CLEARLY = 1.25
"""How many times better than any mixture matching has to be to decide alone: what judges
a decoder was taught by fewer images, and for a shorter time, than the one that decides,
which matching does not suffer from."""
UNTAUGHT = 0.15
"""IoU of a mixture below which the decoder has learned nothing of use to other images."""
FINDS_ITSELF = 0.4
"""IoU of the labelled images, matched with the only one that shows a class, above which the
class is matched as it was: what one image teaches serves such objects worse in others."""
LEAST = 0.03
"""IoU below which nothing can be said, and matching stays as it is."""
MATCHED = 0.7
"""Share of that IoU which matching has to reach to be taken in its place."""


class Mixture(NamedTuple):
    """Weights of the margins that decide.

    Attributes:
        decoder: Of the decoder's.
        matching: Of those that the head finds in tuned features.
    """

    decoder: float
    matching: float

    def __str__(self) -> str:
        if not self.matching:
            return 'decoder'
        if not self.decoder:
            return 'matching in tuned features'
        return f'decoder + {self.matching:g} × matching'


USUAL = Mixture(1, 1)
DECODER = Mixture(1, 0)
MIXTURES = (USUAL, Mixture(1, 0.5), Mixture(1, 2), Mixture(1, 3), DECODER)
MATCHING = Mixture(0, 1)


class Margins(NamedTuple):
    """Of one image by what was learned without it.

    Attributes:
        decoder: (H,W), of the decoder.
        matching: (H,W), of the head in tuned features.
        unadapted: (H,W), of the head in the features as they were.
        truth: (H,W) uint8 in {0, 1, 255}.
    """

    decoder: Tensor
    matching: Tensor
    unadapted: Tensor
    truth: Tensor


class Choice(NamedTuple):
    """What decides, and how good it is expected to be.

    Attributes:
        mixture: None for matching in the features as they were, without what was learned.
        iou: In [0, 1]; None if unknown.
    """

    mixture: Mixture | None
    iou: float | None


def choose(found: Sequence[Margins]) -> Choice:
    """The mixture by which images agree best with what was learned without them.

    Args:
        found: Of the labelled images of one class; none gives the usual mixture.
    """
    if not found:
        return Choice(USUAL, None)
    truths = [own.truth for own in found]
    ious = {
        mixture: _iou(
            [mixed(mixture, own.decoder, own.matching) for own in found], truths
        )
        for mixture in MIXTURES
    }
    best = max(MIXTURES, key=lambda mixture: ious[mixture])
    if ious[best] <= ious[USUAL] + PREFERRED_BY:
        best = USUAL
    tuned = _iou([own.matching for own in found], truths)
    unadapted = _iou([own.unadapted for own in found], truths)
    alone = max(tuned, unadapted)
    if max(alone, ious[best]) < LEAST:
        return Choice(None, unadapted)
    blind = ious[DECODER] < LEAST <= alone
    untaught = ious[best] < UNTAUGHT and (blind or alone > MATCHED * ious[best])
    if not untaught and alone <= CLEARLY * ious[best]:
        return Choice(best, ious[best])
    if unadapted >= tuned:
        return Choice(None, unadapted)
    return Choice(MATCHING, tuned)


def choose_by_one(margins: Sequence[Tensor], truths: Sequence[Tensor]) -> Choice:
    """What decides a class that one image shows, so that nothing can be set aside.

    Args:
        margins: (H,W) each, of images matched with that one in features as they were.
        truths: (H,W) uint8 in {0, 1, 255} each.
    """
    found = _iou(margins, truths) > FINDS_ITSELF
    return Choice(None if found else USUAL, None)


def stored(choice: Choice) -> dict[str, Tensor]:
    """A choice of a mixture as tensors of a state."""
    unknown = choice.iou is None
    return dict(
        mixture=torch.tensor([float(weight) for weight in choice.mixture or ()]),
        expected_iou=torch.tensor([UNKNOWN if unknown else float(choice.iou or 0)]),
    )


STORED = ('mixture', 'expected_iou')
UNKNOWN = -1.0


def choice_of(state: Mapping[str, Tensor]) -> Choice:
    """The choice that a state holds."""
    decoder, matching = state['mixture'].tolist()
    iou = float(state['expected_iou'])
    return Choice(Mixture(decoder, matching), None if iou < 0 else iou)


def mixed(mixture: Mixture, decoder: Tensor, matching: Tensor) -> Tensor:
    """Margins by a mixture of those of decoder and of matching."""
    return mixture.decoder * decoder + mixture.matching * matching


def _iou(margins: Sequence[Tensor], truths: Sequence[Tensor]) -> float:
    """The mean of two: of all pixels together, and of the images' own.

    The first is of large objects alone, the second of any image's chance.
    """
    counts = []
    for margin, mask in zip(margins, truths, strict=True):
        predicted, truth = (margin > 0) & (mask != IGNORE), mask == 1
        both = int(torch.sum(predicted & truth))
        counts.append((both, int(torch.sum(predicted | truth))))
    pooled = sum(both for both, _ in counts) / max(sum(e for _, e in counts), 1)
    # an image without the object that is left empty says nothing
    each = [both / either for both, either in counts if either]
    return (pooled + sum(each) / max(len(each), 1)) / 2

"""How images are segmented by what was learned without them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..decision import margins
from .choice import Margins
from .labelled import IGNORE, Labelled

if TYPE_CHECKING:
    from ..decode_heads.matching_head import State
    from ..segmentors import FewShotEncoderDecoder
    from .decoder_adapter import DecoderAdapter

LARGEST = 1536
"""Side in pixels; of larger images the middle of what is labelled is judged."""


@torch.no_grad()
def judge(
    adapter: 'DecoderAdapter',
    model: 'FewShotEncoderDecoder',
    learned: Mapping[str, Tensor],
    aside: Sequence[Labelled],
    rest: Sequence[Labelled],
    names: Sequence[str],
) -> Iterator[tuple[str, Margins]]:
    """Margins of images that were set aside.

    Args:
        adapter: That learned.
        model: As it is.
        learned: From the rest of the images.
        aside: Images to segment.
        rest: The others, which are matched with.
        names: Of the classes.

    Yields:
        A class and the margins of an image that something is known of it in. Classes that
        the rest does not show are left out.
    """
    head = model.decode_head
    shown = [k for k in range(len(names)) if any(own.shows(k) for own in rest)]
    states: dict[tuple[int, bool], State] = {}
    for tuned in (True, False):
        parameters = dict(learned) if tuned else None
        of_label: dict[int, list[State]] = {k: [] for k in shown}
        for own in map(windowed, rest):
            image = own.image[None]
            maps = (
                model.encode(image)
                if parameters is None
                else adapter.encode(model, image, parameters)[0]
            )
            for k in shown:
                if own.shows(k):
                    of_label[k].append(model.shot_state(maps, own.masks[k][None]))
        states.update({(k, tuned): head.combine(s) for k, s in of_label.items()})
    for own in map(windowed, aside):
        size = own.image.shape[-2:]
        maps, fused = adapter.encode(model, own.image[None], dict(learned))
        decoder = model.logits_at(adapter.classified(fused, learned), size)[0]
        ready = {
            True: head.prepare(maps),
            False: head.prepare(model.encode(own.image[None])),
        }
        for k in shown:
            if own.knows(k):
                matched = {
                    tuned: model.logits_at(
                        head.match_state(ready[tuned], states[k, tuned])['final'], size
                    )
                    for tuned in ready
                }
                yield (
                    names[k],
                    Margins(
                        decoder[k],
                        margins(matched[True])[0],
                        margins(matched[False])[0],
                        own.masks[k],
                    ),
                )


@torch.no_grad()
def matched_with_one(
    model: 'FewShotEncoderDecoder',
    images: Sequence[Labelled],
    label: int,
) -> tuple[list[Tensor], list[Tensor]]:
    """Images by the state of the only one of them that shows a class.

    Args:
        model: As it is.
        images: Of which something is known of it.
        label: The class.

    Returns:
        Margins (H,W) of each, and its mask.
    """
    head = model.decode_head
    seen = [
        windowed(own._replace(masks=own.masks[label : label + 1])) for own in images
    ]
    encoded = [model.encode(own.image[None]) for own in seen]
    state = head.combine(
        [
            model.shot_state(features, own.masks)
            for whole, own, features in zip(images, seen, encoded, strict=True)
            if whole.shows(label)
        ]
    )
    found = []
    for own, features in zip(seen, encoded, strict=True):
        logits = head.match_state(head.prepare(features), state)['final']
        found.append(margins(model.logits_at(logits, own.image.shape[-2:]))[0])
    return found, [own.masks[0] for own in seen]


@torch.no_grad()
def decoded(
    adapter: 'DecoderAdapter',
    model: 'FewShotEncoderDecoder',
    learned: Mapping[str, Tensor],
    images: Sequence[Labelled],
) -> Tensor:
    """Pixels that the decoder finds in images it was taught by, and that it should.

    Args:
        adapter: That learned.
        model: As it is.
        learned: What it learned.
        images: K of N classes.

    Returns:
        (K,N,2) int64, intersection and union.
    """
    counts = []
    for own in map(windowed, images):
        _, fused = adapter.encode(model, own.image[None], dict(learned))
        logits = adapter.classified(fused, learned)
        found = model.logits_at(logits, own.image.shape[-2:])[0] > 0
        found, wanted = found & (own.masks != IGNORE), own.masks == 1
        both, either = (m.flatten(1).sum(1) for m in (found & wanted, found | wanted))
        counts.append(torch.stack([both, either], 1))
    return torch.stack(counts).cpu()


def windowed(own: Labelled) -> Labelled:
    """An image, or of a large one what lies around its labelled pixels."""
    height, width = own.image.shape[-2:]
    if max(height, width) <= LARGEST:
        return own
    y, x = (own.masks == 1).any(0).nonzero(as_tuple=True)
    middle = (
        (float(y.float().median()), float(x.float().median()))
        if len(y)
        else (height / 2, width / 2)
    )
    top, left = (
        int(min(max(m - LARGEST / 2, 0), max(side - LARGEST, 0)))
        for m, side in zip(middle, (height, width), strict=True)
    )
    rows, columns = slice(top, top + LARGEST), slice(left, left + LARGEST)
    return own._replace(
        image=own.image[:, rows, columns], masks=own.masks[:, rows, columns]
    )

"""Several heads on the same episodes: each image is encoded once for all of them."""

import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ablations.rows import Row
from ablations.store import Store
from ablations.support_marks import marked
from mmssp.datasets import EpisodicDataset
from mmssp.evaluation.scores import pixel_counts
from mmssp.models import FewShotEncoderDecoder, MatchingHead
from mmssp.models.positional_debiasing import Encoder

BUDGET = 2**31
"""Bytes of features that are kept."""


@dataclass
class Measured:
    """A row, what its records are kept under, and its head."""

    row: Row
    key: str
    head: MatchingHead


def build_head(model: FewShotEncoderDecoder, config: Mapping[str, Any]) -> MatchingHead:
    """A head as if the model had been built with it."""
    head: MatchingHead = MODELS.build(dict(config))
    head.attach(Encoder(model.encode_constant, model._encoder_tensors))
    return head.to(next(model.parameters()).device).eval()


class EncodedImages:
    """Features of images, the last ones used within a budget of bytes.

    Args:
        model: That encodes.
        budget: Bytes.
    """

    def __init__(self, model: FewShotEncoderDecoder, budget: int = BUDGET) -> None:
        self.model = model
        self.budget = budget
        self._kept: OrderedDict[tuple[str, int], Tensor] = OrderedDict()

    def __call__(self, part: str, image: int, pixels: Tensor) -> Tensor:
        """Features (1,C,h,w) of an image (3,H,W) uint8, as a query or a support."""
        key = part, image
        if key not in self._kept:
            device = next(self.model.parameters()).device
            pixels = self.model.data_preprocessor.normalise(pixels.to(device))
            self._kept[key] = self.model.encode(pixels[None])
            while sum(kept.nbytes for kept in self._kept.values()) > self.budget:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


@torch.no_grad()
def measure(
    model: FewShotEncoderDecoder,
    dataset: EpisodicDataset,
    measured: Sequence[Measured],
    store: Store,
) -> Iterator[int]:
    """Match the episodes that are still to do; yields the number of each.

    What each row gives is what ``tools/test.py`` gives of a model with its head.

    Args:
        model: Whose head is exchanged.
        dataset: Of the episodes.
        measured: Rows of one model and one number of shots.
        store: Gets a record of each episode.
    """
    encoded = EncodedImages(model)
    # tables have rows in common, which are measured once
    measured = list({each.key: each for each in measured}.values())
    try:
        for i in range(len(dataset)):
            todo = [each for each in measured if len(store.of(each.key)) == i]
            if todo:
                _measure_episode(encoded, dataset, i, todo, store)
                store.save()
                yield i
    finally:
        store.save(at_once=True)


def _measure_episode(
    encoded: EncodedImages,
    dataset: EpisodicDataset,
    i: int,
    measured: Sequence[Measured],
    store: Store,
) -> None:
    """One episode of rows that lack it."""
    model = encoded.model
    episode, item = dataset.episode(i), dataset[i]
    inputs = item['inputs']
    query = encoded('query', episode.query, inputs['query'])
    shots = [
        encoded('support', image, pixels)
        for image, pixels in zip(episode.supports, inputs['support'], strict=True)
    ]
    masks = {
        kind: [
            torch.from_numpy(marked(kind, mask.numpy(), (i, k))).to(query.device)
            for k, mask in enumerate(inputs['support_mask'])
        ]
        for kind in {each.row.marks for each in measured}
    }
    for each in measured:
        sample = item['data_samples'].clone().to(query.device)
        record = match(model, each.head, query, shots, masks[each.row.marks])
        size = tuple(inputs['query'].shape[-2:])
        model.add_predictions([sample], record.pop('logits'), size)
        counts = pixel_counts(sample.pred_sem_seg.data[0], sample.gt_sem_seg.data[0])
        store.of(each.key).append(
            dict(counts, run=sample.run, class_id=sample.class_id, **record)
        )


def match(
    model: FewShotEncoderDecoder,
    head: MatchingHead,
    query: Tensor,
    shots: Sequence[Tensor],
    masks: Sequence[Tensor],
) -> dict[str, Any]:
    """``logits``; ``seconds`` of the query's half; ``bytes`` of the supports' state."""
    model.decode_head = head
    state = head.combine(
        [
            model.shot_state(features, mask[None])
            for features, mask in zip(shots, masks, strict=True)
        ]
    )
    start = time.perf_counter()
    logits = head.match_state(head.prepare(query), state)
    if query.device.type == 'cuda':
        torch.cuda.synchronize()
    return dict(
        logits=logits,
        seconds=time.perf_counter() - start,
        bytes=sum(value.nbytes for value in state.values()),
    )

"""Several prototypes of a support, by clusters of its pixels, and all of every shot."""

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...utils.checks import number, whole_number
from ..clusters import cluster_means, cluster_pixels
from ..prototypes import mask_weights, masked_average_pooling, unit
from .support_memory import Recalled, State, SupportMemory


@MODELS.register_module()
class PartPrototypes(SupportMemory):
    """Prototypes of an object's parts, from which each query pixel takes the nearest.

    Source: "Part-aware Prototype Network for Few-shot Semantic Segmentation" (PPNet, ECCV
    2020, arXiv 2007.06309), without its learned part, which needs unlabelled images. There
    the pixels of all shots are clustered together; here those of each shot, so that a
    state is an image's own, and the prototypes of all shots are put beside one another.
    With one part on each side nothing of a shot is averaged away, however many there are.

    Args:
        parts: Clusters of a shot's foreground, 1 or more.
        background_parts: Of its background.
        whole: Factor of the shot's one prototype, which is added to that of each part.
        temperature: None has a pixel take the prototype nearest to it; a number has it
            take the mean of all, weighted by the softmax of so many times the cosine. 0
            is the plain mean.
        rounds: Steps of k-means.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        parts: int = 5,
        background_parts: int = 5,
        whole: float = 0.0,
        temperature: float | None = None,
        rounds: int = 10,
    ) -> None:
        self.parts = whole_number('parts', parts, 1)
        self.background_parts = whole_number('background_parts', background_parts, 1)
        self.whole = number('whole', whole, 0, 1e3)
        self.temperature = temperature
        if temperature is not None:
            self.temperature = number('temperature', temperature, 0, 1e4)
        self.rounds = whole_number('rounds', rounds, 0)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(parts={self.parts}, '
            f'background_parts={self.background_parts}, whole={self.whole}, '
            f'temperature={self.temperature}, rounds={self.rounds})'
        )

    def shot_state(self, features: Tensor, mask: Tensor) -> State:
        """``foreground`` (N,C,parts) and ``background`` (N,C,background_parts)."""
        return dict(
            foreground=self._parts(features, mask == 1, self.parts),
            background=self._parts(features, mask == 0, self.background_parts),
        )

    def _parts(self, features: Tensor, side: Tensor, parts: int) -> Tensor:
        weight = side.to(features.dtype)
        whole = masked_average_pooling(features, weight)[..., None]
        if parts == 1:
            return (1 + self.whole) * whole
        pixels = features.flatten(2)
        weights = mask_weights(weight, features.shape[-2:]).flatten(1)
        members = cluster_pixels(unit(pixels), weights, parts, self.rounds)
        return cluster_means(pixels, weights, members) + self.whole * whole

    def combine(self, shots: Sequence[State]) -> State:
        """All prototypes of all shots, (B,C,K × parts)."""
        return {n: torch.cat([shot[n] for shot in shots], dim=2) for n in shots[0]}

    def recall(self, query: Tensor, state: State) -> Recalled:
        """Of each pixel's own: maps (B,C,h,w); (B,C) where there is one prototype."""
        return Recalled(
            self._of_each(query, state['foreground']),
            self._of_each(query, state['background']),
        )

    def _of_each(self, query: Tensor, prototypes: Tensor) -> Tensor:
        if prototypes.shape[2] == 1:
            return prototypes[..., 0]
        pixels = query.flatten(2)
        cosines = torch.bmm(unit(prototypes).transpose(1, 2), pixels)
        if self.temperature is None:
            index = cosines.argmax(1)[:, None].expand(-1, pixels.shape[1], -1)
            found = prototypes.gather(2, index)
        else:
            found = torch.bmm(prototypes, (self.temperature * cosines).softmax(1))
        return found.unflatten(2, query.shape[-2:])

"""All cells of the supports, of which each query cell looks for the nearest."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ...utils.checks import flag
from ..prototypes import mask_prototypes, mask_weights, unit
from .support_memory import Recalled, State, SupportMemory

BLOCK = 1024
"""Query cells that are compared with all support cells at a time."""
NOWHERE = -2.0
"""Below any cosine."""
Compared = Literal['nearest', 'mean']


@MODELS.register_module()
class SupportTokens(SupportMemory):
    """Nothing of a support is averaged away: its cells are kept, with their side.

    The reverse check has a query cell count as foreground only if the support cell that
    is nearest to it lies in the mask. Sources: "Matcher: Segment Anything with One Shot
    Using All-Purpose Feature Matching" (ICLR 2024, arXiv 2305.13310) and "INSID3:
    Training-Free In-Context Segmentation with DINOv3" (arXiv 2603.28480), where it
    chooses which cells to go on with. Here it bounds the first guess: where a cell does
    not count, foreground is no more likely than background.

    Args:
        compared: With what a query cell is compared: the ``'nearest'`` support cell of
            each side, or the ``'mean'`` of each side, as by SSP's prototypes.
        reverse_check: Whether there is a reverse check. By nearest cells it changes
            those alone whose nearest one is ignored.

    Raises:
        ValueError: If an argument is another one.
    """

    def __init__(
        self, compared: Compared = 'nearest', reverse_check: bool = False
    ) -> None:
        if compared not in get_args(Compared):
            raise ValueError(
                f'compared={compared!r}: expected one of {get_args(Compared)}'
            )
        self.compared = compared
        self.reverse_check = flag('reverse_check', reverse_check)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(compared={self.compared!r}, '
            f'reverse_check={self.reverse_check})'
        )

    def shot_state(self, features: Tensor, mask: Tensor) -> State:
        """``tokens`` (N,C,hw), and ``inside`` (N,2,hw) of 0. and 1.

        Whether a cell is background, and whether foreground: by half of it at least, or,
        where there is no such cell, by as much as any other. With means,
        ``foreground`` and ``background`` (N,C) as well.
        """
        size = features.shape[-2:]
        sides = torch.stack(
            [
                mask_weights((mask == label).to(features.dtype), size).flatten(1)
                for label in (0, 1)
            ],
            dim=1,
        )
        least = sides.amax(2, keepdim=True).clamp(max=0.5)
        inside = ((sides >= least) & (sides > 0)).to(features.dtype)
        state = dict(tokens=features.flatten(2), inside=inside)
        if self.compared == 'mean':
            state |= mask_prototypes(features, mask)
        return state

    def combine(self, shots: Sequence[State]) -> State:
        """The cells of all shots side by side, whatever their sizes."""
        state = {
            name: torch.cat([shot[name] for shot in shots], dim=2)
            for name in ('tokens', 'inside')
        }
        for name in shots[0].keys() - state.keys():
            state[name] = torch.stack([shot[name] for shot in shots]).mean(0)
        return state

    def recall(self, query: Tensor, state: State) -> Recalled:
        """Nearest cells as maps (B,C,h,w), or means (B,C), and which cells count."""
        size = query.shape[-2:]
        background, foreground, any_side = self._nearest(query.flatten(2), state)
        counts = None
        if self.reverse_check:
            sides = state['inside'][:, 1].gather(1, any_side)
            counts = (sides > 0).unflatten(1, size)
        if self.compared == 'mean':
            return Recalled(state['foreground'], state['background'], counts)
        maps = [
            self._tokens(state, index, label).unflatten(2, size)
            for label, index in enumerate((background, foreground))
        ]
        return Recalled(maps[1], maps[0], counts)

    @torch.no_grad()
    def _nearest(self, query: Tensor, state: State) -> list[Tensor]:
        """Indices (B,n) of the nearest cell of the background, foreground, and of all."""
        tokens = unit(state['tokens']).transpose(1, 2)
        outside = state['inside'][..., None] == 0
        found: list[list[Tensor]] = [[], [], []]
        for some in query.split(BLOCK, dim=2):
            cosines = torch.bmm(tokens, some)
            for label in (0, 1):
                of_side = cosines.masked_fill(outside[:, label], NOWHERE)
                found[label].append(of_side.argmax(1))
            found[2].append(cosines.argmax(1))
        return [torch.cat(each, dim=1) for each in found]

    def _tokens(self, state: State, index: Tensor, label: int) -> Tensor:
        """The cells (B,C,n) at an index (B,n); zero where a side has none."""
        tokens = state['tokens']
        chosen = tokens.gather(2, index[:, None].expand(-1, tokens.shape[1], -1))
        there = state['inside'][:, label].amax(1)[:, None, None]
        return chosen * there

"""The decode head of the baseline: the support's prototypes, and nothing of the query."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mmseg.registry import MODELS
from torch import Tensor

from ...utils.checks import number
from ..memories import MeanPrototypes, Recalled, SupportMemory
from ..positional_debiasing import Encoder, PositionalDebiasing
from ..prototypes import repeated, similarity_logits, unit
from ..query_clusters import QueryClusters
from ..self_support import PreparedQuery, bounded
from .matching_head import MatchingHead, State, full_precision

if TYPE_CHECKING:
    from typing_extensions import Self


SHARED = 0.4
"""Cosine of the prototypes that two images give of one class, about."""


class PreparedFeatures(NamedTuple):
    """Query features (B,C,h,w) to be compared with supports, and their clusters."""

    between: Tensor
    groups: Tensor | None

    def expand(self, episodes: int) -> 'PreparedFeatures':
        """One query as as many equal ones, without a copy."""
        groups = None if self.groups is None else repeated(self.groups, episodes)
        return PreparedFeatures(repeated(self.between, episodes), groups)


@MODELS.register_module()
class BaselineHead(MatchingHead):
    """Segments a query by the support's prototypes alone: what SSP is compared with.

    The head has no parameters, takes features of any channel count and any number of
    shots, and computes in float32 (float64 for float64 features) under autocast too.

    Args:
        in_channels: See :class:`MatchingHead`, which has all arguments.
        similarity_scale: Factor of the cosines.
        memory: Config of a :class:`mmssp.models.memories.SupportMemory`, how supports are
            kept; None for :class:`mmssp.models.memories.MeanPrototypes`, SSP's.
        debiasing: Config of a :class:`PositionalDebiasing`, None for none.
        grouping: Config of :class:`QueryClusters`, None for none.
        presence_background: How much of the cosine with the supports' background speaks
            against presence, in [0, 1]. An image without the object may look like
            neither side, and with 1 is then judged by chance. This and the next are for
            the usual memory without debiasing; with others it counts as 1.
        presence_offset: Cosine, in [0, 1], with the prototype of one image that may as
            well be of something else; features of each backbone have their own. With
            others it counts as 0.
        **kwargs: As there.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        *,
        memory: dict[str, Any] | None = None,
        debiasing: dict[str, Any] | None = None,
        grouping: dict[str, Any] | None = None,
        presence_background: float = 1.0,
        presence_offset: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, **kwargs)
        self.presence_background = number(
            'presence_background', presence_background, 0, 1
        )
        self.presence_offset = number('presence_offset', presence_offset, 0, 1)
        self.memory: SupportMemory = (
            MODELS.build(memory) if memory else MeanPrototypes()
        )
        self.debiasing: PositionalDebiasing | None = (
            MODELS.build(debiasing) if debiasing else None
        )
        self.grouping: QueryClusters | None = (
            MODELS.build(grouping) if grouping else None
        )

    def attach(self, encoder: Encoder) -> None:
        """See :class:`MatchingHead`."""
        if self.debiasing is not None:
            self.debiasing.encoder = encoder

    def train(self, mode: bool = True) -> 'Self':
        """As any module; who averages weights exchanges them where this is called."""
        if self.debiasing is not None:
            self.debiasing.forget()
        return super().train(mode)

    def state_settings(self) -> str:
        """See :class:`MatchingHead`."""
        usual = type(self.memory) is MeanPrototypes and self.debiasing is None
        return '' if usual else f'{self.memory}, {self.debiasing}'

    def extra_repr(self) -> str:
        return (
            f'{self.memory}, {self.debiasing}, {self.grouping}, {super().extra_repr()}'
        )

    @full_precision
    def shot_state(self, features: Tensor, mask: Tensor) -> State:
        """What the memory keeps of each image: two prototypes (N,C), by default."""
        return self.memory.shot_state(self._between(features), mask)

    def combine(self, shots: Sequence[State]) -> State:
        """As the memory has it: their mean, by default."""
        return self.memory.combine(shots)

    @full_precision
    def prepare(self, query_features: Tensor) -> Any:
        """See :class:`MatchingHead`."""
        if self.debiasing is None and self.grouping is None:
            return query_features
        return PreparedFeatures(
            self._between(query_features), self._groups(unit(query_features))
        )

    def expand(self, query: Any, episodes: int) -> Any:
        """See :class:`MatchingHead`."""
        if isinstance(query, (PreparedFeatures, PreparedQuery)):
            return query.expand(episodes)
        return super().expand(query, episodes)

    @full_precision
    def match_state(self, query: Any, state: State) -> dict[str, Tensor]:
        """See :class:`MatchingHead`; there is one guess, the first."""
        prepared = self.prepare(query) if isinstance(query, Tensor) else query
        groups = None
        if isinstance(prepared, PreparedFeatures):
            prepared, groups = prepared
        own = unit(prepared)
        found: Recalled = self.memory.recall(own, state)
        first_guess = similarity_logits(
            own, found.foreground, found.background, self.similarity_scale
        )
        first_guess = self._averaged(bounded(first_guess, found.counts), groups)
        return dict.fromkeys(('final', 'stage1', 'baseline'), first_guess)

    def presence_margins(self, first_guess: Tensor, num_shown: int) -> Tensor:
        """See :class:`MatchingHead`.

        The mean prototype of K images is nearer to everything than that of one, since
        what is an image's own cancels out; the offset grows as much.
        """
        if self.state_settings():
            return super().presence_margins(first_guess, num_shown)
        background, foreground = first_guess.unbind(1)
        nearer = (SHARED + (1 - SHARED) / num_shown) ** -0.5
        offset = self.similarity_scale * self.presence_offset * nearer
        return foreground - self.presence_background * background - offset

    def _between(self, features: Tensor) -> Tensor:
        """Features to be compared with those of other images."""
        return features if self.debiasing is None else self.debiasing.removed(features)

    def _groups(self, own_unit: Tensor) -> Tensor | None:
        return None if self.grouping is None else self.grouping.members(own_unit)

    def _averaged(self, maps: Tensor, groups: Tensor | None) -> Tensor:
        """Maps (B,K,h,w), averaged over clusters if there are any."""
        if self.grouping is None or groups is None:
            return maps
        return self.grouping.averaged(maps, groups)

    def _state_of_zeros(self, size: Sequence[int], shots: int) -> State:
        # shapes are wanted, of sizes that no image may have
        debiasing, self.debiasing = self.debiasing, None
        try:
            return super()._state_of_zeros(size, shots)
        finally:
            self.debiasing = debiasing

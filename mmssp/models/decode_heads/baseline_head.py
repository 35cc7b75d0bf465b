"""The decode head of the baseline: the support's prototypes, and nothing of the query."""

from mmseg.registry import MODELS
from torch import Tensor

from ..prototypes import mask_prototypes, similarity_logits, unit
from .matching_head import MatchingHead, State, full_precision


@MODELS.register_module()
class BaselineHead(MatchingHead):
    """Segments a query by the support's prototypes alone: what SSP is compared with.

    The head has no parameters, takes features of any channel count and any number of
    shots, and computes in float32 (float64 for float64 features) under autocast too.

    Args:
        in_channels: See :class:`MatchingHead`, which has all arguments.
        similarity_scale: Factor of the cosines.
        **kwargs: As there.
    """

    @full_precision
    def shot_state(self, features: Tensor, mask: Tensor) -> State:
        """Prototypes ``foreground`` and ``background``, (N,C) each, of each image."""
        return mask_prototypes(features, mask)

    @full_precision
    def match_state(self, query: Tensor, state: State) -> dict[str, Tensor]:
        """See :class:`MatchingHead`; there is one guess, the first."""
        first_guess = similarity_logits(
            unit(query), state['foreground'], state['background'], self.similarity_scale
        )
        return dict.fromkeys(('final', 'stage1', 'baseline'), first_guess)

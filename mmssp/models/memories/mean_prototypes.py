"""One prototype of foreground and one of background, the mean over the shots."""

from mmseg.registry import MODELS
from torch import Tensor

from ..prototypes import mask_prototypes
from .support_memory import Recalled, State, SupportMemory


@MODELS.register_module()
class MeanPrototypes(SupportMemory):
    """SSP's, and the default: masked average pooling at the size of the features."""

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'

    def shot_state(self, features: Tensor, mask: Tensor) -> State:
        """Prototypes ``foreground`` and ``background``, (N,C) each."""
        return mask_prototypes(features, mask)

    def recall(self, query: Tensor, state: State) -> Recalled:
        """The two prototypes (B,C), whatever the query."""
        return Recalled(state['foreground'], state['background'])

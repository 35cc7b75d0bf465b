"""Mean prototypes, without what all cells of the supports have in common."""

from mmseg.registry import MODELS
from torch import Tensor, eye, linalg, stack

from ...utils.checks import number
from ..prototypes import mask_prototypes
from .support_memory import Recalled, State, SupportMemory


@MODELS.register_module()
class WhitenedPrototypes(SupportMemory):
    """Mean prototypes in the metric in which the supports' cells are white.

    With M the second moment (C,C) of all cells of the shots, each of unit length, t the
    mean of its diagonal and s the ``shrinkage``, a prototype p becomes
    ``inverse((1 - s) M + s t I) p``: its inner product with a query's cell is that of
    both after whitening. Directions that every cell has a part in, foreground or not,
    count less, and rare ones more. The query is as it was, so its cells keep their
    lengths. Source of whitening: Jégou and Chum, "Negative evidences and co-occurrences
    in image retrieval: the benefit of PCA and whitening" (ECCV 2012); of shrinkage:
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
    matrices" (2004).

    The state of a shot has C×C numbers.

    Args:
        shrinkage: In [1e-4, 1]; 1 is :class:`MeanPrototypes`.

    Raises:
        ValueError: If it is something else.
    """

    def __init__(self, shrinkage: float = 0.5) -> None:
        self.shrinkage = number('shrinkage', shrinkage, 1e-4, 1)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(shrinkage={self.shrinkage})'

    def shot_state(self, features: Tensor, mask: Tensor) -> State:
        """``foreground`` and ``background`` (N,C), and ``moment`` (N,C,C)."""
        cells = features.flatten(2)
        cells = cells / cells.norm(dim=1, keepdim=True).clamp(min=1e-8)
        moment = cells @ cells.mT / cells.shape[-1]
        return {**mask_prototypes(features, mask), 'moment': moment}

    def recall(self, query: Tensor, state: State) -> Recalled:
        """Two prototypes (B,C), whatever the query."""
        moment = state['moment']
        channels = moment.shape[-1]
        mean = moment.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        # of zeros, as padding gives, the shrunk moment would be no metric
        mean = mean.clamp(min=1e-8)
        identity = eye(channels, dtype=moment.dtype, device=moment.device)
        metric = (1 - self.shrinkage) * moment + self.shrinkage * mean * identity
        both = stack([state['foreground'], state['background']], dim=-1)
        return Recalled(*linalg.solve(metric / mean, both).unbind(-1))

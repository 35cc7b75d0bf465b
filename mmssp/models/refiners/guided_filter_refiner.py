"""The guided filter: probabilities that follow the colours of the image."""

import numpy as np
import torch
from mmseg.registry import MODELS

from ...utils.checks import number
from .refiner import Refiner

CELLS = 4
"""Pixels of a radius after subsampling: fewer show in the result, more only take time."""


@MODELS.register_module()
class GuidedFilterRefiner(Refiner):
    """Fits, in each window, the probability to a linear function of the colours.

    Source: He, Sun, Tang, "Guided Image Filtering" (TPAMI 2013), subsampled as in He and
    Sun, "Fast Guided Filter" (arXiv 1505.00996); Kornia's. Where a window has an edge,
    the probability gets one there; where it has none, the probability becomes smooth.

    Classes are filtered one by one, so the memory is that of one.

    Args:
        radius: Of the windows, as a share of the image's diagonal, in [0.001, 0.1].
        eps: Variance of colours, each in [0, 1], that is not taken for an edge, in
            [1e-8, 1].

    Raises:
        ImportError: If Kornia is not there.
        ValueError: If a number is out of range.
    """

    def __init__(self, radius: float = 0.01, eps: float = 1e-3) -> None:
        self.radius = number('radius', radius, 0.001, 0.1)
        self.eps = number('eps', eps, 1e-8, 1)
        try:
            from kornia.filters import guided_blur
        except ImportError as error:
            raise ImportError(
                'GuidedFilterRefiner needs Kornia, which cannot be imported '
                f'({error}); run: pip install "mmssp[refine]"'
            ) from error
        self._filter = guided_blur

    def __repr__(self) -> str:
        return f'GuidedFilterRefiner(radius={self.radius}, eps={self.eps})'

    @torch.no_grad()
    def refine(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """See :class:`Refiner`."""
        height, width = image.shape[:2]
        radius = max(1, round(self.radius * float(np.hypot(height, width))))
        # windows do not reach beyond the image, where they would be reflected
        radius = min(radius, (min(height, width) - 1) // 2)
        refined = np.empty(probability.shape, np.float32)
        if not radius:
            refined[:] = probability
            return refined
        guide = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        guide = guide.float().div_(255)
        for i, one in enumerate(probability):
            found = self._filter(
                guide,
                torch.from_numpy(np.ascontiguousarray(one, np.float32))[None, None],
                2 * radius + 1,
                self.eps,
                subsample=max(1, radius // CELLS),
            )
            refined[i] = found[0, 0].clamp_(0, 1).numpy()
        return refined

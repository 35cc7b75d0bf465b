"""What refines probabilities by the image they were found in."""

from abc import ABC, abstractmethod

import numpy as np


class Refiner(ABC):
    """A component of the segmentor (``refiner=dict(type=…)``), off by default.

    It sees probabilities at the size at which they are decided, and the image at that
    size; scores made with one say so.
    """

    @abstractmethod
    def refine(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Better probabilities.

        Args:
            image: (H,W,3) uint8 RGB.
            probability: (N,H,W) float32 in [0, 1], of foreground.

        Returns:
            (N,H,W), finite; beyond [0, 1] it is clipped.
        """

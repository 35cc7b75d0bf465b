"""Seeing why: what self-support chose in a query, and what it resembles."""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Explanation:
    """Maps of one class in one image, at the image's size (H,W).

    Attributes:
        first_guess: Probability of foreground in [0, 1] by the support's prototypes
            alone, float32.
        final: The same in the end.
        confident_foreground: Pixels that the query's own foreground prototype is made
            of, bool.
        confident_background: The same for background.
        similarity_support: Cosine with the support's foreground prototype, in [-1, 1],
            float32.
        similarity_self: Cosine with the query's own foreground prototype.
        similarity_background: Cosine with the background prototype of each pixel's own.
    """

    first_guess: np.ndarray
    final: np.ndarray
    confident_foreground: np.ndarray
    confident_background: np.ndarray
    similarity_support: np.ndarray
    similarity_self: np.ndarray
    similarity_background: np.ndarray

    def maps(self) -> dict[str, np.ndarray]:
        """All maps by name, in the order above."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

"""What of labelled images is kept, and which prototypes a query finds in it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

State = dict[str, Tensor]
"""Tensors by name: all that is kept of one shot, or of several."""


def joined_states(states: Sequence[State]) -> State:
    """States, or logits by name, of some episodes each (B_i,…) as of all of them (B,…)."""
    return {name: torch.cat([own[name] for own in states]) for name in states[0]}


def mean_state(states: Sequence[State]) -> State:
    """The mean, name by name, of states of one shape."""
    return {
        name: torch.stack([own[name] for own in states]).mean(0) for name in states[0]
    }


class Recalled(NamedTuple):
    """What a query is compared with.

    Attributes:
        foreground: (B,C), or (B,C,h,w) for a prototype of each pixel's own.
        background: As ``foreground``; the two may differ in that.
        counts: (B,h,w) bool, where the first guess may find foreground; None for
            everywhere.
    """

    foreground: Tensor
    background: Tensor
    counts: Tensor | None = None


class SupportMemory(ABC):
    """The part of a prototype head that knows how supports are kept.

    :class:`mmssp.models.BaselineHead` compares a query with what is recalled, and
    :class:`mmssp.models.SSPHead` lets the query's own pixels join in, whichever memory
    they have. Features are float32 or float64. Nothing here depends on what else is in a
    batch, and nothing has parameters.
    """

    @abstractmethod
    def shot_state(self, features: Tensor, mask: Tensor) -> State:
        """What is kept of labelled images.

        Args:
            features: (N,C,h,w).
            mask: (N,H,W) integer in {0, 1, 255}, at any size.

        Returns:
            Tensors (N,…), a row for each image.
        """

    def combine(self, shots: Sequence[State]) -> State:
        """What is kept of episodes, from what is of their shots; here the mean.

        Args:
            shots: K states of tensors (B,…).

        Returns:
            Tensors (B,…).
        """
        return mean_state(shots)

    @abstractmethod
    def recall(self, query: Tensor, state: State) -> Recalled:
        """What queries are compared with.

        Args:
            query: (B,C,h,w) of unit length over C.
            state: From :meth:`combine`, of B episodes.
        """

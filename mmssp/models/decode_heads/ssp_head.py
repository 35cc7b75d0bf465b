"""The decode head of SSP: matching without learned parameters, and its losses."""

import logging
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Literal

from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor

from .. import self_support
from ..losses.pixel_mean import cross_entropy
from ..memories import Recalled
from ..memories.support_memory import joined_states
from ..prototypes import unit
from ..self_support import PreparedQuery, SelfSupportOptions
from .baseline_head import BaselineHead
from .matching_head import State, full_precision

METHODS = ('ssp', 'baseline')
OPTIONS = tuple(field.name for field in fields(SelfSupportOptions))


@MODELS.register_module()
class SSPHead(BaselineHead):
    """Segments a query by prototypes of the support and of the query itself.

    Source: "Self-Support Few-Shot Semantic Segmentation" (ECCV 2022, arXiv 2207.11549).
    The head has no parameters, takes features of any channel count and any number of
    shots, and computes in float32 (float64 for float64 features) under autocast too, so
    mixed precision does not move its thresholds.

    Args:
        in_channels: See :class:`MatchingHead`.
        loss_decode: Loss config(s) of the final and the stage-1 logits.
        loss_query_self: Loss config of query self-matching, None for none.
        loss_support_self: Loss config of support self-matching, None for none.
        method: Of 0.1: ``'baseline'`` is :class:`BaselineHead` now.
        **kwargs: ``refine``, thresholds and other constants of
            :class:`mmssp.models.self_support.SelfSupportOptions`; the others are those
            of :class:`MatchingHead`.

    Attributes:
        options: The constants.

    Raises:
        ValueError: If the inputs are not one feature map, or a constant is out of range.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        *,
        loss_decode: dict[str, Any] | Sequence[dict[str, Any]] = cross_entropy(1.0),
        loss_query_self: dict[str, Any] | Sequence[dict[str, Any]] | None = (
            cross_entropy(1.0)
        ),
        loss_support_self: dict[str, Any] | Sequence[dict[str, Any]] | None = (
            cross_entropy(0.2)
        ),
        method: Literal['ssp', 'baseline'] = 'ssp',
        **kwargs: Any,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f'method={method!r}: expected one of {METHODS}')
        if method == 'baseline':
            print_log(
                "decode_head: SSPHead(method='baseline') is BaselineHead now, and this "
                'way to ask for it will go',
                'current',
                logging.WARNING,
            )
        chosen = {name: kwargs.pop(name) for name in OPTIONS if name in kwargs}
        options = SelfSupportOptions(**chosen)
        super().__init__(
            in_channels,
            loss_decode=loss_decode,
            loss_query_self=loss_query_self,
            loss_support_self=loss_support_self,
            similarity_scale=options.similarity_scale,
            **kwargs,
        )
        self.method = method
        self.options = options

    def extra_repr(self) -> str:
        return f'method={self.method}, {self.options}, {super().extra_repr()}'

    @property
    def refine(self) -> bool:
        """Whether there is a second self-support pass."""
        return self.options.refine

    @full_precision
    def prepare(self, query_features: Tensor) -> Any:
        """See :class:`MatchingHead`."""
        if self.method == 'baseline':
            return super().prepare(query_features)
        prepared = self_support.prepare(query_features, self.options)
        if self.debiasing is not None:
            prepared = prepared._replace(between=unit(self._between(query_features)))
        return prepared._replace(groups=self._groups(prepared.unit))

    @full_precision
    def match_state(self, query: Any, state: State) -> dict[str, Tensor]:
        """See :class:`MatchingHead`. ``stage1`` is after one self-support pass."""
        if self.method == 'baseline':
            return super().match_state(query, state)
        if isinstance(query, Tensor):
            if query.device.type == 'cpu' and len(query) > 1:
                return self._one_by_one(query, state)
            query = self.prepare(query)
        found = self._recalled(query, state)
        logits = self_support.match(
            query, found.foreground, found.background, self.options, found.counts
        )
        return {
            name: self._averaged(value, query.groups) for name, value in logits.items()
        }

    def _recalled(self, query: PreparedQuery, state: State) -> Recalled:
        between = query.unit if query.between is None else query.between
        return self.memory.recall(between, state)

    def _one_by_one(self, query: Tensor, state: State) -> dict[str, Tensor]:
        """As at once; a CPU needs less memory, and is as fast."""
        each = [
            self.match_state(
                query[i : i + 1], {n: v[i : i + 1] for n, v in state.items()}
            )
            for i in range(len(query))
        ]
        return joined_states(each)

    @full_precision
    def explain(self, query: Any, state: State) -> dict[str, Tensor]:
        """What the last self-support pass of one query saw.

        Args:
            query: Features (1,C,h,w), or what :meth:`prepare` made of them.
            state: Of one episode.

        Returns:
            As :func:`mmssp.models.self_support.explain`.

        Raises:
            ValueError: With ``method='baseline'``, which has no self-support.
        """
        if self.method == 'baseline':
            return super().explain(query, state)
        ready = query if isinstance(query, PreparedQuery) else self.prepare(query)
        found = self._recalled(ready, state)
        maps = self_support.explain(
            ready, found.foreground, found.background, self.options, found.counts
        )
        for name in ('first_guess', 'final'):
            maps[name] = self._averaged(maps[name][:, None], ready.groups)[:, 0]
        return maps

    def supervised(self, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """The final logits and, with refinement, those of stage 1."""
        found = super().supervised(logits)
        if self.refine and self.method == 'ssp':
            found['loss_stage1'] = logits['stage1']
        return found

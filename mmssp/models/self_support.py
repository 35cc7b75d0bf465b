"""SSP's matching as pure functions: first guess, self-support, refinement (§3).

Source: "Self-Support Few-Shot Semantic Segmentation" (ECCV 2022, arXiv 2207.11549). All
features are float32 or float64; :class:`mmssp.models.SSPHead` sees to that.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from ..utils.checks import flag, number, whole_number
from .affinity import (
    LARGEST_MATRIX,
    BatchedAffinity,
    DenseAffinity,
    SparseAffinity,
    WeightedSums,
)
from .decision import margins
from .prototypes import (
    confident_pixels,
    self_support_prototype,
    similarity_logits,
    unit,
)

LARGEST_TEMPERATURE = 50
"""Sums of exp(temperature) times features stay far from float32's largest number."""
AffinityKind = Literal['auto', 'dense', 'sparse']


@dataclass(frozen=True)
class SelfSupportOptions:
    """The constants of the method; the defaults are the published ones.

    Attributes:
        refine: Add the second self-support pass (§3.5 of the paper).
        similarity_scale: Factor of the cosines.
        foreground_threshold: Probability in [0, 1] above which a query pixel counts as
            confident foreground.
        background_threshold: The same for background.
        top_k: Confident pixels taken where none exceeds the threshold.
        affinity_temperature: Factor of the cosines in the adaptive background's softmax.
        support_weight: Share of the support's foreground prototype in stage 1; the
            query's own has the rest.
        global_background_weight: Share of the one self-support background prototype;
            the adaptive one has the rest.
        refine_weights: Shares of the support's, stage 1's and the new prototypes in the
            second pass.
        refine_logit_weight: Share of the second pass in the final logits; stage 1 has
            the rest.
        affinity: ``'dense'`` sums over all pixels by masks and nothing waits for the
            device; ``'sparse'`` over the confident ones alone, by their number;
            ``'auto'`` is sparse on a CPU and dense elsewhere.
        largest_matrix: Bytes of a full affinity matrix, above which it is not made.

    Raises:
        ValueError: If one is out of range: shares and thresholds lie in [0, 1], the
            temperature in [0, 50].
    """

    refine: bool = False
    similarity_scale: float = 10.0
    foreground_threshold: float = 0.7
    background_threshold: float = 0.6
    top_k: int = 12
    affinity_temperature: float = 2.0
    support_weight: float = 0.5
    global_background_weight: float = 0.3
    refine_weights: tuple[float, float, float] = (0.5, 0.2, 0.3)
    refine_logit_weight: float = 0.7
    affinity: AffinityKind = 'auto'
    largest_matrix: int = LARGEST_MATRIX

    def __post_init__(self) -> None:
        flag('refine', self.refine)
        number('similarity_scale', self.similarity_scale, 0, 1e4)
        temperature = self.affinity_temperature
        number('affinity_temperature', temperature, 0, LARGEST_TEMPERATURE)
        whole_number('top_k', self.top_k, 1)
        whole_number('largest_matrix', self.largest_matrix, 0)
        for name in (
            'foreground_threshold',
            'background_threshold',
            'support_weight',
            'global_background_weight',
            'refine_logit_weight',
        ):
            number(name, getattr(self, name), 0, 1)
        shares = self.refine_weights
        if not isinstance(shares, (list, tuple)) or len(shares) != 3:
            raise ValueError(f'refine_weights={shares!r}: expected three numbers')
        for share in shares:
            number('refine_weights', share, 0, 1)
        if self.affinity not in get_args(AffinityKind):
            raise ValueError(
                f'affinity={self.affinity!r}: expected one of {get_args(AffinityKind)}'
            )


class PreparedQuery(NamedTuple):
    """Query features (B,C,h,w), the same of unit length, and their pixels' affinity."""

    features: Tensor
    unit: Tensor
    affinity: DenseAffinity | SparseAffinity | BatchedAffinity


class SelfSupport(NamedTuple):
    """Prototypes of a query's own: (B,C), and (B,C,h,w), one for each pixel."""

    foreground: Tensor
    background: Tensor
    sums: WeightedSums


def prepare(features: Tensor, options: SelfSupportOptions) -> PreparedQuery:
    """All that matching needs of queries, whatever the supports.

    Args:
        features: (B,C,h,w).
        options: The constants.
    """
    own_unit = unit(features)
    kind = options.affinity
    if kind == 'auto':
        kind = 'sparse' if features.device.type == 'cpu' else 'dense'
    affinity = DenseAffinity if kind == 'dense' else BatchedAffinity
    return PreparedQuery(
        features,
        own_unit,
        affinity(
            features.flatten(2),
            own_unit.flatten(2),
            options.affinity_temperature,
            options.largest_matrix,
        ),
    )


def match(
    query: PreparedQuery,
    foreground: Tensor,
    background: Tensor,
    options: SelfSupportOptions,
) -> dict[str, Tensor]:
    """Logits of queries against the prototypes of their supports.

    Args:
        query: Of B queries.
        foreground: P_f (B,C), of the supports.
        background: P_b (B,C).
        options: The constants.

    Returns:
        Logits (B,2,h,w), background first: ``baseline`` (first guess), ``stage1`` (after
        one pass of self-support) and ``final`` (after refinement where it is on).
    """

    def logits(fg: Tensor, bg: Tensor) -> Tensor:
        return similarity_logits(query.unit, fg, bg, options.similarity_scale)

    baseline = logits(foreground, background)
    own = self_support(query, baseline, options)
    fg1 = _mixed(foreground, own.foreground, options)
    bg1 = own.background
    stage1 = logits(fg1, bg1)
    if not options.refine:
        return dict(final=stage1, stage1=stage1, baseline=baseline)

    own = self_support(query, stage1, options, own.sums)
    from_support, from_stage1, from_own = options.refine_weights
    fg2 = (
        from_support * foreground
        + from_stage1 * fg1
        + from_own * _mixed(foreground, own.foreground, options)
    )
    bg2 = from_stage1 * bg1 + from_own * own.background
    bg2 = bg2 + from_support * background[..., None, None]
    share = options.refine_logit_weight
    final = share * logits(fg2, bg2) + (1 - share) * stage1
    return dict(final=final, stage1=stage1, baseline=baseline)


def self_support(
    query: PreparedQuery,
    logits: Tensor,
    options: SelfSupportOptions,
    before: WeightedSums | None = None,
) -> SelfSupport:
    """Prototypes from the pixels that a query is sure of (SSFP, SSBP, ASBP; §3.2, §3.3).

    Args:
        query: Of B queries.
        logits: (B,2,h,w) that say what it is sure of.
        options: The constants.
        before: Sums of an earlier pass over the same queries, to start from.
    """
    fg, bg = _confident(logits, options)
    sums = query.affinity.sums(bg, before)
    one = self_support_prototype(query.features, bg)[..., None, None]
    adaptive = sums.means().unflatten(2, query.features.shape[-2:])
    return SelfSupport(
        foreground=self_support_prototype(query.features, fg),
        background=torch.lerp(adaptive, one, options.global_background_weight),
        sums=sums,
    )


def explain(
    query: PreparedQuery,
    foreground: Tensor,
    background: Tensor,
    options: SelfSupportOptions,
) -> dict[str, Tensor]:
    """What the last self-support pass of one query saw.

    Args:
        query: Of one query.
        foreground: P_f (1,C), of its supports.
        background: P_b (1,C).
        options: The constants.

    Returns:
        Maps (1,h,w): ``first_guess`` and ``final``, the logit of the probability of
        foreground;
        ``confident_foreground`` and ``confident_background``, bool, the pixels that
        prototypes were made of; ``similarity_support``, ``similarity_self`` and
        ``similarity_background``, cosine with the support's foreground prototype, the
        query's own, and each pixel's own background.
    """
    logits = match(query, foreground, background, options)
    guess = logits['stage1'] if options.refine else logits['baseline']
    size = query.features.shape[-2:]
    own = self_support(query, guess, options)
    confident_fg, confident_bg = _confident(guess, options)
    of_background, of_self = similarity_logits(
        query.unit, own.foreground, own.background, 1.0
    ).unbind(1)
    _, of_support = similarity_logits(query.unit, foreground, background, 1.0).unbind(1)
    return dict(
        first_guess=margins(logits['baseline']),
        final=margins(logits['final']),
        confident_foreground=confident_fg.bool().unflatten(1, size),
        confident_background=confident_bg.bool().unflatten(1, size),
        similarity_support=of_support,
        similarity_self=of_self,
        similarity_background=of_background,
    )


def _confident(logits: Tensor, options: SelfSupportOptions) -> tuple[Tensor, Tensor]:
    """Confident foreground and background, (B,hw) of 0. and 1. each."""
    return (
        confident_pixels(logits, options.foreground_threshold, options.top_k),
        confident_pixels(logits.flip(1), options.background_threshold, options.top_k),
    )


def _mixed(support: Tensor, own: Tensor, options: SelfSupportOptions) -> Tensor:
    return options.support_weight * support + (1 - options.support_weight) * own

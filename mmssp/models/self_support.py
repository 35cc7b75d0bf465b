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
    WeightedSums,
)
from .decision import margins
from .prototypes import (
    confident_by_label,
    repeated,
    self_support_prototypes,
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
        adaptive_foreground_weight: Share of an adaptive self-support foreground (ASFP) in
            the query's own foreground prototype; the one of all confident pixels has the
            rest. The paper's ablation has it, its method has none.
        background_support_weight: Share of the support's background prototype in stage
            1; the query's own has the rest. The published method has none of it, and 1
            leaves self-support to the foreground.
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
    adaptive_foreground_weight: float = 0.0
    background_support_weight: float = 0.0
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
            'adaptive_foreground_weight',
            'background_support_weight',
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
    """Query features (B,C,h,w), the same of unit length, and their pixels' affinity.

    Attributes:
        features: As the backbone gives them.
        unit: Of unit length over C.
        affinity: Of all pairs of pixels.
        between: Of unit length, to be compared with other images; None for ``unit``.
        groups: (B,P,hw) of 0. and 1., the clusters over which logits are averaged; None
            for none.
    """

    features: Tensor
    unit: Tensor
    affinity: DenseAffinity | BatchedAffinity
    between: Tensor | None = None
    groups: Tensor | None = None

    def expand(self, episodes: int) -> 'PreparedQuery | None':
        """One query as as many equal ones, without a copy; None where it needs one."""
        affinity = self.affinity.expand(episodes)
        if affinity is None:
            return None

        between, groups = (
            x if x is None else repeated(x, episodes)
            for x in (self.between, self.groups)
        )
        return self._replace(
            features=repeated(self.features, episodes),
            unit=repeated(self.unit, episodes),
            affinity=affinity,
            between=between,
            groups=groups,
        )


class SelfSupport(NamedTuple):
    """Prototypes of a query's own: (B,C), or (B,C,h,w), one for each pixel.

    The sums are those that adaptive ones were made of; None where there are none.
    """

    foreground: Tensor
    background: Tensor
    foreground_sums: WeightedSums | None
    background_sums: WeightedSums | None


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
    counts: Tensor | None = None,
) -> dict[str, Tensor]:
    """Logits of queries against the prototypes of their supports.

    Args:
        query: Of B queries.
        foreground: P_f (B,C), of the supports, or (B,C,h,w), of each pixel's own.
        background: P_b, likewise.
        options: The constants.
        counts: (B,h,w) bool, where the first guess may find foreground; see
            :func:`bounded`.

    Returns:
        Logits (B,2,h,w), background first: ``baseline`` (first guess), ``stage1`` (after
        one pass of self-support) and ``final`` (after refinement where it is on).
    """

    def logits(fg: Tensor, bg: Tensor) -> Tensor:
        return similarity_logits(query.unit, fg, bg, options.similarity_scale)

    between = query.unit if query.between is None else query.between
    baseline = bounded(
        similarity_logits(between, foreground, background, options.similarity_scale),
        counts,
    )
    own = self_support(query, baseline, options)
    fg1, bg1 = _mixed(foreground, background, own, options)
    stage1 = logits(fg1, bg1)
    if not options.refine:
        return dict(final=stage1, stage1=stage1, baseline=baseline)

    own = self_support(query, stage1, options, own)
    from_support, from_stage1, from_own = options.refine_weights
    fg_own, bg_own = _mixed(foreground, background, own, options)
    fg2 = _total(from_support * foreground, from_stage1 * fg1, from_own * fg_own)
    bg2 = _total(from_stage1 * bg1, from_own * bg_own, from_support * background)
    share = options.refine_logit_weight
    final = share * logits(fg2, bg2) + (1 - share) * stage1
    return dict(final=final, stage1=stage1, baseline=baseline)


def bounded(logits: Tensor, counts: Tensor | None) -> Tensor:
    """Logits where foreground is no more likely than background but where it may be.

    Args:
        logits: (B,2,h,w), background first.
        counts: (B,h,w) bool; None for everywhere.
    """
    if counts is None:
        return logits
    background, foreground = logits.unbind(1)
    foreground = torch.where(counts, foreground, torch.minimum(foreground, background))
    return torch.stack([background, foreground], dim=1)


def self_support(
    query: PreparedQuery,
    logits: Tensor,
    options: SelfSupportOptions,
    before: SelfSupport | None = None,
) -> SelfSupport:
    """Prototypes from the pixels that a query is sure of (SSFP, SSBP, ASBP; §3.2, §3.3).

    Args:
        query: Of B queries.
        logits: (B,2,h,w) that say what it is sure of.
        options: The constants.
        before: An earlier pass over the same queries, from whose sums to start.
    """
    chosen = _confident(logits, options)
    bg_one, fg_one = self_support_prototypes(query.features, chosen).unbind(1)
    bg, fg = chosen.unbind(1)
    foreground, foreground_sums = _own(
        query,
        fg,
        fg_one,
        1 - options.adaptive_foreground_weight,
        before and before.foreground_sums,
    )
    background, background_sums = _own(
        query,
        bg,
        bg_one,
        options.global_background_weight,
        before and before.background_sums,
    )
    return SelfSupport(foreground, background, foreground_sums, background_sums)


def _own(
    query: PreparedQuery,
    chosen: Tensor,
    one: Tensor,
    share_of_one: float,
    before: WeightedSums | None,
) -> tuple[Tensor, WeightedSums | None]:
    """The prototype of chosen pixels, or of each pixel's own by affinity to them."""
    if share_of_one == 1:
        return one, None
    sums = query.affinity.sums(chosen, before)
    adaptive = sums.means().unflatten(2, query.features.shape[-2:])
    return torch.lerp(adaptive, one[..., None, None], share_of_one), sums


def explain(
    query: PreparedQuery,
    foreground: Tensor,
    background: Tensor,
    options: SelfSupportOptions,
    counts: Tensor | None = None,
) -> dict[str, Tensor]:
    """What the last self-support pass of one query saw.

    Args:
        query: Of one query.
        foreground: P_f (1,C), of its supports, or (1,C,h,w), of each pixel's own.
        background: P_b, likewise.
        options: The constants.
        counts: As for :func:`match`.

    Returns:
        Maps (1,h,w): ``first_guess`` and ``final``, the logit of the probability of
        foreground;
        ``confident_foreground`` and ``confident_background``, bool, the pixels that
        prototypes were made of; ``similarity_support``, ``similarity_self`` and
        ``similarity_background``, cosine with the support's foreground prototype, the
        query's own, and each pixel's own background.
    """
    logits = match(query, foreground, background, options, counts)
    guess = logits['stage1'] if options.refine else logits['baseline']
    size = query.features.shape[-2:]
    own = self_support(query, guess, options)
    confident_bg, confident_fg = _confident(guess, options).unbind(1)
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


def _confident(logits: Tensor, options: SelfSupportOptions) -> Tensor:
    """Confident background and foreground, (B,2,hw) of 0. and 1."""
    thresholds = options.background_threshold, options.foreground_threshold
    return confident_by_label(logits, thresholds, options.top_k)


def _mixed(
    foreground: Tensor,
    background: Tensor,
    own: SelfSupport,
    options: SelfSupportOptions,
) -> tuple[Tensor, Tensor]:
    """Foreground and background of the support and of the query's own."""
    share = options.support_weight
    fg = _total(share * foreground, (1 - share) * own.foreground)
    share = options.background_support_weight
    if share == 0:
        return fg, own.background
    return fg, _total(share * background, (1 - share) * own.background)


def _total(*prototypes: Tensor) -> Tensor:
    """The sum of prototypes (B,C) and of maps (B,C,h,w) of them."""
    if any(each.dim() == 4 for each in prototypes):
        prototypes = tuple(
            each if each.dim() == 4 else each[..., None, None] for each in prototypes
        )
    return sum(prototypes[1:], prototypes[0])

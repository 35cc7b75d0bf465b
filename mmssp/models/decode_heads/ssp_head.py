"""The decode head of SSP: matching without learned parameters, and its losses."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

import torch
from mmengine.dist import all_reduce, get_world_size
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import flag, number, whole_number
from .. import prototypes as proto
from ..affinity import DenseAffinity, SparseAffinity, WeightedSums

METHODS = ('ssp', 'baseline')
LARGEST_TEMPERATURE = 50
"""Sums of exp(temperature) times features stay far from float32's largest number."""


class PreparedQuery(NamedTuple):
    """Query features (B,C,h,w), the same of unit length, and their pixels' affinity."""

    features: Tensor
    unit: Tensor
    affinity: DenseAffinity | SparseAffinity


class SelfSupport(NamedTuple):
    """Prototypes of a query's own: (B,C), and (B,C,h,w), one for each pixel."""

    foreground: Tensor
    background: Tensor
    sums: WeightedSums


def cross_entropy(loss_weight: float) -> dict[str, Any]:
    """Config of the published loss: the mean is over the pixels that are not ignored."""
    return dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=loss_weight)


@MODELS.register_module()
class SSPHead(BaseDecodeHead):
    """Segments a query by prototypes of the support and of the query itself.

    Source: "Self-Support Few-Shot Semantic Segmentation" (ECCV 2022, arXiv 2207.11549).
    The head has no parameters, takes features of any channel count and any number of
    shots, and computes in float32 (float64 for float64 features) under autocast too, so
    mixed precision does not move the thresholds below.

    Args:
        in_channels: Channels of the chosen backbone feature map; a sequence with
            ``input_transform='resize_concat'``.
        method: ``'ssp'``, or ``'baseline'`` for the first guess from the support's
            prototypes alone.
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
        loss_decode: Loss config(s) of the final and the stage-1 logits.
        loss_query_self: Loss config of query self-matching, None for none.
        loss_support_self: Loss config of support self-matching, None for none.
        align_corners: As in mmseg; True in the published method.
        **kwargs: ``in_index``, ``input_transform``, ``ignore_index``, ``sampler`` of
            :class:`mmseg.models.decode_heads.decode_head.BaseDecodeHead`.

    Raises:
        ValueError: If ``method`` is unknown, the inputs are not one feature map, or a
            number is out of range: shares and thresholds lie in [0, 1], the temperature
            in [0, 50].
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        *,
        method: Literal['ssp', 'baseline'] = 'ssp',
        refine: bool = False,
        similarity_scale: float = 10.0,
        foreground_threshold: float = 0.7,
        background_threshold: float = 0.6,
        top_k: int = 12,
        affinity_temperature: float = 2.0,
        support_weight: float = 0.5,
        global_background_weight: float = 0.3,
        refine_weights: tuple[float, float, float] = (0.5, 0.2, 0.3),
        refine_logit_weight: float = 0.7,
        loss_decode: dict[str, Any] | Sequence[dict[str, Any]] = cross_entropy(1.0),
        loss_query_self: dict[str, Any] | None = cross_entropy(1.0),
        loss_support_self: dict[str, Any] | None = cross_entropy(0.2),
        align_corners: bool = True,
        **kwargs: Any,
    ) -> None:
        if method not in METHODS:
            raise ValueError(f'method={method!r}: expected one of {METHODS}')
        if kwargs.get('input_transform') == 'multiple_select':
            raise ValueError(
                "input_transform='multiple_select': SSPHead matches one feature map; "
                "choose one by in_index, or join several by 'resize_concat'"
            )
        each = in_channels if isinstance(in_channels, (list, tuple)) else [in_channels]
        channels = sum(whole_number('in_channels', c, 1) for c in each)
        super().__init__(
            in_channels,
            channels,
            num_classes=2,
            out_channels=2,
            dropout_ratio=0,
            loss_decode=loss_decode,
            align_corners=flag('align_corners', align_corners),
            init_cfg=None,
            **kwargs,
        )
        # The base class builds a classifier; prototypes take its place here, and a
        # parameter without gradient would break distributed training.
        del self.conv_seg
        self.method = method
        self.refine = flag('refine', refine)
        self.similarity_scale = number('similarity_scale', similarity_scale, 0, 1e4)
        self.foreground_threshold = number(
            'foreground_threshold', foreground_threshold, 0, 1
        )
        self.background_threshold = number(
            'background_threshold', background_threshold, 0, 1
        )
        self.top_k = whole_number('top_k', top_k, 1)
        self.affinity_temperature = number(
            'affinity_temperature', affinity_temperature, 0, LARGEST_TEMPERATURE
        )
        self.support_weight = number('support_weight', support_weight, 0, 1)
        self.global_background_weight = number(
            'global_background_weight', global_background_weight, 0, 1
        )
        if not isinstance(refine_weights, (list, tuple)) or len(refine_weights) != 3:
            raise ValueError(
                f'refine_weights={refine_weights!r}: expected three numbers'
            )
        self.refine_weights = tuple(
            number('refine_weights', share, 0, 1) for share in refine_weights
        )
        self.refine_logit_weight = number(
            'refine_logit_weight', refine_logit_weight, 0, 1
        )
        whole_number('ignore_index', self.ignore_index, 0)
        self.loss_query_self = _build(loss_query_self)
        self.loss_support_self = _build(loss_support_self)

    def extra_repr(self) -> str:
        return f'method={self.method}, refine={self.refine}, {super().extra_repr()}'

    def select_features(self, inputs: Sequence[Tensor]) -> Tensor:
        """The feature map to match in, from all that the backbone or neck gives.

        Args:
            inputs: Feature maps (N,C_i,h_i,w_i).

        Returns:
            (N,C,h,w) with C = ``in_channels`` (or their sum).

        Raises:
            ValueError: If there are fewer maps than ``in_index`` asks for, or the
                channels differ from ``in_channels``.
        """
        found = [tuple(x.shape) for x in inputs]
        try:
            features = self._transform_inputs(inputs)
        except IndexError as error:
            raise ValueError(
                f'in_index={self.in_index}, but the backbone gives {len(found)} feature '
                f'map(s) {found}: set decode_head.in_index, or out_indices of the backbone'
            ) from error
        if features.shape[1] != self.channels:
            raise ValueError(
                f'decode_head.in_channels={self.in_channels}, but the chosen feature map '
                f'has {features.shape[1]} channels (all maps: {found})'
            )
        return features

    def forward(
        self,
        query_features: Tensor,
        support_features: Tensor | list[list[Tensor]],
        support_mask: Tensor | list[list[Tensor]],
    ) -> dict[str, Tensor]:
        """Same as :meth:`match`."""
        return self.match(query_features, support_features, support_mask)

    def match(
        self,
        query_features: Tensor,
        support_features: Tensor | list[list[Tensor]],
        support_mask: Tensor | list[list[Tensor]],
    ) -> dict[str, Tensor]:
        """Logits of the query at feature size.

        Args:
            query_features: (B,C,h,w).
            support_features: (B,K,C,h,w), or B lists of K tensors (C,h_k,w_k).
            support_mask: (B,K,H,W) integer in {0, 1, 255} at any size, or B lists of K
                tensors (H_k,W_k).

        Returns:
            Logits (B,2,h,w), background first: ``baseline`` (first guess), ``stage1``
            (after one self-support pass) and ``final`` (after refinement where it is
            on). With ``method='baseline'`` all three are the first guess.
        """
        return self.match_prototypes(
            query_features, self.prototypes(support_features, support_mask)
        )

    def prototypes(
        self,
        support_features: Tensor | list[list[Tensor]],
        support_mask: Tensor | list[list[Tensor]],
    ) -> dict[str, Tensor]:
        """All that matching needs of the supports: for many queries, made once.

        Args:
            support_features: As for :meth:`match`.
            support_mask: As for :meth:`match`.

        Returns:
            ``foreground`` and ``background``, (B,C) each; the mean over the K shots.
        """
        device = _flat(support_features)[0].device.type
        with torch.autocast(device, enabled=False):
            return proto.support_prototypes(
                _full_precision(support_features), support_mask
            )

    def prepare(self, query_features: Tensor) -> PreparedQuery:
        """All that matching needs of the queries: for many supports, made once.

        Args:
            query_features: (B,C,h,w); B = 1 on a CPU.

        Returns:
            What :meth:`match_prototypes` takes in the place of features.
        """
        with torch.autocast(query_features.device.type, enabled=False):
            features = _full_precision(query_features)
            unit = proto.unit(features)
            affinity = (
                SparseAffinity if features.device.type == 'cpu' else DenseAffinity
            )
            return PreparedQuery(
                features,
                unit,
                affinity(
                    features.flatten(2), unit.flatten(2), self.affinity_temperature
                ),
            )

    def match_prototypes(
        self, query: Tensor | PreparedQuery, prototypes: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The second half of :meth:`match`.

        Args:
            query: Features (B,C,h,w), or what :meth:`prepare` made of them.
            prototypes: From :meth:`prototypes`.

        Returns:
            As :meth:`match`.
        """
        fg, bg = prototypes['foreground'], prototypes['background']
        if isinstance(query, PreparedQuery):
            with torch.autocast(fg.device.type, enabled=False):
                return self._match(query, fg, bg)
        if query.device.type != 'cpu':
            return self.match_prototypes(self.prepare(query), prototypes)
        # One by one a CPU needs less memory, and is as fast.
        each = [
            self.match_prototypes(
                self.prepare(one), dict(foreground=one_fg, background=one_bg)
            )
            for one, one_fg, one_bg in zip(
                query.split(1), fg.split(1), bg.split(1), strict=True
            )
        ]
        return {name: torch.cat([logits[name] for logits in each]) for name in each[0]}

    def _match(self, query: PreparedQuery, fg: Tensor, bg: Tensor) -> dict[str, Tensor]:
        def logits(foreground: Tensor, background: Tensor) -> Tensor:
            return proto.similarity_logits(
                query.unit, foreground, background, self.similarity_scale
            )

        baseline = logits(fg, bg)
        if self.method == 'baseline':
            return dict(final=baseline, stage1=baseline, baseline=baseline)

        own = self._self_support(query, baseline)
        fg1 = self._mix_foreground(fg, own.foreground)
        bg1 = own.background
        stage1 = logits(fg1, bg1)
        if not self.refine:
            return dict(final=stage1, stage1=stage1, baseline=baseline)

        own = self._self_support(query, stage1, own.sums)
        from_support, from_stage1, from_own = self.refine_weights
        fg2 = (
            from_support * fg
            + from_stage1 * fg1
            + from_own * self._mix_foreground(fg, own.foreground)
        )
        bg2 = from_stage1 * bg1 + from_own * own.background
        bg2 = bg2 + from_support * bg[..., None, None]
        share = self.refine_logit_weight
        final = share * logits(fg2, bg2) + (1 - share) * stage1
        return dict(final=final, stage1=stage1, baseline=baseline)

    def explain(
        self, query: Tensor | PreparedQuery, prototypes: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """What the last self-support pass of one query saw.

        Args:
            query: Features (1,C,h,w), or what :meth:`prepare` made of them.
            prototypes: From :meth:`prototypes`, for one episode.

        Returns:
            Maps (1,h,w): ``first_guess`` and ``final``, probability of foreground;
            ``confident_foreground`` and ``confident_background``, bool, the pixels that
            prototypes were made of; ``similarity_support``, ``similarity_self`` and
            ``similarity_background``, cosine with the support's foreground prototype,
            the query's own, and each pixel's own background.

        Raises:
            ValueError: With ``method='baseline'``, which has no self-support.
        """
        if self.method == 'baseline':
            raise ValueError("method='baseline' has no self-support to explain")
        if not isinstance(query, PreparedQuery):
            query = self.prepare(query)
        logits = self.match_prototypes(query, prototypes)
        guess = logits['stage1'] if self.refine else logits['baseline']
        size = query.features.shape[-2:]
        with torch.autocast(query.features.device.type, enabled=False):
            own = self._self_support(query, guess)
            chosen = [
                proto.confident_pixels(side, threshold, self.top_k)
                for side, threshold in (
                    (guess, self.foreground_threshold),
                    (guess.flip(1), self.background_threshold),
                )
            ]
            background, of_self = proto.similarity_logits(
                query.unit, own.foreground, own.background, 1.0
            ).unbind(1)
            _, of_support = proto.similarity_logits(
                query.unit, prototypes['foreground'], prototypes['background'], 1.0
            ).unbind(1)
        return dict(
            first_guess=logits['baseline'].softmax(1)[:, 1],
            final=logits['final'].softmax(1)[:, 1],
            confident_foreground=chosen[0].bool().unflatten(1, size),
            confident_background=chosen[1].bool().unflatten(1, size),
            similarity_support=of_support,
            similarity_self=of_self,
            similarity_background=background,
        )

    def _mix_foreground(self, support: Tensor, own: Tensor) -> Tensor:
        return self.support_weight * support + (1 - self.support_weight) * own

    def _self_support(
        self, query: PreparedQuery, logits: Tensor, before: WeightedSums | None = None
    ) -> SelfSupport:
        """Prototypes from the query's confident pixels under ``logits``."""
        fg = proto.confident_pixels(logits, self.foreground_threshold, self.top_k)
        bg = proto.confident_pixels(
            logits.flip(1), self.background_threshold, self.top_k
        )
        sums = query.affinity.sums(bg, before)
        one = proto.self_support_prototype(query.features, bg)[..., None, None]
        adaptive = sums.means().unflatten(2, query.features.shape[-2:])
        return SelfSupport(
            foreground=proto.self_support_prototype(query.features, fg),
            background=torch.lerp(adaptive, one, self.global_background_weight),
            sums=sums,
        )

    def loss(
        self,
        query_features: Tensor,
        support_features: Tensor | list[list[Tensor]],
        query_mask: Tensor,
        support_mask: Tensor | list[list[Tensor]],
    ) -> dict[str, Tensor]:
        """Losses of a batch of episodes, each already weighted.

        With several processes, and with gradient, a mean over the pixels that are not
        ignored is one over those of all processes, so that the mean of their gradients is
        the gradient of one process with all their episodes. All processes have to be
        here at once; under ``torch.no_grad()`` each is by itself.

        Args:
            query_features: (B,C,h,w).
            support_features: (B,K,C,h,w), or B lists of K tensors (C,h_k,w_k).
            query_mask: (B,H,W) integer in {0, 1, 255}.
            support_mask: (B,K,H,W) integer in {0, 1, 255}, or B lists of K tensors.

        Returns:
            Scalars ``loss_final``, ``loss_stage1`` (with refinement), and
            ``loss_query_self``, ``loss_support_self`` where configured. Zero, with zero
            gradient, where a mask has no pixel that counts.
        """
        with torch.autocast(query_features.device.type, enabled=False):
            query = _full_precision(query_features)
            support = _full_precision(support_features)
            pixels = self._pixels(query_mask, support_mask)
            logits = self.match(query, support, support_mask)
            truth = query_mask.long()
            losses = dict(
                loss_final=self._loss(
                    self.loss_decode, logits['final'], truth, pixels['query']
                )
            )
            if self.refine and self.method == 'ssp':
                losses['loss_stage1'] = self._loss(
                    self.loss_decode, logits['stage1'], truth, pixels['query']
                )
            if self.loss_query_self is not None:
                losses['loss_query_self'] = self._loss(
                    self.loss_query_self,
                    self._match_self(query, truth),
                    truth,
                    pixels['query'],
                )
            if self.loss_support_self is not None:
                losses['loss_support_self'] = self._support_self_loss(
                    support, support_mask, pixels['support']
                )
        return losses

    def _pixels(
        self, query_mask: Tensor, support_mask: Tensor | list[list[Tensor]]
    ) -> dict[str, Tensor]:
        """Pixels that count, of queries and of supports: the mean over processes.

        They stay on the device; mmseg's losses would wait for their number.
        """
        if isinstance(support_mask, Tensor):
            supports = [support_mask]
        else:
            supports = _flat(support_mask)
        counts = torch.stack(
            [
                (query_mask != self.ignore_index).sum(),
                sum((mask != self.ignore_index).sum() for mask in supports),
            ]
        )
        if torch.is_grad_enabled() and get_world_size() > 1:
            all_reduce(counts)
            counts = counts / get_world_size()
        return dict(query=counts[0], support=counts[1])

    def _match_self(self, features: Tensor, mask: Tensor) -> Tensor:
        """Logits (N,2,h,w) of images against the prototypes of their own masks."""
        own = proto.mask_prototypes(features, mask)
        return proto.similarity_logits(
            proto.unit(features),
            own['foreground'],
            own['background'],
            self.similarity_scale,
        )

    def _support_self_loss(
        self,
        features: Tensor | list[list[Tensor]],
        mask: Tensor | list[list[Tensor]],
        pixels: Tensor,
    ) -> Tensor:
        """One mean over the pixels of all supports of the batch."""
        if isinstance(features, Tensor) and isinstance(mask, Tensor):
            truth = mask.flatten(0, 1).long()
            logits = self._match_self(features.flatten(0, 1), truth)
            return self._loss(self.loss_support_self, logits, truth, pixels)
        rows: list[Tensor] = []
        labelled: list[Tensor] = []
        for image, image_mask in zip(_flat(features), _flat(mask), strict=True):
            labels = image_mask[None].long()
            self_logits = self.upsample(
                self._match_self(image[None], labels), labels.shape[-2:]
            )
            rows.append(self_logits.flatten(2))
            labelled.append(labels.flatten(1))
        # images of different size, seen as one image of one row
        return self._loss(
            self.loss_support_self,
            torch.cat(rows, dim=2)[:, :, None],
            torch.cat(labelled, dim=1)[:, None],
            pixels,
        )

    def upsample(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Logits (N,2,h,w) resized bilinearly to ``size`` (H, W)."""
        return resize(
            logits,
            size=tuple(size),
            mode='bilinear',
            align_corners=self.align_corners,
            warning=False,
        )

    def _loss(
        self,
        losses: nn.Module | nn.ModuleList,
        logits: Tensor,
        truth: Tensor,
        pixels: Tensor,
    ) -> Tensor:
        logits = self.upsample(logits, truth.shape[-2:])
        weight = None
        if self.sampler is not None:
            weight = self.sampler.sample(logits, truth[:, None])
        terms = losses if isinstance(losses, nn.ModuleList) else [losses]
        total = logits.new_zeros(())
        for term in terms:
            options = dict(weight=weight, ignore_index=self.ignore_index)
            if getattr(term, 'avg_non_ignore', False):
                # binary cross-entropy has a number for each channel
                channels = logits.shape[1] if getattr(term, 'use_sigmoid', False) else 1
                options['avg_factor'] = pixels * channels
            total = total + term(logits, truth, **options)
        return total


def _build(loss: dict[str, Any] | Sequence[dict[str, Any]] | None) -> Any:
    """A loss, a list of losses, or None."""
    if loss is None:
        return None
    if isinstance(loss, dict):
        return MODELS.build(loss)
    return nn.ModuleList(MODELS.build(term) for term in loss)


def _flat(nested: Tensor | list[list[Tensor]]) -> list[Tensor]:
    return [item for episode in nested for item in episode]


@overload
def _full_precision(features: Tensor) -> Tensor: ...
@overload
def _full_precision(features: list[list[Tensor]]) -> list[list[Tensor]]: ...
def _full_precision(
    features: Tensor | list[list[Tensor]],
) -> Tensor | list[list[Tensor]]:
    """Half-precision features as float32; others as they are."""
    if isinstance(features, Tensor):
        return features if features.dtype == torch.float64 else features.float()
    return [[_full_precision(shot) for shot in episode] for episode in features]

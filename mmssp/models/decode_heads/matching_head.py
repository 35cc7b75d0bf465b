"""What a head that matches instead of classifies promises: shots in, logits out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor

from ...utils.checks import flag, number, whole_number
from ..decision import margins
from ..losses.pixel_mean import PixelMean, class_counts, cross_entropy
from ..losses.self_matching_loss import FeatureLoss, SelfMatchingLoss
from ..memories.support_memory import State as State
from ..memories.support_memory import joined_states, mean_state
from ..positional_debiasing import Encoder
from ..prototypes import repeated

RENAMED = {'prototypes': 'support_state', 'match_prototypes': 'match_state'}
"""What 0.1 called methods of a head → what they are called."""

Self = TypeVar('Self')
P = ParamSpec('P')
T = TypeVar('T')


def full_precision(
    method: Callable[Concatenate[Self, P], T],
) -> Callable[Concatenate[Self, P], T]:
    """Have a method see half-precision tensors as float32, and no autocast.

    Thresholds on probabilities should not move with the precision of the backbone.
    """

    @wraps(method)
    def wrapped(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> T:
        args, kwargs = _cast(args), _cast(kwargs)
        device = _device_type([*args, *kwargs.values()])
        with torch.autocast(device, enabled=False):
            return method(self, *args, **kwargs)

    return wrapped


def _cast(value: Any) -> Any:
    """Half-precision tensors in plain containers as float32; all else as it is."""
    if isinstance(value, Tensor):
        half = value.dtype in (torch.float16, torch.bfloat16)
        return value.float() if half else value
    if type(value) in (list, tuple):
        return type(value)(_cast(item) for item in value)
    if type(value) is dict:
        return {name: _cast(item) for name, item in value.items()}
    return value


def _device_type(values: Any) -> str:
    """Of the first tensor in nested containers."""
    while not isinstance(values, Tensor):
        if isinstance(values, dict):
            values = list(values.values())
        if not isinstance(values, (list, tuple)) or not len(values):
            return 'cpu'
        values = values[0]
    return values.device.type


class MatchingHead(BaseDecodeHead, ABC):
    """A head that turns shots into states, and matches queries with them.

    A *state* is a dict of tensors. Everything that keeps supports for many queries (the
    test loop, the inferencer, its files, the check of supports) knows these four steps
    and nothing else of a head:

    1. :meth:`shot_state`: a labelled image → its state;
    2. :meth:`combine`: the states of K shots → that of an episode (default: the mean);
    3. :meth:`prepare`: a query → what matching needs of it, whatever the supports
       (default: its features);
    4. :meth:`match_state`: both → logits.

    :meth:`match` is the four of them, for training and testing alike. A subclass defines
    :meth:`shot_state` and :meth:`match_state`; :func:`full_precision` is for methods that
    shall not compute in half precision.

    Args:
        in_channels: Channels of the chosen backbone feature map; a sequence with
            ``input_transform='resize_concat'``.
        loss_decode: Loss config(s) of the logits. Any loss of mmseg; with
            ``avg_non_ignore=True`` its mean is over the pixels of all processes.
        loss_query_self: Loss config of a query's own features and true mask: a
            :class:`FeatureLoss` such as :class:`SelfMatchingLoss`, or loss(es) of mmseg
            to put into one; None for none.
        loss_support_self: The same of the supports.
        similarity_scale: Factor of the cosines in self-matching.
        level_weights: With ``input_transform='resize_concat'``, weights of the levels,
            each above 0: every level is made of unit length and weighted, so that the
            cosine of two cells is the weighted mean of theirs at each level. None joins
            levels as they are, where those of long features count most.
        align_corners: As in mmseg; True in the published method.
        **kwargs: ``in_index``, ``input_transform``, ``ignore_index``, ``sampler`` of
            :class:`mmseg.models.decode_heads.decode_head.BaseDecodeHead`.

    Raises:
        ValueError: If the inputs are not one feature map, or a number is out of range.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        *,
        loss_decode: dict[str, Any] | Sequence[dict[str, Any]] = cross_entropy(1.0),
        loss_query_self: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
        loss_support_self: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
        similarity_scale: float = 10.0,
        level_weights: Sequence[float] | None = None,
        align_corners: bool = True,
        **kwargs: Any,
    ) -> None:
        if kwargs.get('input_transform') == 'multiple_select':
            raise ValueError(
                f"input_transform='multiple_select': {type(self).__name__} matches one "
                "feature map; choose one by in_index, or join several by 'resize_concat'"
            )
        each = in_channels if isinstance(in_channels, (list, tuple)) else [in_channels]
        levels = [whole_number('in_channels', c, 1) for c in each]
        super().__init__(
            in_channels,
            sum(levels),
            num_classes=2,
            out_channels=2,
            dropout_ratio=0,
            loss_decode=loss_decode,
            align_corners=flag('align_corners', align_corners),
            init_cfg=None,
            **kwargs,
        )
        # The base class builds a classifier; matching takes its place here, and a
        # parameter without gradient would break distributed training.
        del self.conv_seg
        self.similarity_scale = similarity_scale
        self._level_channels = levels
        self.level_weights = _level_weights(level_weights, levels, self.input_transform)
        whole_number('ignore_index', self.ignore_index, 0)
        self.loss_query_self = self._feature_loss(loss_query_self)
        self.loss_support_self = self._feature_loss(loss_support_self)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for old, new in RENAMED.items():
            if old in vars(cls):
                raise TypeError(
                    f'{cls.__name__}.{old}() is called {new}() now; a head defines '
                    'shot_state() and match_state(), see MatchingHead'
                )

    def _feature_loss(
        self, loss: dict[str, Any] | Sequence[dict[str, Any]] | None
    ) -> FeatureLoss | None:
        if loss is None:
            return None
        own = dict(
            similarity_scale=self.similarity_scale, align_corners=self.align_corners
        )
        if isinstance(loss, dict):
            kind = MODELS.get(loss['type']) if 'type' in loss else None
            if isinstance(kind, type) and issubclass(kind, FeatureLoss):
                known = own if issubclass(kind, SelfMatchingLoss) else None
                return MODELS.build(loss, default_args=known)
        return MODELS.build(dict(own, type='SelfMatchingLoss', loss=loss))

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
        if self.level_weights is not None:
            features = _weighted(features, self._level_channels, self.level_weights)
        return features

    @abstractmethod
    def shot_state(self, features: Tensor, mask: Tensor) -> State:
        """All that matching needs of labelled images.

        Args:
            features: (N,C,h,w).
            mask: (N,H,W) integer in {0, 1, 255}, at any size.

        Returns:
            Tensors (N,…), a row for each image.
        """

    def combine(self, shots: Sequence[State]) -> State:
        """The state of episodes from those of their shots.

        Args:
            shots: K states of tensors (B,…).

        Returns:
            Tensors (B,…); here their mean.
        """
        return mean_state(shots)

    @full_precision
    def prepare(self, query_features: Tensor) -> Any:
        """All that matching needs of queries: for many supports, made once.

        Args:
            query_features: (B,C,h,w).

        Returns:
            What :meth:`match_state` takes in the place of features.
        """
        return query_features

    def expand(self, query: Any, episodes: int) -> Any:
        """A query as as many equal ones, so that its episodes are matched at once.

        Args:
            query: What :meth:`prepare` made of one.
            episodes: How many.

        Returns:
            What :meth:`prepare` would make of so many, without copies; None where a head
            cannot tell, whose episodes are matched one after the other then.
        """
        if not isinstance(query, Tensor):
            return None
        return repeated(query, episodes)

    @abstractmethod
    def match_state(self, query: Any, state: State) -> dict[str, Tensor]:
        """Logits of queries.

        Args:
            query: Features (B,C,h,w), or what :meth:`prepare` made of them.
            state: From :meth:`combine`, of B episodes.

        Returns:
            Logits (B,2,h,w), background first: ``final``; ``baseline``, the first guess
            from the supports alone, by which presence is judged (see
            :meth:`presence_margins`); ``stage1``, one between them. Where a method has
            one guess, all three are it.
        """

    def presence_margins(self, first_guess: Tensor, num_shown: int) -> Tensor:
        """How sure it is of each cell that the class is there, in an image that may not
        have it.

        Args:
            first_guess: Logits (B,2,h,w), ``baseline`` of :meth:`match_state`.
            num_shown: How many images of the support show the class, 1 or more.

        Returns:
            (B,h,w), the logit of a probability; here that of foreground over background.
        """
        return margins(first_guess)

    def attach(self, encoder: Encoder) -> None:
        """Be given the encoder of the segmentor that this head is part of.

        Args:
            encoder: Of images without content, for heads that need to know what features
                tell of the place alone; others leave it.
        """

    def state_settings(self) -> str:
        """What states depend on beside features, as text; empty for nothing special.

        States in a file are for heads that say the same.
        """
        return ''

    def check_state(self, state: State) -> None:
        """Refuse a state that this head did not make, as from a file.

        Args:
            state: From :meth:`combine`, of one episode.

        Raises:
            ValueError: If names, types or shapes are not those of its states.
        """
        # of two sizes, since a state may keep maps
        first, second = (
            self._state_of_zeros(size, shots)
            for size, shots in (((1, 1), 1), ((2, 3), 2))
        )
        fits = state.keys() == first.keys() and all(
            value.dtype == first[name].dtype
            and value.dim() == first[name].dim()
            and all(
                found == a or a != b
                for found, a, b in zip(
                    value.shape, first[name].shape, second[name].shape, strict=True
                )
            )
            for name, value in state.items()
        )
        if not fits:
            found = {n: (*v.shape, str(v.dtype)) for n, v in state.items()}
            wanted = {n: (*v.shape, str(v.dtype)) for n, v in first.items()}
            raise ValueError(f'found a state {found}: expected one like {wanted}')

    @torch.no_grad()
    def _state_of_zeros(self, size: Sequence[int], shots: int) -> State:
        device = next((p.device for p in self.parameters()), torch.device('cpu'))
        features = torch.zeros(1, self.channels, *size, device=device)
        mask = torch.ones(1, *size, dtype=torch.uint8, device=device)
        return self.combine([self.shot_state(features, mask)] * shots)

    def support_state(
        self,
        support_features: Tensor | list[list[Tensor]],
        support_mask: Tensor | list[list[Tensor]],
    ) -> State:
        """The state of episodes from the features and masks of their shots.

        Args:
            support_features: (B,K,C,h,w), or one list of K tensors (C,h_k,w_k).
            support_mask: (B,K,H,W) integer in {0, 1, 255}, or one list of K tensors
                (H_k,W_k).
        """
        if isinstance(support_features, Tensor) and isinstance(support_mask, Tensor):
            episodes = support_features.shape[:2]
            every = self.shot_state(
                support_features.flatten(0, 1), support_mask.flatten(0, 1)
            )
            by_shot = {n: v.unflatten(0, episodes).unbind(1) for n, v in every.items()}
            return self.combine(
                [{n: v[k] for n, v in by_shot.items()} for k in range(episodes[1])]
            )
        if len(support_features) != 1:
            raise ValueError(
                f'found the supports of {len(support_features)} episodes in lists: '
                'expected those of one'
            )
        return self.combine(
            [
                self.shot_state(shot[None], mask[None])
                for shot, mask in zip(support_features[0], support_mask[0], strict=True)
            ]
        )

    @full_precision
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
            As :meth:`match_state`.
        """
        if isinstance(support_features, Tensor) and isinstance(support_mask, Tensor):
            state = self.support_state(support_features, support_mask)
            return self.match_state(query_features, state)
        each = [
            self.match_state(query, self.support_state([shots], [masks]))
            for query, shots, masks in zip(
                query_features.split(1), support_features, support_mask, strict=True
            )
        ]
        return joined_states(each)

    def forward(
        self,
        query_features: Tensor,
        support_features: Tensor | list[list[Tensor]],
        support_mask: Tensor | list[list[Tensor]],
    ) -> dict[str, Tensor]:
        """Same as :meth:`match`."""
        return self.match(query_features, support_features, support_mask)

    def explain(self, query: Any, state: State) -> dict[str, Tensor]:
        """Maps that tell why one query is segmented as it is, where a head has some.

        Args:
            query: Features (1,C,h,w), or what :meth:`prepare` made of them.
            state: From :meth:`combine`, of one episode.

        Raises:
            ValueError: If the head has none.
        """
        raise ValueError(f'{type(self).__name__} has no self-support to explain')

    def supervised(self, logits: dict[str, Tensor]) -> dict[str, Tensor]:
        """Which logits :attr:`loss_decode` is computed of.

        Args:
            logits: From :meth:`match`.

        Returns:
            By the name of their loss, which begins with ``loss_``.
        """
        return dict(loss_final=logits['final'])

    @full_precision
    def loss(
        self,
        query_features: Tensor,
        support_features: Tensor | list[list[Tensor]],
        query_mask: Tensor,
        support_mask: Tensor | list[list[Tensor]],
    ) -> dict[str, Tensor]:
        """Losses of a batch of episodes, each already weighted.

        With several processes all have to be here at once; under ``torch.no_grad()``
        each is by itself. See :class:`mmssp.models.losses.PixelMean`.

        Args:
            query_features: (B,C,h,w).
            support_features: (B,K,C,h,w), or B lists of K tensors (C,h_k,w_k).
            query_mask: (B,H,W) integer in {0, 1, 255}.
            support_mask: (B,K,H,W) integer in {0, 1, 255}, or B lists of K tensors.

        Returns:
            Scalars: those of :meth:`supervised`, and ``loss_query_self``,
            ``loss_support_self`` where configured. Zero, with zero gradient, where a mask
            has no pixel that counts.
        """
        supports, masks = _batches(support_features, support_mask)
        query_count, support_count = class_counts(query_mask, masks)
        query_mean, support_mean = (
            PixelMean(counts, self.ignore_index, self.sampler)
            for counts in (query_count, support_count)
        )
        truth = query_mask.long()
        logits = self.match(query_features, support_features, support_mask)
        losses = {
            name: query_mean(
                self.loss_decode, self.upsample(guess, truth.shape[-2:]), truth
            )
            for name, guess in self.supervised(logits).items()
        }
        if self.loss_query_self is not None:
            losses['loss_query_self'] = self.loss_query_self(
                [query_features], [truth], query_mean
            )
        if self.loss_support_self is not None:
            losses['loss_support_self'] = self.loss_support_self(
                supports, masks, support_mean
            )
        return losses

    def upsample(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Logits (N,C,h,w) resized bilinearly to ``size`` (H, W)."""
        return resize(
            logits,
            size=tuple(size),
            mode='bilinear',
            align_corners=self.align_corners,
            warning=False,
        )

    def prototypes(
        self,
        support_features: Tensor | list[list[Tensor]],
        support_mask: Tensor | list[list[Tensor]],
    ) -> State:
        """What :meth:`support_state` was called in 0.1."""
        return self.support_state(support_features, support_mask)

    def match_prototypes(self, query: Any, prototypes: State) -> dict[str, Tensor]:
        """What :meth:`match_state` was called in 0.1."""
        return self.match_state(query, prototypes)


def _batches(
    features: Tensor | list[list[Tensor]], mask: Tensor | list[list[Tensor]]
) -> tuple[list[Tensor], list[Tensor]]:
    """Supports as batches of images of one size, and their masks as int64."""
    if isinstance(features, Tensor) and isinstance(mask, Tensor):
        return [features.flatten(0, 1)], [mask.flatten(0, 1).long()]
    shots = [shot[None] for episode in features for shot in episode]
    return shots, [shot[None].long() for episode in mask for shot in episode]


def _level_weights(
    weights: Sequence[float] | None,
    channels: Sequence[int],
    input_transform: str | None,
) -> list[float] | None:
    """Weights of levels that sum to 1."""
    if weights is None:
        return None
    if input_transform != 'resize_concat' or len(weights) != len(channels):
        raise ValueError(
            f'level_weights={weights!r}: expected as many as in_channels={channels}, '
            "with input_transform='resize_concat'"
        )
    checked = [number('level_weights', weight, 1e-6, 1e6) for weight in weights]
    return [weight / sum(checked) for weight in checked]


def _weighted(
    features: Tensor, channels: Sequence[int], weights: Sequence[float]
) -> Tensor:
    """Joined levels (N,C,h,w), each of unit length times the root of its weight."""
    levels = features.split(list(channels), dim=1)
    return torch.cat(
        [
            F.normalize(level, dim=1) * weight**0.5
            for level, weight in zip(levels, weights, strict=True)
        ],
        dim=1,
    )

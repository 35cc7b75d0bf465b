"""The few-shot segmentor: one shared backbone for query and supports, then matching."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import SampleList
from torch import Tensor, cat, channels_last, nn, stack
from torch.func import functional_call
from torch.nn.functional import pad

from ...utils.checks import whole_number
from ..adaptation.adapter import Adapter, Features, Shot, adapt, matched
from ..backbones.contract import check_size, checked_maps
from ..decision import margins
from ..decode_heads.matching_head import MatchingHead, State
from ..positional_debiasing import Encoder
from ..query_views import MERGED, QueryViews, build_views, merged_logits
from ..refiners import Refiner
from ..unused import PROBE_SIZE, freeze_unused, summary, untouched

IGNORE = 255


@MODELS.register_module()
class FewShotEncoderDecoder(EncoderDecoder):
    """Encodes query and supports with one backbone and matches them in the head.

    ``inputs`` is what :class:`FewShotDataPreProcessor` gives: ``query`` (B,3,H,W) float
    (for prediction also a list of B tensors (3,H_b,W_b)), ``support`` (B,K,3,h,w) float
    and ``support_mask`` (B,K,h,w) integer in {0, 1, 255}; where supports differ in size,
    B lists of K tensors each.

    Parameters of the backbone that the matched features do not depend on, as of stages
    behind them, are frozen (``requires_grad=False``), so that several processes need no
    ``find_unused_parameters``.

    Attributes:
        with_baseline: When True, :meth:`predict` also stores the first guess, as
            ``baseline_sem_seg``. Off by default: it is for pictures.
        adapter: Learns from the supports of each episode before it is predicted; None
            for none.
        refiner: Changes probabilities by the image before they are decided; None for
            none.
        tta: Views of a query that are matched beside it; None for none.
        stride: Pixels of a cell of the features, with ``size_divisor``; else None.

    Args:
        size_divisor: For backbones that take multiples of some pixels only (of a
            transformer's patch, say): :meth:`encode` pads images to a multiple at the
            right and the bottom, by 0 after normalisation, and cuts cells of padding
            alone off the features. Masks are padded likewise and logits cut, so nothing
            is stretched. None for backbones that take any size, as the published one.
        adapter: Config of an :class:`Adapter`.
        refiner: Config of a :class:`Refiner`.
        tta: Arguments of :class:`mmssp.models.query_views.QueryViews`: flip and
            multi-scale testing.
        **kwargs: As :class:`mmseg.models.segmentors.EncoderDecoder`; ``decode_head``
            must be a :class:`MatchingHead` such as :class:`SSPHead`.

    Raises:
        ValueError: If an auxiliary head is configured, the head cannot match, or the
            backbone's stride does not divide ``size_divisor``.
    """

    def __init__(
        self,
        size_divisor: int | None = None,
        adapter: dict[str, Any] | None = None,
        refiner: dict[str, Any] | None = None,
        tta: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.with_auxiliary_head:
            raise ValueError(
                'auxiliary_head: FewShotEncoderDecoder has none; add losses to '
                'decode_head.loss_decode instead'
            )
        if not isinstance(self.decode_head, MatchingHead):
            raise ValueError(
                f'decode_head is a {type(self.decode_head).__name__}, which is no '
                "MatchingHead; use a few-shot head, e.g. dict(type='SSPHead', "
                'in_channels=…)'
            )
        self.with_baseline = False
        self.adapter: Adapter | None = MODELS.build(adapter) if adapter else None
        self.refiner: Refiner | None = MODELS.build(refiner) if refiner else None
        self.tta: QueryViews | None = build_views(tta)
        self.size_divisor = size_divisor
        self.stride: int | None = None
        self._cell: int | None = None
        self.decode_head.attach(Encoder(self.encode_constant, self._encoder_tensors))
        side = PROBE_SIZE
        if size_divisor is not None:
            side = _next_multiple(side, whole_number('size_divisor', size_divisor, 1))
            self.stride = self._find_stride(side)
        parts = ['backbone', 'neck'] if self.with_neck else ['backbone']
        unused = freeze_unused(self, self.encode, parts, side)
        if unused:
            print_log(
                f'frozen, as no feature that is matched depends on it: {summary(unused)}',
                'current',
            )

    def _find_stride(self, side: int) -> int:
        """Tried on a small image: how many pixels a cell of the features has."""
        first = next(self.parameters())
        image = torch.zeros(1, 3, side, side, dtype=first.dtype, device=first.device)
        with untouched(self), torch.no_grad():
            features = self.decode_head.select_features(self.extract_feat(image))
        cells = features.shape[-1]
        if features.shape[-2] != cells or side % cells:
            raise ValueError(
                f'size_divisor={self.size_divisor}: an image of {side}x{side} pixels '
                f'becomes {features.shape[-1]}x{features.shape[-2]} cells; expected a '
                'number that divides its side: choose a multiple of the stride'
            )
        if self.size_divisor is None or self.size_divisor % (side // cells):
            raise ValueError(
                f'size_divisor={self.size_divisor}: expected a multiple of the stride of '
                f'the features, {side // cells} pixels'
            )
        return side // cells

    def encode(self, image: Tensor) -> Tensor:
        """Features of images, as the head matches them.

        Args:
            image: (B,3,H,W) float, normalised, of any size.

        Returns:
            (B,C,h,w); with ``size_divisor``, h = ceil(H / stride) and likewise w.
        """
        features: Tensor = self.decode_head.select_features(self.levels(image))
        return features.contiguous()

    @torch.no_grad()
    def encode_constant(self, size: Sequence[int]) -> Tensor:
        """Features of an image that is the same everywhere: what they tell of the place.

        Args:
            size: (h, w) cells.

        Returns:
            (1,C,h,w), in eval mode, of zeros after normalisation.
        """
        first = next(self.parameters())

        def encoded(height: int, width: int) -> Tensor:
            return self.encode(first.new_zeros(1, 3, height, width))

        with untouched(self):
            if self._cell is None:
                side = _next_multiple(4 * PROBE_SIZE, self.size_divisor or 1)
                self._cell = round(side / encoded(side, side).shape[-1])
            height, width = size
            return encoded(height * self._cell, width * self._cell)

    def _encoder_tensors(self) -> Iterator[Tensor]:
        for part in (self.backbone, *([self.neck] if self.with_neck else [])):
            yield from part.parameters()
            yield from part.buffers()

    def levels(
        self, image: Tensor, parameters: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """All maps that the backbone, or the neck behind it, gives of images.

        Args:
            image: (B,3,H,W) float, normalised, of any size.
            parameters: By name (``backbone.…``, ``neck.…``), in the place of the model's
                own; other names count for nothing.

        Returns:
            (B,C_i,h_i,w_i), in the model's order; with ``size_divisor`` without the cells
            of padding.
        """
        size = image.shape[-2:]
        if self.size_divisor is not None:
            image = _padded(
                image, [_next_multiple(side, self.size_divisor) for side in size], 0
            )
        if image.device.type == 'cpu':
            # a fifth faster there
            image = image.contiguous(memory_format=channels_last)
        check_size(self.backbone, image.shape[-2:])
        maps: Sequence[Tensor]
        if parameters is None:
            maps = self.extract_feat(image)
        else:
            maps = _called(self.backbone, 'backbone.', parameters, image)
            if self.with_neck:
                maps = _called(self.neck, 'neck.', parameters, maps)
        maps = checked_maps(self.backbone, maps)
        if self.stride is None:
            return tuple(maps)
        kept = self.covered(size)
        return tuple(
            m[
                ...,
                : -(-kept[0] * m.shape[-2] // image.shape[-2]),
                : -(-kept[1] * m.shape[-1] // image.shape[-1]),
            ]
            for m in maps
        )

    def covered(self, size: Sequence[int]) -> tuple[int, int]:
        """Pixels (H', W') that the features of an image of ``size`` (H, W) stand for.

        That is the image, or, with ``size_divisor``, whole cells.
        """
        height, width = size
        if self.stride is None:
            return height, width
        return _next_multiple(height, self.stride), _next_multiple(width, self.stride)

    def fit_mask(self, mask: Tensor) -> Tensor:
        """A mask (…,H,W) as large as what its image's features cover; 255 is added."""
        return _padded(mask, self.covered(mask.shape[-2:]), IGNORE)

    def shot_state(self, features: Tensor, mask: Tensor) -> State:
        """The head's state of labelled images.

        Args:
            features: (N,C,h,w), from :meth:`encode`.
            mask: (N,H,W) integer in {0, 1, 255}, of the images as they were encoded.
        """
        return self.decode_head.shot_state(features, self.fit_mask(mask))

    def logits_at(self, logits: Tensor, size: Sequence[int]) -> Tensor:
        """Logits of features at the size of the image that was encoded.

        Args:
            logits: (N,2,h,w), or of that size already.
            size: (H, W) of the image.

        Returns:
            (N,2,H,W).
        """
        height, width = size
        if logits.shape[-2:] == (height, width):
            return logits
        logits = self.decode_head.upsample(logits, self.covered(size))
        return logits[..., :height, :width]

    def encode_episodes(
        self, query: Tensor, support: Tensor | list[list[Tensor]]
    ) -> tuple[Tensor, Tensor | list[list[Tensor]]]:
        """Features of queries and supports, in one backbone pass where sizes allow.

        Args:
            query: (B,3,H,W).
            support: (B,K,3,h,w), or B lists of K tensors (3,h_k,w_k).

        Returns:
            (B,C,H',W') and (B,K,C,h',w'), or B lists of K tensors.
        """
        if not isinstance(support, Tensor):
            return self.encode(query), [
                [self.encode(shot[None])[0] for shot in episode] for episode in support
            ]
        episodes = support.shape[:2]
        shots = support.flatten(0, 1)
        if shots.shape[1:] == query.shape[1:]:
            features = self.encode(cat([query, shots]))
            query_features, shots = features[: len(query)], features[len(query) :]
        else:
            query_features, shots = self.encode(query), self.encode(shots)
        return query_features, shots.unflatten(0, episodes)

    def loss(
        self, inputs: dict[str, Any], data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Losses of a batch of episodes.

        Args:
            inputs: See the class.
            data_samples: B samples whose ``gt_sem_seg.data`` is (1,H,W) in {0, 1, 255}
                at the query's input size.

        Returns:
            What the head's ``loss`` gives.
        """
        if not isinstance(inputs['query'], Tensor):
            sizes = sorted({tuple(image.shape[-2:]) for image in inputs['query']})
            raise ValueError(
                f'query images of one training batch differ in size ({sizes}): crop or '
                'resize them to one size in the pipeline, or train with batch_size=1'
            )
        query, support = self.encode_episodes(inputs['query'], inputs['support'])
        truth = stack([sample.gt_sem_seg.data[0] for sample in data_samples])
        return self.decode_head.loss(
            query,
            support,
            self.fit_mask(truth),
            self._fit_masks(inputs['support_mask']),
        )

    def _fit_masks(
        self, masks: Tensor | list[list[Tensor]]
    ) -> Tensor | list[list[Tensor]]:
        if isinstance(masks, Tensor):
            return self.fit_mask(masks)
        return [[self.fit_mask(mask) for mask in episode] for episode in masks]

    def predict(
        self, inputs: dict[str, Any], data_samples: SampleList | None = None
    ) -> SampleList:
        """Masks of the queries.

        Images are encoded one by one, so that a prediction does not depend, by rounding,
        on what else is in the batch.

        Args:
            inputs: See the class.
            data_samples: B samples; None gives new ones at the queries' input size. See
                :meth:`postprocess_result` for the size of the masks.

        Returns:
            The samples with ``seg_logits.data`` (2,H,W) and ``pred_sem_seg.data``
            (1,H,W) in {0, 1}, and ``baseline_sem_seg`` if :attr:`with_baseline`.
        """
        if data_samples is None:
            data_samples = [SegDataSample() for _ in inputs['query']]
        episodes = zip(
            inputs['query'],
            inputs['support'],
            inputs['support_mask'],
            data_samples,
            strict=True,
        )
        for image, support, mask, sample in episodes:
            shots = [Shot(*shot) for shot in zip(support, mask, strict=True)]
            name = str(sample.get('class_name', 'object'))
            logits = self._match_one(image[None], shots, name)
            self.add_predictions([sample], logits, image.shape[-2:], image)
        return data_samples

    def _match_one(
        self, image: Tensor, shots: Sequence[Shot], name: str
    ) -> dict[str, Tensor]:
        """Logits (1,2,h,w) of a query (1,3,H,W) by its supports."""
        head: MatchingHead = self.decode_head
        state: State | None = None
        if self.adapter is not None:
            state = adapt(self.adapter, self, {name: shots})[name]
        support = head.combine(
            [
                self.shot_state(
                    matched(self.adapted_features(shot.image[None], state)),
                    shot.mask[None],
                )
                for shot in shots
            ]
        )
        views = self.query_views(image)
        logits = [
            self.match_adapted(self.adapted_features(view, state), support, state)
            for view in views
        ]
        return self.of_views(logits, [view.shape[-2:] for view in views], image.shape)

    def query_views(self, image: Tensor) -> list[Tensor]:
        """What is matched of a query: itself, or the views of :attr:`tta`.

        Args:
            image: (B,3,H,W) float, normalised.
        """
        return [image] if self.tta is None else self.tta.of(image)

    def of_views(
        self,
        logits: Sequence[dict[str, Tensor]],
        sizes: Sequence[Sequence[int]],
        size: Sequence[int],
    ) -> dict[str, Tensor]:
        """Logits of a query from those of its views.

        Args:
            logits: Of each view, (N,2,h,w) by kind.
            sizes: (H, W) of each view.
            size: (…, H, W) of the query.

        Returns:
            Of the query alone, its logits as they are; of other views, ``baseline`` and
            ``final``, (N,2,H,W).
        """
        if self.tta is None or [tuple(seen) for seen in sizes] == [tuple(size[-2:])]:
            return logits[0]
        wide = [
            {
                kind: self.logits_at(maps.float(), seen)
                for kind, maps in own.items()
                if kind in MERGED
            }
            for own, seen in zip(logits, sizes, strict=True)
        ]
        return merged_logits(self.tta, wide, size[-2:])

    def adapted_features(self, image: Tensor, state: State | None) -> Features:
        """As :meth:`encode`, in the space of what was adapted to a class.

        Args:
            image: (B,3,H,W) float, normalised.
            state: From :func:`adapt`; None, or an empty one, for features as they are.
        """
        if self.adapter is None or not state:
            return self.encode(image)
        return self.adapter.encode(self, image, state)

    def match_adapted(
        self, features: Features, support: State, state: State | None
    ) -> dict[str, Tensor]:
        """As the head's ``match_state``, by what was adapted to a class if anything was.

        Args:
            features: Of queries, from :meth:`adapted_features`.
            support: From the head's ``combine``.
            state: From :func:`adapt`, or None.
        """
        if self.adapter is None or not state:
            head: MatchingHead = self.decode_head
            return head.match_state(head.prepare(matched(features)), support)
        return self.adapter.match(self, features, support, state)

    def add_predictions(
        self,
        samples: SampleList,
        logits: dict[str, Tensor],
        size: Sequence[int],
        image: Tensor | None = None,
    ) -> None:
        """Put the masks of episodes with one query into their samples.

        Args:
            samples: N; each gets what :meth:`predict` gives.
            logits: Of the head's ``match``, (N,2,h,w) each.
            size: (H, W) of the query as it was encoded.
            image: (3,H,W) float, normalised, for the refiner; not needed without one.

        Raises:
            ValueError: If there is a refiner, and no image for it.
        """
        final = self.logits_at(logits['final'], size)
        images = None
        if self.refiner is not None:
            if image is None:
                raise ValueError('add_predictions: expected the image for the refiner')
            images = self.data_preprocessor.denormalise(image)[None]
            images = images.expand(len(samples), -1, -1, -1)
        self.postprocess_result(final, samples, images)
        if self.with_baseline:
            first = self.logits_at(logits['baseline'], size)
            guesses = [SegDataSample(metainfo=sample.metainfo) for sample in samples]
            self.postprocess_result(first, guesses)
            for sample, guess in zip(samples, guesses, strict=True):
                sample.baseline_sem_seg = guess.pred_sem_seg

    def postprocess_result(
        self,
        seg_logits: Tensor,
        data_samples: SampleList,
        images: Tensor | None = None,
    ) -> SampleList:
        """Resize logits to where they are scored, and decide.

        By a sample's metainfo that is ``score_shape`` (H, W) if there is one; else, with
        ``canvas_shape``, that square, cut to ``ori_shape``: the query was the top left
        part of a square; else ``ori_shape``. Without metainfo, the size of the logits. A
        flipped query is flipped back.

        Args:
            seg_logits: (B,2,H,W), background first.
            data_samples: B samples.
            images: (B,3,H,W) uint8 RGB of the queries, for the refiner; they are resized
                like the logits. Without them nothing is refined.

        Returns:
            The samples with ``seg_logits``, unrefined, and ``pred_sem_seg``.
        """
        for i, (logits, sample) in enumerate(
            zip(seg_logits, data_samples, strict=True)
        ):
            logits = self._where_scored(logits, sample)
            image = None
            if self.refiner is not None and images is not None:
                seen = self._where_scored(images[i].float(), sample).round()
                image = seen.clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
                image = np.ascontiguousarray(image)
            margin = margins(logits[None], self.refiner, image)
            sample.seg_logits = PixelData(data=logits)
            sample.pred_sem_seg = PixelData(data=(margin > 0).long())
        return data_samples

    def _where_scored(self, maps: Tensor, sample: SegDataSample) -> Tensor:
        """Maps (C,H,W) of the query as it was encoded, as its truth lies."""
        shape = tuple(maps.shape[-2:])
        if sample.get('flip'):
            maps = maps.flip(FLIPPED[sample.flip_direction])
        kept = sample.get('score_shape') or sample.get('ori_shape') or shape
        wanted = kept
        if 'score_shape' not in sample and 'canvas_shape' in sample:
            wanted = sample.canvas_shape
        if tuple(wanted) != shape:
            maps = self.decode_head.upsample(maps[None], wanted)[0]
        return maps[:, : kept[0], : kept[1]]

    def _forward(
        self, inputs: dict[str, Any], data_samples: SampleList | None = None
    ) -> Tensor:
        """Final logits (B,2,H,W) at the query's input size, of the query as it is."""
        query, support = self.encode_episodes(inputs['query'], inputs['support'])
        masks = self._fit_masks(inputs['support_mask'])
        final = self.decode_head.match(query, support, masks)['final']
        return self.logits_at(final, inputs['query'].shape[-2:])


def _called(
    module: nn.Module, prefix: str, parameters: Mapping[str, Tensor], inputs: Any
) -> Any:
    """What a module gives with other parameters, those whose names begin so."""
    own = {n[len(prefix) :]: v for n, v in parameters.items() if n.startswith(prefix)}
    return functional_call(module, own, (inputs,))


FLIPPED = {'horizontal': (-1,), 'vertical': (-2,), 'diagonal': (-2, -1)}
"""Dimensions that mmcv's RandomFlip turns round, by direction."""


def _next_multiple(number: int, divisor: int) -> int:
    return -(-number // divisor) * divisor


def _padded(maps: Tensor, size: Sequence[int], value: float) -> Tensor:
    """Maps (…,H,W) with a value added at the right and the bottom, up to ``size``."""
    height, width = maps.shape[-2:]
    if (height, width) == tuple(size):
        return maps
    return pad(maps, (0, size[1] - width, 0, size[0] - height), value=value)

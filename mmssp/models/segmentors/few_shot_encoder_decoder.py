"""The few-shot segmentor: one shared backbone for query and supports, then matching."""

from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import SampleList
from torch import Tensor, cat, channels_last, stack

from ..unused import freeze_unused, summary


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

    Args:
        **kwargs: As :class:`mmseg.models.segmentors.EncoderDecoder`; ``decode_head``
            must be a matching head such as :class:`SSPHead`.

    Raises:
        ValueError: If an auxiliary head is configured, or the head cannot match.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.with_auxiliary_head:
            raise ValueError(
                'auxiliary_head: FewShotEncoderDecoder has none; add losses to '
                'decode_head.loss_decode instead'
            )
        if not hasattr(self.decode_head, 'match'):
            raise ValueError(
                f'decode_head is a {type(self.decode_head).__name__}, which has no '
                "match(); use a few-shot head, e.g. dict(type='SSPHead', in_channels=…)"
            )
        self.with_baseline = False
        parts = ['backbone', 'neck'] if self.with_neck else ['backbone']
        unused = freeze_unused(self, self.encode, parts)
        if unused:
            print_log(
                f'frozen, as no feature that is matched depends on it: {summary(unused)}',
                'current',
            )

    def encode(self, image: Tensor) -> Tensor:
        """Features of images, as the head matches them.

        Args:
            image: (B,3,H,W) float, normalised.

        Returns:
            (B,C,h,w).
        """
        if image.device.type == 'cpu':
            # a fifth faster there
            image = image.contiguous(memory_format=channels_last)
        features = self.decode_head.select_features(self.extract_feat(image))
        return features.contiguous()

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
        return self.decode_head.loss(query, support, truth, inputs['support_mask'])

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
            query = self.encode(image[None])
            shots = [self.encode(shot[None])[0] for shot in support]
            logits = self.decode_head.match(query, [shots], [list(mask)])
            self.add_prediction(sample, logits, image.shape[-2:])
        return data_samples

    def add_prediction(
        self, sample: SegDataSample, logits: dict[str, Tensor], size: Sequence[int]
    ) -> None:
        """Put the mask of one query into its sample.

        Args:
            sample: Gets what :meth:`predict` gives.
            logits: Of the head's ``match``, (1,2,h,w) each.
            size: (H, W) of the query as it was encoded.
        """
        final = self.decode_head.upsample(logits['final'], size)
        self.postprocess_result(final, [sample])
        if self.with_baseline:
            first = self.decode_head.upsample(logits['baseline'], size)
            guess = SegDataSample(metainfo=sample.metainfo)
            self.postprocess_result(first, [guess])
            sample.baseline_sem_seg = guess.pred_sem_seg

    def postprocess_result(
        self, seg_logits: Tensor, data_samples: SampleList
    ) -> SampleList:
        """Resize logits to where they are scored, and decide.

        By a sample's metainfo that is ``score_shape`` (H, W) if there is one; else, with
        ``canvas_shape``, that square, cut to ``ori_shape``: the query was the top left
        part of a square; else ``ori_shape``. Without metainfo, the size of the logits. A
        flipped query is flipped back.

        Args:
            seg_logits: (B,2,H,W), background first.
            data_samples: B samples.

        Returns:
            The samples with ``seg_logits`` and ``pred_sem_seg``.
        """
        for logits, sample in zip(seg_logits, data_samples, strict=True):
            shape = tuple(logits.shape[-2:])
            if sample.get('flip'):
                dims = [-1] if sample.flip_direction == 'horizontal' else [-2]
                logits = logits.flip(dims)
            kept = sample.get('score_shape') or sample.get('ori_shape') or shape
            wanted = kept
            if 'score_shape' not in sample and 'canvas_shape' in sample:
                wanted = sample.canvas_shape
            if tuple(wanted) != shape:
                logits = self.decode_head.upsample(logits[None], wanted)[0]
            logits = logits[:, : kept[0], : kept[1]]
            sample.seg_logits = PixelData(data=logits)
            # argmax, which is slow over so short a dimension on a CPU
            sample.pred_sem_seg = PixelData(data=(logits[1:] > logits[:1]).long())
        return data_samples

    def _forward(
        self, inputs: dict[str, Any], data_samples: SampleList | None = None
    ) -> Tensor:
        """Final logits (B,2,H,W) at the query's input size."""
        query, support = self.encode_episodes(inputs['query'], inputs['support'])
        final = self.decode_head.match(query, support, inputs['support_mask'])['final']
        return self.decode_head.upsample(final, inputs['query'].shape[-2:])

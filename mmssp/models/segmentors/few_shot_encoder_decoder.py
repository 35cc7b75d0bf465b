"""The few-shot segmentor: one shared backbone for query and supports, then matching."""

from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import SampleList
from torch import Tensor, cat, stack


@MODELS.register_module()
class FewShotEncoderDecoder(EncoderDecoder):
    """Encodes query and supports with one backbone and matches them in the head.

    ``inputs`` is what :class:`FewShotDataPreProcessor` gives: ``query`` (B,3,H,W) float
    (for prediction also a list of B tensors (3,H_b,W_b)), ``support`` (B,K,3,h,w) float
    and ``support_mask`` (B,K,h,w) integer in {0, 1, 255}; where supports differ in size,
    B lists of K tensors each.

    Attributes:
        with_baseline: When True, :meth:`predict` also stores the first guess, as
            ``baseline_sem_seg``. Off by default: it is for pictures.

    Args:
        **kwargs: As :class:`mmseg.models.segmentors.EncoderDecoder`; ``decode_head``
            must be a matching head such as :class:`SSPHead`.

    Raises:
        ValueError: If an auxiliary head is configured, or the head cannot match.
    """

    def __init__(self, **kwargs) -> None:
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

    def encode(self, image: Tensor) -> Tensor:
        """Features of images, as the head matches them.

        Args:
            image: (B,3,H,W) float, normalised.

        Returns:
            (B,C,h,w).
        """
        return self.decode_head.select_features(self.extract_feat(image))

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

    def loss(self, inputs: dict, data_samples: SampleList) -> dict[str, Tensor]:
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
        self, inputs: dict, data_samples: SampleList | None = None
    ) -> SampleList:
        """Masks of the queries at their original size.

        Args:
            inputs: See the class.
            data_samples: B samples with ``ori_shape`` in their metainfo; None gives new
                samples at the queries' input size.

        Returns:
            The samples with ``seg_logits.data`` (2,H,W) and ``pred_sem_seg.data``
            (1,H,W) in {0, 1}, and ``baseline_sem_seg`` if :attr:`with_baseline`.
        """
        if isinstance(inputs['query'], Tensor):
            return self._predict(inputs, data_samples)
        results = []
        for i, image in enumerate(inputs['query']):
            one = dict(
                query=image[None],
                support=inputs['support'][i : i + 1],
                support_mask=inputs['support_mask'][i : i + 1],
            )
            samples = None if data_samples is None else data_samples[i : i + 1]
            results += self._predict(one, samples)
        return results

    def _predict(self, inputs: dict, data_samples: SampleList | None) -> SampleList:
        size = inputs['query'].shape[-2:]
        logits = self._match(inputs)
        final = self.decode_head.upsample(logits['final'], size)
        results = self.postprocess_result(final, data_samples)
        if self.with_baseline:
            first = self.decode_head.upsample(logits['baseline'], size)
            copies = [SegDataSample(metainfo=sample.metainfo) for sample in results]
            samples = None if data_samples is None else copies
            for sample, guess in zip(
                results, self.postprocess_result(first, samples), strict=True
            ):
                sample.baseline_sem_seg = PixelData(data=guess.pred_sem_seg.data)
        return results

    def _forward(self, inputs: dict, data_samples: SampleList | None = None) -> Tensor:
        """Final logits (B,2,H,W) at the query's input size."""
        final = self._match(inputs)['final']
        return self.decode_head.upsample(final, inputs['query'].shape[-2:])

    def _match(self, inputs: dict) -> dict[str, Tensor]:
        """Logits of each stage at feature size."""
        query, support = self.encode_episodes(inputs['query'], inputs['support'])
        return self.decode_head.match(query, support, inputs['support_mask'])

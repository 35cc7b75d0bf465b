"""From a collated batch of raw episodes to what the model takes."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import ImgDataPreprocessor
from mmseg.registry import MODELS
from torch import Tensor

COLLATE_HINT = "set collate_fn=dict(type='episode_collate') in the dataloader"


@MODELS.register_module()
class FewShotDataPreProcessor(ImgDataPreprocessor):
    """Normalises query and support images; stacks what is of one size, pads nothing.

    Padding would change features near the border, so images that differ in size stay
    apart: ``support`` and ``support_mask`` become B lists of K tensors, ``query`` a list.

    Args:
        mean: Pixel mean of the channels, after the conversion below; raw range [0, 255].
        std: Pixel standard deviation of the channels.
        bgr_to_rgb: Reverse the channels (mmcv loads BGR).
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        bgr_to_rgb: bool = False,
    ) -> None:
        super().__init__(mean=mean, std=std, bgr_to_rgb=bgr_to_rgb)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Move to the device, convert, normalise, stack.

        Args:
            data: ``inputs`` of ``query`` (B × (3,H,W) uint8), ``support`` (B × K ×
                (3,h,w) uint8) and ``support_mask`` (B × K × (h,w) uint8 in {0, 1, 255}),
                as lists or stacked tensors, and ``data_samples``.
            training: Unused; the same is done in training and testing.

        Returns:
            ``inputs`` of ``query`` (B,3,H,W) float32, ``support`` (B,K,3,h,w) float32,
            ``support_mask`` (B,K,h,w) uint8, lists instead where sizes differ, and
            ``data_samples``.

        Raises:
            ValueError: If the batch was collated by something else than
                :func:`episode_collate`.
        """
        data = self.cast_data(data)
        inputs = data['inputs']
        _check(inputs)
        query = _stack(list(inputs['query']))
        if isinstance(query, Tensor):
            query = self.normalise(query)
        else:
            query = [self.normalise(image) for image in query]
        support = _stack_nested(inputs['support'])
        support_mask = _stack_nested(inputs['support_mask'])
        if isinstance(support, Tensor):
            support = self.normalise(support)
        else:
            support = [
                [self.normalise(shot) for shot in episode] for episode in support
            ]
        return dict(
            inputs=dict(query=query, support=support, support_mask=support_mask),
            data_samples=data.get('data_samples'),
        )

    def normalise(self, image: Tensor) -> Tensor:
        """An image as the backbone takes it.

        Args:
            image: (...,3,H,W) raw, on the model's device.

        Returns:
            The same shape, float32.
        """
        if self._channel_conversion:
            image = image.flip(-3)
        image = image.float()
        if self._enable_normalize:
            image = (image - self.mean) / self.std
        return image

    def denormalise(self, image: Tensor) -> Tensor:
        """The image that :meth:`normalise` made something of.

        Args:
            image: (...,3,H,W) float, normalised.

        Returns:
            The same shape, uint8, RGB.
        """
        if self._enable_normalize:
            image = image * self.std + self.mean
        if not self._channel_conversion:
            # BGR, as mmcv loads it
            image = image.flip(-3)
        return image.round().clamp(0, 255).byte()


def _check(inputs: object) -> None:
    if not isinstance(inputs, dict) or not {'query', 'support', 'support_mask'} <= set(
        inputs
    ):
        found = sorted(inputs) if isinstance(inputs, dict) else type(inputs).__name__
        raise ValueError(
            'inputs: expected a dict of query, support and support_mask, found '
            f'{found}: use EpisodicDataset and {COLLATE_HINT}'
        )
    # mmengine's default collate function turns B episodes × K supports into K × B
    # tuples, silently wrong where B equals K
    episodes = len(inputs['query'])
    for name in ('support', 'support_mask'):
        nested = inputs[name]
        if len(nested) != episodes or isinstance(nested[0], tuple):
            raise ValueError(
                f'{name}: expected {episodes} lists of shots, one for each query, found '
                f'{len(nested)} × {type(nested[0]).__name__}: {COLLATE_HINT}'
            )


def _stack(images: list[Tensor]) -> Tensor | list[Tensor]:
    return (
        torch.stack(images) if len({image.shape for image in images}) == 1 else images
    )


def _stack_nested(
    nested: Sequence[Sequence[Tensor]],
) -> Tensor | list[list[Tensor]]:
    if isinstance(nested, Tensor):
        return nested
    episodes = [list(episode) for episode in nested]
    shapes = {image.shape for episode in episodes for image in episode}
    if len(shapes) == 1 and len({len(episode) for episode in episodes}) == 1:
        return torch.stack([torch.stack(episode) for episode in episodes])
    return episodes

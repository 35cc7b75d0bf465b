"""Heads, backbones and adapters that use all that the segmentor offers."""

import numpy as np
import torch
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from mmssp.models import Adapter, MatchingHead, Refiner, Shot
from mmssp.models.decode_heads import full_precision
from mmssp.models.prototypes import mask_prototypes, mask_weights


@MODELS.register_module(force=True)
class TokenHead(MatchingHead):
    """Each query pixel is what the support pixel is that it is most like.

    A state has a token for each pixel of a support image, so its size is the image's, and
    shots are put side by side.
    """

    @full_precision
    def shot_state(self, features: Tensor, mask: Tensor) -> dict[str, Tensor]:
        foreground = mask_weights((mask == 1).to(features.dtype), features.shape[-2:])
        return dict(
            tokens=normalize(features.flatten(2), dim=1),
            foreground=foreground.flatten(1),
        )

    def combine(self, shots):
        return {name: torch.cat([s[name] for s in shots], dim=-1) for name in shots[0]}

    @full_precision
    def prepare(self, query_features: Tensor) -> dict[str, Tensor]:
        """Not the features alone, so that forgetting to prepare is noticed."""
        return dict(unit=normalize(query_features, dim=1))

    @full_precision
    def match_state(self, query, state):
        unit = (
            self.prepare(query)['unit'] if isinstance(query, Tensor) else query['unit']
        )
        cosines = torch.einsum('bcn,bchw->bnhw', state['tokens'], unit)
        share = state['foreground'][..., None, None]
        sides = [cosines - 2 * share, cosines - 2 * (1 - share)]
        logits = 10 * torch.stack([side.amax(1) for side in sides], dim=1)
        return dict.fromkeys(('final', 'stage1', 'baseline'), logits)


@MODELS.register_module(force=True)
class ScaledHead(MatchingHead):
    """Distance to prototypes with learned weights of the channels."""

    def __init__(self, in_channels: int, **kwargs) -> None:
        super().__init__(in_channels, **kwargs)
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, in_channels))

    @full_precision
    def shot_state(self, features, mask):
        return mask_prototypes(features * self.weight[:, None, None], mask)

    @full_precision
    def match_state(self, query, state):
        query = query * self.weight[:, None, None]
        logits = -torch.stack(
            [
                (query - state[side][..., None, None]).square().mean(1)
                for side in ('background', 'foreground')
            ],
            dim=1,
        )
        return dict.fromkeys(('final', 'stage1', 'baseline'), logits)


@MODELS.register_module(force=True)
class PatchBackbone14(nn.Module):
    """Patches of 14 pixels, each seen by itself, as transformers begin.

    Args:
        floors: Leave out what is no whole patch; else that is an error.
    """

    def __init__(self, channels: int = 8, floors: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 14, stride=14)
        self.floors = floors

    def forward(self, image: Tensor) -> tuple[Tensor]:
        height, width = image.shape[-2:]
        if not self.floors and (height % 14 or width % 14):
            raise AssertionError(f'{height}x{width} is no multiple of 14')
        return (self.conv(image),)


@MODELS.register_module(force=True)
class Pyramid32(nn.Module):
    """Takes multiples of 32 and gives cells of 8, as hierarchical transformers do."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 8, stride=8)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        assert image.shape[-2] % 32 == image.shape[-1] % 32 == 0
        return (self.conv(image),)


@MODELS.register_module(force=True)
class ChannelAdapter(Adapter):
    """Learns a weight of each channel by which the shots' own masks are found.

    Args:
        steps: Of gradient descent.
        spoils: Names what it does that it must not: ``'parameter'`` or ``'buffer'``.
        seed: See :class:`Adapter`.
    """

    def __init__(self, steps: int = 5, spoils: str = '', seed: int = 0) -> None:
        super().__init__(seed)
        self.steps = steps
        self.spoils = spoils

    def __repr__(self) -> str:
        return f'ChannelAdapter(steps={self.steps})'

    def adapt(self, model, shots, budget=None, before=None):
        assert not any(p.requires_grad for p in model.parameters())
        assert not model.training
        if self.spoils == 'parameter':
            model.backbone.conv.weight.add_(1)
        if self.spoils == 'buffer':
            model.data_preprocessor.mean.add_(1)
        return {
            name: dict(weight=self._learn(model, own)) for name, own in shots.items()
        }

    def _learn(self, model, shots: list[Shot]) -> Tensor:
        features = [model.encode(shot.image[None]) for shot in shots]
        channels = features[0].shape[1]
        weight = torch.ones(channels) + 0.1 * torch.rand(channels)
        weight.requires_grad_()
        optimizer = torch.optim.SGD([weight], lr=1.0)
        for _ in range(self.steps):
            loss = sum(
                self._loss(model, own * weight[:, None, None], shot.mask)
                for own, shot in zip(features, shots, strict=True)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return weight[None]

    def _loss(self, model, features: Tensor, mask: Tensor) -> Tensor:
        head = model.decode_head
        logits = head.match_state(features, model.shot_state(features, mask[None]))
        logits = model.logits_at(logits['final'], mask.shape)
        return cross_entropy(logits, mask[None].long(), ignore_index=255)

    def encode(self, model, image, state):
        return model.encode(image) * state['weight'][..., None, None]


@MODELS.register_module(force=True)
class RedRefiner(Refiner):
    """Believes a pixel more the redder it is: what is found depends on image and place.

    Args:
        gives: ``'another shape'`` or ``'NaN'`` for what a refiner must not give.
    """

    def __init__(self, gives: str = '') -> None:
        self.gives = gives

    def __repr__(self) -> str:
        return 'RedRefiner()'

    def refine(self, image: np.ndarray, probability: np.ndarray) -> np.ndarray:
        assert image.dtype == np.uint8 and image.shape[2] == 3
        assert probability.shape[1:] == image.shape[:2]
        if self.gives == 'another shape':
            return probability[:, :-1]
        if self.gives == 'NaN':
            return probability * np.nan
        red = image[..., 0].astype(np.float32) - image[..., 1:].mean(-1)
        return probability + red / 255


@MODELS.register_module(force=True)
class TwoLevels(nn.Module):
    """Two levels, of stride 4 and 16, of which the second comes of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Conv2d(3, 8, 4, stride=4)
        self.late = nn.Conv2d(8, 16, 4, stride=4)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.early(image)
        return fine, self.late(fine.relu())


@MODELS.register_module(force=True)
class PlacedBackbone(nn.Module):
    """Patches of 8 pixels that know where they are, as transformers do.

    Args:
        channels: Of the features.
        strength: Of what is added for the row and the column.
    """

    def __init__(self, channels: int = 8, strength: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 8, stride=8)
        self.place = nn.Parameter(strength * torch.randn(channels, 2))

    def forward(self, image: Tensor) -> tuple[Tensor]:
        found = self.conv(image)
        row, column = (torch.linspace(-1, 1, size) for size in found.shape[-2:])
        by_row, by_column = self.place.T[..., None, None]
        return (found + by_row * row[:, None] + by_column * column,)

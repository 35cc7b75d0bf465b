"""What features tell of the place alone, projected off where two images are compared."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from mmseg.registry import MODELS
from torch import Tensor

from ..utils.checks import flag, number, whole_number

EncodeConstant = Callable[[tuple[int, int]], Tensor]
"""(h, w) cells → features (1,C,h,w) of an image without content."""


class Encoder(NamedTuple):
    """Of images without content, and the tensors that its features depend on."""

    encode: EncodeConstant
    tensors: Callable[[], Iterable[Tensor]]


@MODELS.register_module()
class PositionalDebiasing:
    """Leading directions of the features of a constant image, projected off.

    An image that is the same everywhere has features that differ by place, in vision
    transformers most of all. Between two images that is noise: what is at the left of
    both is no more alike for it. Within one image it tells what belongs together. So it
    is taken away from supports and from the first guess, and self-support sees features
    as they are. Source: "INSID3: Training-Free In-Context Segmentation with DINOv3"
    (arXiv 2603.28480).

    Directions are kept by the size of the features, and made anew when a weight has
    changed. An exporter finds those of a size that was matched before. Features that were
    adapted to a class are freed of the directions of the model as it was.

    Args:
        directions: At most so many; those without part in the constant image's features
            are not counted.
        centred: Whether directions are those of the differences from the mean over the
            image. Else the first is about that mean, which appearance has a part in.
        least: Length of the smallest direction that counts, as a share of all the
            features' length.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self, directions: int = 8, centred: bool = True, least: float = 1e-3
    ) -> None:
        self.directions = whole_number('directions', directions, 1)
        self.centred = flag('centred', centred)
        self.least = number('least', least, 0, 1)
        self.encoder: Encoder | None = None
        self._kept: dict[tuple[object, ...], tuple[tuple[int, ...], Tensor]] = {}

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(directions={self.directions}, '
            f'centred={self.centred}, least={self.least})'
        )

    def removed(self, features: Tensor) -> Tensor:
        """Features without these directions.

        Args:
            features: (N,C,h,w).

        Raises:
            ValueError: If there is no encoder, or it gives features of another size.
        """
        basis = self.basis(features)
        pixels = features.flatten(2)
        return (pixels - basis @ (basis.T @ pixels)).view_as(features)

    def forget(self) -> None:
        """Make directions anew, as where weights were exchanged unnoticed."""
        self._kept.clear()

    @torch.no_grad()
    def basis(self, like: Tensor) -> Tensor:
        """The directions (C,r) for features like these, r ≤ ``directions``."""
        if self.encoder is None:
            raise ValueError(
                'PositionalDebiasing: found no encoder; expected a head that is part of '
                'a FewShotEncoderDecoder, which gives it its own'
            )
        channels, *size = like.shape[1:]
        key = (*size, like.device, like.dtype)
        version = tuple(tensor._version for tensor in self.encoder.tensors())
        kept = self._kept.get(key)
        if kept is None or kept[0] != version:
            height, width = size
            found = self.encoder.encode((height, width))
            if found.shape[1:] != like.shape[1:]:
                raise ValueError(
                    f'PositionalDebiasing: found features {tuple(found.shape[1:])} of a '
                    f'constant image: expected {(channels, *size)}, as those to match'
                )
            kept = version, self._directions(found[0].flatten(1)).to(like)
            if not torch.compiler.is_compiling():
                self._kept[key] = kept
        return kept[1]

    def _directions(self, features: Tensor) -> Tensor:
        """Of features (C,n)."""
        features = features.double()
        varying = features
        if self.centred:
            varying = features - features.mean(1, keepdim=True)
        left, lengths, _ = torch.linalg.svd(varying, full_matrices=False)
        counted = lengths[: self.directions] > self.least * features.norm()
        return left[:, : self.directions][:, counted]

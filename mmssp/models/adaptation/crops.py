"""Random crops of a few labelled images, the way small sets are stretched."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...utils.checks import number, whole_number
from .labelled import Labelled

FOREGROUND_SHARE = 0.7
"""Of crops, that are centred near a pixel of a class."""
ROTATED_SHARE = 0.5
UPSIDE_DOWN_SHARE = 0.3
NEAR = 0.3
"""Of a crop's side: how far from its centre that pixel may be."""


class RandomCrops:
    """Draws crops, scaled, turned, flipped, and of another brightness and contrast.

    Args:
        size: Side in pixels.
        scale: Range of the factor by which images are resized, above 0.
        angle: Largest rotation in degrees, in [0, 180].
        brightness: Largest shift of all values, in their own units after normalisation.
        contrast: Largest change of contrast, in [0, 1).

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        size: int = 256,
        scale: tuple[float, float] = (0.6, 1.6),
        angle: float = 15.0,
        brightness: float = 0.12,
        contrast: float = 0.2,
    ) -> None:
        self.size = whole_number('size', size, 32)
        least, most = (number('scale', value, 0.01, 100) for value in scale)
        if least > most:
            raise ValueError(f'scale={scale!r}: expected the smaller number first')
        self.scale = (least, most)
        self.angle = number('angle', angle, 0, 180)
        self.brightness = number('brightness', brightness, 0, 100)
        self.contrast = number('contrast', contrast, 0, 0.99)

    def draw(
        self,
        images: Sequence[Labelled],
        count: int,
        rng: np.random.Generator,
        shares: np.ndarray | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Crops of images.

        Args:
            images: One or more, of any sizes.
            count: How many.
            rng: Of all chance.
            shares: Of the images, with a sum of 1; None draws them evenly.

        Returns:
            (count,3,size,size) float and (count,N,size,size) uint8 in {0, 1, 255}.
        """
        chosen = rng.choice(len(images), count, p=shares)
        crops = [self._crop(images[int(i)], rng) for i in chosen]
        pixels, masks = zip(*crops, strict=True)
        return torch.stack(pixels), torch.stack(masks)

    def _crop(self, own: Labelled, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        height, width = own.image.shape[-2:]
        scale = math.exp(rng.uniform(*np.log(self.scale)))
        turned = rng.random() < ROTATED_SHARE
        angle = math.radians(rng.uniform(-self.angle, self.angle)) if turned else 0.0
        centre = rng.uniform(0, width), rng.uniform(0, height)
        if rng.random() < FOREGROUND_SHARE:
            centre = self._near_foreground(own.places, scale, rng) or centre
        flips = (
            -1 if rng.random() < 0.5 else 1,
            -1 if rng.random() < UPSIDE_DOWN_SHARE else 1,
        )
        grid = self._grid(centre, scale, angle, flips, (height, width)).to(own.image)
        image = F.grid_sample(
            own.image[None], grid, padding_mode='reflection', align_corners=False
        )[0]
        masks = F.grid_sample(
            own.masks[None].to(image.dtype),
            grid,
            mode='nearest',
            padding_mode='reflection',
            align_corners=False,
        )[0]
        image = image * rng.uniform(1 - self.contrast, 1 + self.contrast)
        image = image + rng.uniform(-self.brightness, self.brightness)
        return image, masks.byte()

    def _near_foreground(
        self, places: Sequence[np.ndarray], scale: float, rng: np.random.Generator
    ) -> tuple[float, float] | None:
        """A point (x, y) near a pixel of a class that the image has, if it has any."""
        if not places:
            return None
        pixels = places[int(rng.integers(len(places)))]
        x, y = pixels[rng.integers(len(pixels))] + 0.5
        near = rng.uniform(-NEAR, NEAR, 2) * self.size / scale
        return float(x + near[0]), float(y + near[1])

    def _grid(
        self,
        centre: tuple[float, float],
        scale: float,
        angle: float,
        flips: tuple[int, int],
        size: tuple[int, int],
    ) -> Tensor:
        """Where each pixel of a crop comes from, (1,size,size,2) in [-1, 1] inside."""
        steps = (torch.arange(self.size) + 0.5 - self.size / 2) / scale
        v, u = torch.meshgrid(steps * flips[1], steps * flips[0], indexing='ij')
        x = centre[0] + u * math.cos(angle) - v * math.sin(angle)
        y = centre[1] + u * math.sin(angle) + v * math.cos(angle)
        return torch.stack([2 * x / size[1] - 1, 2 * y / size[0] - 1], -1)[None]

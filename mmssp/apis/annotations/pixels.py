"""A small mask at a place in an image, as LabelMe stores what its AI tools find."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ...utils.image_io import read_mask
from ..images import check_source
from .shapes import CoversNothing


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels of an object, placed by their upper left corner.

    Attributes:
        mask: (h,w) bool.
        left: Column of the first pixel in the image; may be negative.
        top: Row of it.
    """

    mask: np.ndarray
    left: int
    top: int

    @classmethod
    def from_labelme(
        cls,
        encoded: Any,
        points: np.ndarray,
        scale: tuple[float, float],
        size: tuple[int, int],
    ) -> 'Pixels':
        """Decode LabelMe's shape of the type ``mask``.

        Args:
            encoded: Base64 of an image file; what is not 0 is the object.
            points: (N,2), x and y in pixels; the first is the upper left pixel.
            scale: Factors of x and y to the image's size.
            size: (H,W) of the image: no larger mask is decoded.

        Returns:
            The pixels, at the image's scale.

        Raises:
            ValueError: It is no Base64 of an image, or larger than the image.
        """
        if not isinstance(encoded, str):
            raise ValueError(
                f'"mask" is a {type(encoded).__name__}; expected Base64 of a PNG'
            )
        try:
            content = base64.b64decode(encoded.partition('base64,')[2] or encoded)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f'"mask" is no Base64 of a PNG: {error}') from error
        largest = int(
            np.ceil((size[0] + 1) / scale[1]) * np.ceil((size[1] + 1) / scale[0])
        )
        check_source(content, max_pixels=largest, expected='a mask')
        mask = read_mask(content) > 0
        left, top = (int(v) for v in np.rint(points.min(0) * scale))
        if scale != (1.0, 1.0):
            height, width = (
                max(1, round(side * factor))
                for side, factor in zip(mask.shape, scale[::-1], strict=True)
            )
            small = mask.astype(np.uint8)
            mask = cv2.resize(
                small, (width, height), interpolation=cv2.INTER_NEAREST_EXACT
            ).astype(bool)
        return cls(mask, left, top)

    def draw(self, height: int, width: int) -> np.ndarray:
        """The pixels in the image.

        Args:
            height: Of the image, pixels.
            width: Of the image, pixels.

        Returns:
            (H,W) bool, clipped at the image.

        Raises:
            CoversNothing: Not one pixel.
        """
        drawn = np.zeros((height, width), bool)
        top, left = max(0, self.top), max(0, self.left)
        inside = self.mask[top - self.top :, left - self.left :]
        inside = inside[: max(0, height - top), : max(0, width - left)]
        drawn[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
        if not drawn.any():
            raise CoversNothing(
                f'a mask of {self.mask.shape[1]}x{self.mask.shape[0]} pixels at '
                f'({self.left}, {self.top}) covers no pixel of the image of '
                f'{width}x{height} pixels'
            )
        return drawn

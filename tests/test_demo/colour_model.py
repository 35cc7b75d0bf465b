"""A model that knows colours only, and images for it: stand-ins for the demo page."""

import numpy as np

from mmssp.apis.adapting import Adapted
from mmssp.apis.explanation import Explanation
from mmssp.apis.result import Result

RED = (200, 30, 30)


class ColourInferencer:
    """Finds what has the mean colour of the support; stands in for the real one."""

    threshold = 0.5

    def __init__(self) -> None:
        self.pixels: dict[str, list[np.ndarray]] = {}
        self.passes = 0
        self.learned: dict[str, int] = {}

    def fork(self) -> 'ColourInferencer':
        return ColourInferencer()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.pixels)

    @property
    def colours(self) -> dict[str, np.ndarray]:
        return {n: np.concatenate(own).mean(0) for n, own in self.pixels.items()}

    def add_support(self, image, annotation, name, *, class_value) -> None:
        pixels = image[annotation == class_value]
        if not len(pixels):
            raise ValueError('no foreground pixel')
        self.pixels.setdefault(name, []).append(pixels)

    def remove_support(self, name: str, index: int | None = None) -> None:
        if index is None:
            del self.pixels[name]
        else:
            del self.pixels[name][index]

    def adapt(self, seconds, *, progress) -> dict[str, Adapted]:
        progress(0.5, 'learning')
        self.learned = {name: len(own) for name, own in self.pixels.items()}
        return {name: Adapted(9, seconds, 'decoder', 0.5) for name in self.names}

    def check_support(self, name: str) -> dict:
        return dict(iou=[], warnings=[f'{name}: suspicious'])

    def predict(self, image: np.ndarray) -> Result:
        self.passes += 1
        distances = [abs(image - c).mean(-1) for c in self.colours.values()]
        found = np.stack([np.exp(-d / 30) for d in distances]).astype(np.float32)
        return Result.from_probabilities(
            image=image,
            names=self.names,
            probabilities=found,
            scores={n: float(p.max()) for n, p in zip(self.names, found, strict=True)},
            threshold=self.threshold,
            presence_threshold=0.5,
            doubt=float(1 - found.max()),
            _explain=lambda name: explanation(found[self.names.index(name)]),
        )


def explanation(p: np.ndarray) -> Explanation:
    return Explanation(p / 2, p, p > 0.7, p < 0.3, p, p, 1 - p)


def scene(corner=(10, 20), side=30, size=(90, 120), colour=RED) -> np.ndarray:
    """A grey image (H,W,3) with a square whose upper left pixel is ``corner`` (y,x)."""
    image = np.full((*size, 3), 100, np.uint8)
    y, x = corner
    image[y : y + side, x : x + side] = colour
    return image

"""An inferencer that needs no model: its classes are colours."""

from pathlib import Path

import numpy as np

from mmssp.apis.result import Result

CHANNELS = {'red': 0, 'green': 1, 'blue': 2}


class FakeInferencer:
    """The probability of class 'red' is the image's red, and so on.

    Args:
        names: Of :data:`CHANNELS`.
        fail_on: Images of this width raise RuntimeError.

    Attributes:
        predicted: Number of images so far.
    """

    def __init__(self, names: tuple[str, ...] = ('red',), fail_on: int = -1) -> None:
        self.names = names
        self.fail_on = fail_on
        self.threshold = 0.5
        self.presence_threshold = 0.5
        self.image_size: int | None = 480
        self.tile: int | None = None
        self.predicted = 0

    def save_support(self, path: Path) -> None:
        Path(path).write_text(' '.join(self.names))

    def predict(self, image: np.ndarray, *, threshold: float | None = None) -> Result:
        if image.shape[1] == self.fail_on:
            raise RuntimeError('too wide for me')
        self.predicted += 1
        values = image.astype(np.float32).transpose(2, 0, 1) / 255
        values = values[[CHANNELS[name] for name in self.names]]
        return Result.from_probabilities(
            image=image,
            names=self.names,
            probabilities=values,
            scores={n: float(v.max()) for n, v in zip(self.names, values, strict=True)},
            threshold=self.threshold if threshold is None else threshold,
            presence_threshold=self.presence_threshold,
            doubt=float(values.max()),
        )

    def predict_batch(self, images: list, *, threshold: float | None = None) -> list:
        return [self.predict(image, threshold=threshold) for image in images]

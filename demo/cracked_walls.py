"""Drawn walls with cracks: thin things among stains, which no feature of photos knows."""

from collections.abc import Iterator

import cv2
import numpy as np

SIZE = (360, 480)


def drawn(seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Stained walls (H,W,3) uint8 with cracks, and the cracks' masks in {0, 1}."""
    rng = np.random.default_rng(seed)
    while True:
        wall = sum(
            cv2.resize(
                rng.normal(0, 1, (h, h * 4 // 3)),
                SIZE[::-1],
                interpolation=cv2.INTER_CUBIC,
            )
            * weight
            for h, weight in ((6, 14), (60, 7), (SIZE[0], 5))
        )
        image = (wall + rng.uniform(120, 180))[..., None] * rng.uniform(0.9, 1.1, 3)
        for _ in range(rng.integers(2, 6)):  # stains, which are no cracks
            centre = [int(rng.integers(0, side)) for side in SIZE[::-1]]
            axes = [int(n) for n in rng.integers(8, 40, 2)]
            stain = np.zeros(SIZE, np.float32)
            cv2.ellipse(stain, centre, axes, rng.uniform(0, 180), 0, 360, 1, -1)
            image -= cv2.GaussianBlur(stain, (0, 0), 4)[..., None] * rng.uniform(20, 60)
        mask = np.zeros(SIZE, np.uint8)
        for _ in range(rng.integers(1, 4)):
            cv2.polylines(mask, [crack(rng)], False, 1, int(rng.integers(2, 5)))
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)[..., None]
        image -= soft * rng.uniform(50, 90)
        yield image.clip(0, 255).astype(np.uint8), mask


def crack(rng: np.random.Generator) -> np.ndarray:
    """A line (N,1,2) int32 that wanders through the image."""
    steps = rng.integers(12, 40)
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.45, steps))
    path = np.cumsum(9 * np.stack([np.cos(angle), np.sin(angle)], 1), 0)
    start = rng.uniform(0.2, 0.8, 2) * SIZE[::-1]
    return np.rint(path + start)[:, None].astype(np.int32)

"""Background and camera: what a picture of Shapes-5i begins and ends with."""

import cv2
import numpy as np

from .settings import SceneSettings
from .textures import paint, random_palette, smooth_noise


def paint_background(
    rng: np.random.Generator, height: int, width: int, settings: SceneSettings
) -> tuple[np.ndarray, np.ndarray]:
    """One or two textured surfaces, as of wall and floor.

    Args:
        rng: Source of every choice.
        height: Of the image, pixels.
        width: Of the image, pixels.
        settings: Patterns' periods, contrasts and saturation.

    Returns:
        (H, W, 3) float32 RGB in [0, 1], and its mean colour, (3,).
    """

    def surface() -> np.ndarray:
        palette = random_palette(
            rng, settings.background_contrast, [], 0, settings.background_vividness
        )
        period = rng.uniform(*settings.background_period)
        return paint(rng, (height, width), palette, period)

    canvas = surface()
    if rng.random() < 0.5:
        angle = rng.normal(0, 0.25) + (np.pi / 2 if rng.random() < 0.25 else 0)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        middle = rng.uniform(0.3, 0.7, 2) * (width, height)
        along = (y - middle[1]) * np.cos(angle) - (x - middle[0]) * np.sin(angle)
        along += 25 * rng.random() * (smooth_noise(rng, (height, width), 60, 2) - 0.5)
        side = np.clip(along + 0.5, 0, 1).astype(np.float32)[..., None]
        canvas = canvas * (1 - side) + surface() * side
    return canvas, canvas.mean((0, 1))


def photograph(
    rng: np.random.Generator, canvas: np.ndarray, settings: SceneSettings
) -> np.ndarray:
    """Light, lens, exposure and sensor.

    Args:
        rng: Source of every choice.
        canvas: (H, W, 3) float32 RGB in [0, 1].
        settings: Strength of each.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = canvas.shape[:2]
    strength = rng.uniform(*settings.lighting)
    small = smooth_noise(rng, (height // 8, width // 8), 0.075 * max(height, width))
    light = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    tint = 1 + rng.normal(0, 0.04, 3)
    photo = canvas * (1 + strength * 2 * (light - 0.5))[..., None]
    photo *= tint.astype(np.float32)
    # Automatic exposure: no picture is so dark or bright that its objects are lost.
    photo *= np.float32(np.clip(photo.mean(), 0.32, 0.62) / photo.mean())
    photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(*settings.blur))
    # What cameras leave of their noise is mostly brightness, hardly colour.
    noise = rng.standard_normal((height, width, 1), np.float32)
    photo += np.float32(rng.uniform(*settings.noise)) * noise
    return np.clip(photo * 255 + 0.5, 0, 255).astype(np.uint8)

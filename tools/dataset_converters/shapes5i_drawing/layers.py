"""What lies on a picture: its place and coverage, its surface, and things of no class."""

from dataclasses import dataclass

import cv2
import numpy as np

from .settings import SceneSettings
from .silhouettes import Parts, render
from .textures import paint, random_palette

BACKGROUND = 0


@dataclass
class Layer:
    """Something opaque with a place: coverage (h,w) and colour (h,w,3), in [0, 1]."""

    label: int
    coverage: np.ndarray
    left: int
    top: int
    colour: np.ndarray | None = None
    pixels: int = 0

    def __post_init__(self) -> None:
        # What the mask would show of it, outline aside, with nothing in front.
        inside = (self.coverage > 0.5).astype(np.uint8)
        self.pixels = int(cv2.erode(inside, np.ones((3, 3), np.uint8)).sum())

    def window(self, height: int, width: int) -> tuple[tuple, tuple]:
        """Slices of the image and of this layer where the two overlap."""
        h, w = self.coverage.shape
        y0, y1 = max(self.top, 0), min(self.top + h, height)
        x0, x1 = max(self.left, 0), min(self.left + w, width)
        inner = (
            slice(y0 - self.top, max(y1, y0) - self.top),
            slice(x0 - self.left, max(x1, x0) - self.left),
        )
        return (slice(y0, max(y1, y0)), slice(x0, max(x1, x0))), inner


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A matrix, (2, 2), that turns by a random angle."""
    angle = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(angle), np.sin(angle)
    return np.array([(c, -s), (s, c)])


def random_clutter(rng: np.random.Generator, height: int, width: int) -> Layer:
    """A thing of no class: a wire, a pebble-like blob, or a crooked board.

    Args:
        rng: Source of every choice.
        height: Of the image, pixels.
        width: Of the image, pixels.

    Returns:
        A layer of label 0, placed, without a surface yet.
    """
    kind = rng.choice(3, p=(0.25, 0.4, 0.35))
    short = min(height, width)
    if kind == 0:
        start = rng.uniform(0, 1, 2) * (width, height)
        end = start + rng.uniform(-0.7, 0.7, 2) * short
        bend = rng.normal(0, 0.15 * short, 2)
        t = np.linspace(0, 1, 40)[:, None]
        middle = (1 - t) * start + t * end + 4 * t * (1 - t) * bend
        normal = np.gradient(middle, axis=0)[:, ::-1] * (1, -1)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
        half = rng.uniform(1.2, 0.02 * short)
        polygon = np.concatenate(
            [middle + half * normal, (middle - half * normal)[::-1]]
        )
    else:
        if kind == 1:
            angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
            waves = sum(
                rng.uniform(-0.25, 0.25) / k * np.cos(k * angle + rng.uniform(0, 6.3))
                for k in (2, 3, 4)
            )
            radius = 1 + waves
            shape = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
        else:
            shape = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
            shape = shape + rng.uniform(-0.35, 0.35, (4, 2))
        shape = shape * rng.uniform(0.03, 0.17, 2) * short
        polygon = shape @ random_rotation(rng).T + rng.uniform(0, 1, 2) * (
            width,
            height,
        )
    parts: Parts = [(True, polygon)]
    left, top = np.floor(polygon.min(0)).astype(int) - 1
    coverage = render(parts, np.eye(2), oversample=2)
    return Layer(BACKGROUND, coverage, int(left), int(top))


def give_surface(
    rng: np.random.Generator,
    layer: Layer,
    colours: list[np.ndarray],
    settings: SceneSettings,
) -> np.ndarray:
    """Set a layer's ``colour``: a pattern of its own, in relief.

    Args:
        rng: Source of every choice.
        layer: The layer, changed in place.
        colours: Mean colours, (3,) each, of what is in the picture already.
        settings: Patterns' periods and contrasts, and how much to stand out.

    Returns:
        The mean colour, (3,) float32 RGB in [0, 1].
    """
    palette = random_palette(rng, settings.object_contrast, colours, settings.stand_out)
    period = rng.uniform(*settings.object_period)
    colour = paint(rng, layer.coverage.shape, palette, period)
    # Relief: the blurred coverage as a height field, lit from a random side.
    hill = cv2.GaussianBlur(layer.coverage, (0, 0), rng.uniform(1.5, 5))
    dy, dx = np.gradient(hill)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2.2)
    light = 1 + strength * (dx * np.cos(angle) + dy * np.sin(angle))
    layer.colour = np.clip(colour * light[..., None], 0, 1).astype(np.float32)
    return palette.mean(0)


def composite(rng: np.random.Generator, canvas: np.ndarray, layer: Layer) -> None:
    """Lay a layer and its soft shadow over a canvas (H,W,3), in [0, 1], in place."""
    height, width = canvas.shape[:2]
    margin = 14
    padded = np.pad(layer.coverage, margin)
    blur, darkness = rng.uniform(1.5, 4.5), rng.uniform(0.0, 0.55)
    shadow = Layer(
        BACKGROUND,
        cv2.GaussianBlur(padded, (0, 0), blur) * np.float32(darkness),
        layer.left - margin + int(rng.integers(-5, 6)),
        layer.top - margin + int(rng.integers(-5, 6)),
    )
    outer, inner = shadow.window(height, width)
    canvas[outer] *= 1 - shadow.coverage[inner][..., None]
    outer, inner = layer.window(height, width)
    alpha = layer.coverage[inner][..., None]
    canvas[outer] += alpha * (layer.colour[inner] - canvas[outer])

"""Colours and surface patterns: what makes two instances of a class look different."""

from collections.abc import Callable

import cv2
import numpy as np

# A pattern maps (rng, u, v) to a (h, w) float32 field in [0, 1] that blends two colours.
# u, v are (h, w) float32 coordinates in the surface's own rotated frame, in periods.
Pattern = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], period: float, octaves: int = 1
) -> np.ndarray:
    """Value noise: random grids, enlarged smoothly and added up.

    Args:
        rng: Source of the grids.
        shape: (h, w) in pixels.
        period: Pixels between the coarsest grid's points; halves with each octave.
        octaves: Grids added, each half as strong as the one before.

    Returns:
        (h, w) float32 in [0, 1], mean about 0.5.
    """
    height, width = shape
    total = np.zeros(shape, np.float32)
    weight, norm = 1.0, 0.0
    for _ in range(octaves):
        rows, columns = (int(np.ceil(side / period)) + 2 for side in shape)
        grid = rng.random((rows, columns), np.float32)
        size = (max(round(columns * period), width), max(round(rows * period), height))
        # Only where points are far apart do the creases between them show.
        mode = cv2.INTER_CUBIC if period > 8 else cv2.INTER_LINEAR
        large = cv2.resize(grid, size, interpolation=mode)
        # A random cut keeps the grid's points off the corner of every texture.
        x = int(rng.integers(size[0] - width + 1))
        y = int(rng.integers(size[1] - height + 1))
        total += np.float32(weight) * large[y : y + height, x : x + width]
        norm += weight
        weight, period = weight / 2, max(period / 2, 1.5)
    # Averages of uniform numbers crowd around 0.5; spread them again.
    return np.clip((total / norm - 0.5) * 2 + 0.5, 0, 1)


def _soft_step(field: np.ndarray, sharpness: float = 6) -> np.ndarray:
    return np.clip(field * sharpness + 0.5, 0, 1)


def _fraction(x: np.ndarray) -> np.ndarray:
    return x - np.floor(x)


def _triangle_wave(x: np.ndarray) -> np.ndarray:
    return np.abs(_fraction(x) - 0.5) * 4 - 1


def _stripes(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _soft_step(_triangle_wave(u) + rng.uniform(-0.3, 0.3))


def _waves(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    bend = rng.uniform(0.15, 0.3) * np.sin(3 * v)
    return _soft_step(_triangle_wave(u + bend), 2)


def _chevrons(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _soft_step(_triangle_wave(u + 0.35 * _triangle_wave(v / 2)))


def _checks(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _soft_step(_triangle_wave(u) * _triangle_wave(v), 8)


def _plaid(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    across, along = _soft_step(_triangle_wave(u)), _soft_step(_triangle_wave(v))
    return (across + along) / 2


def _dots(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u = u + 0.5 * (np.floor(v) % 2)
    distance = np.hypot(_fraction(u) - 0.5, _fraction(v) - 0.5)
    return _soft_step(rng.uniform(0.25, 0.36) - distance, 12)


def _bricks(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u = 0.5 * u + 0.5 * (np.floor(v) % 2)
    across, along = np.abs(_fraction(u) - 0.5), np.abs(_fraction(v) - 0.5)
    return _soft_step(0.83 - np.maximum(2 * across, along + 0.4), 12)


def _scales(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u = u + 0.5 * (np.floor(v) % 2)
    return np.clip(1.2 * np.hypot(_fraction(u) - 0.5, _fraction(v)), 0, 1)


def _wood(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    warp = 1.6 * smooth_noise(rng, u.shape, 40, 2)
    return 0.5 + 0.5 * np.sin(6 * u + 9 * warp)


def _mottles(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _soft_step(smooth_noise(rng, u.shape, rng.uniform(7, 20), 2) - 0.5, 4)


def _grain(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return smooth_noise(rng, u.shape, rng.uniform(2.0, 4.0))


def _clouds(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return smooth_noise(rng, u.shape, rng.uniform(25, 60), 4)


def _gradient(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u - u.min()) / max(float(np.ptp(u)), 1e-6)


PATTERNS: dict[str, Pattern] = {
    'stripes': _stripes,
    'waves': _waves,
    'chevrons': _chevrons,
    'checks': _checks,
    'plaid': _plaid,
    'dots': _dots,
    'bricks': _bricks,
    'scales': _scales,
    'wood': _wood,
    'mottles': _mottles,
    'grain': _grain,
    'clouds': _clouds,
    'gradient': _gradient,
}


def random_colour(rng: np.random.Generator, vividness: float = 1) -> np.ndarray:
    """One RGB colour, (3,) float32 in [0, 1]: any hue, saturation up to vividness."""
    hue, saturation = rng.uniform(0, 360), vividness * rng.beta(1.3, 1.2)
    value = rng.uniform(0.2, 0.95)
    pixel = np.array([[[hue, saturation, value]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]


def colour_distance(first: np.ndarray, second: np.ndarray) -> float:
    """How different two RGB colours in [0, 1] look: CIE76, 0 to about 100 and more."""
    pair = np.stack([first, second]).astype(np.float32)[None]
    lab = cv2.cvtColor(pair, cv2.COLOR_RGB2LAB)[0]
    return float(np.linalg.norm(lab[0] - lab[1]))


def random_palette(
    rng: np.random.Generator,
    contrast: tuple[float, float],
    away_from: list[np.ndarray],
    distance: float,
    vividness: float = 1,
    tries: int = 12,
) -> np.ndarray:
    """Two colours for a surface that stands out from its surroundings.

    Args:
        rng: Source of the colours.
        contrast: Least and most ``colour_distance`` between the two.
        away_from: Mean colours that theirs shall differ from.
        distance: By how much, in ``colour_distance``.
        vividness: The greatest saturation, in (0, 1].
        tries: Draws; the one that keeps farthest away is taken if none is far enough.

    Returns:
        (2, 3) float32 RGB in [0, 1].
    """
    best, best_gap = None, -1.0
    for _ in range(tries):
        first, second = (random_colour(rng, vividness) for _ in range(2))
        # Move the second colour along their line until the contrast fits.
        apart = max(colour_distance(first, second), 1e-3)
        share = np.clip(apart, *contrast) / apart
        palette = np.clip([first, first + share * (second - first)], 0, 1)
        mean = palette.mean(0)
        gap = min((colour_distance(mean, other) for other in away_from), default=1e9)
        if gap > best_gap:
            best, best_gap = palette, gap
        if gap >= distance:
            break
    return best.astype(np.float32)


def paint(
    rng: np.random.Generator,
    shape: tuple[int, int],
    palette: np.ndarray,
    period: float,
    patterns: list[str] | None = None,
) -> np.ndarray:
    """Cover a rectangle with one randomly chosen, rotated pattern.

    Args:
        rng: Source of every choice.
        shape: (h, w) in pixels.
        palette: (2, 3) RGB in [0, 1], the pattern's two colours.
        period: Pixels per repeat of the pattern.
        patterns: Names out of ``PATTERNS`` to choose from; None: all.

    Returns:
        (h, w, 3) float32 RGB in [0, 1].
    """
    height, width = shape
    angle = rng.uniform(0, np.pi)
    y = np.arange(height, dtype=np.float32)[:, None] / np.float32(period)
    x = np.arange(width, dtype=np.float32) / np.float32(period)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    shift = rng.random(2, np.float32)
    u, v = c * x + s * y + shift[0], c * y - s * x + shift[1]
    names = patterns or list(PATTERNS)
    field = PATTERNS[names[rng.integers(len(names))]](rng, u, v)
    # No real surface is of two exact colours: wear and dirt vary it a little.
    field = np.clip(0.85 * field + 0.3 * (smooth_noise(rng, shape, 14, 2) - 0.25), 0, 1)
    return palette[0] + field[..., None] * (palette[1] - palette[0])

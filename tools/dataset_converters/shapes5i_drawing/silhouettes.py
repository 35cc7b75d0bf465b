"""The twenty silhouettes of Shapes-5i, as polygons, and how one becomes a mask."""

from collections.abc import Callable

import cv2
import numpy as np

# A silhouette is painted part by part: (True, polygon) adds, (False, polygon) cuts out.
# Polygons are (N, 2) float arrays, x right and y down, within about [-1, 1].
Parts = list[tuple[bool, np.ndarray]]
TURN = 2 * np.pi


def _polar(radius: np.ndarray | float, angle: np.ndarray) -> np.ndarray:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)


def _disc(radius: float, centre: tuple[float, float] = (0, 0)) -> np.ndarray:
    angle = np.linspace(0, TURN, 64, endpoint=False)
    return _polar(radius, angle) + np.asarray(centre)


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _ring(rng: np.random.Generator) -> Parts:
    return [(True, _disc(1)), (False, _disc(rng.uniform(0.45, 0.62)))]


def _star(rng: np.random.Generator) -> Parts:
    inner = rng.uniform(0.38, 0.48)
    angle = np.arange(10) * TURN / 10
    return [(True, _polar(np.where(np.arange(10) % 2, inner, 1.0), angle))]


def _cross(rng: np.random.Generator) -> Parts:
    half = rng.uniform(0.24, 0.34)
    return [(True, _box(-1, -half, 1, half)), (True, _box(-half, -1, half, 1))]


def _crescent(rng: np.random.Generator) -> Parts:
    shift = rng.uniform(0.45, 0.6)
    return [(True, _disc(1)), (False, _disc(0.85, (shift, 0)))]


def _heart(rng: np.random.Generator) -> Parts:
    t = np.linspace(0, TURN, 80, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [(True, np.stack([x, -y - 2.5], -1) / 15.5)]


def _arrow(rng: np.random.Generator) -> Parts:
    shaft, neck = rng.uniform(0.17, 0.26), rng.uniform(0.0, 0.2)
    head = np.array([(1, 0), (neck, 0.72), (neck, -0.72)])
    return [(True, _box(-1, -shaft, neck + 0.05, shaft)), (True, head)]


def _gear(rng: np.random.Generator) -> Parts:
    teeth = int(rng.integers(8, 11))
    # Four corners a tooth: up, along, down, along.
    radius = np.tile([0.74, 1.0, 1.0, 0.74], teeth)
    step = TURN / teeth * np.array([0.02, 0.12, 0.46, 0.56])
    angle = np.repeat(np.arange(teeth) * TURN / teeth, 4) + np.tile(step, teeth)
    return [(True, _polar(radius, angle)), (False, _disc(rng.uniform(0.26, 0.36)))]


def _corner(rng: np.random.Generator) -> Parts:
    width, foot = rng.uniform(0.5, 0.62), rng.uniform(0.45, 0.8)
    upright = _box(-0.7, -1, -0.7 + width, 1)
    return [(True, upright), (True, _box(-0.7, 1 - width, foot, 1))]


def _triangle(rng: np.random.Generator) -> Parts:
    angle = np.arange(3) * TURN / 3 + rng.uniform(-0.12, 0.12, 3)
    return [(True, _polar(1, angle))]


def _hourglass(rng: np.random.Generator) -> Parts:
    waist, half = rng.uniform(0.08, 0.14), rng.uniform(0.68, 0.8)
    right = [(half, -1), (waist, 0), (half, 1)]
    left = [(-half, 1), (-waist, 0), (-half, -1)]
    return [(True, np.array(right + left))]


def _comb(rng: np.random.Generator) -> Parts:
    teeth = int(rng.integers(3, 5))
    pitch = 2 / (teeth - 0.45)
    lefts = -1 + pitch * np.arange(teeth)
    tips = [(True, _box(x, -0.5, x + 0.55 * pitch, 0.75)) for x in lefts]
    return [(True, _box(-1, -0.75, 1, -0.25)), *tips]


def _spiral(rng: np.random.Generator) -> Parts:
    turns = rng.uniform(1.7, 1.95)
    angle = np.linspace(0.25 * TURN, turns * TURN, 150)
    pitch = 0.86 / turns
    middle, half = pitch * angle / TURN, 0.31 * pitch
    outer, inner = _polar(middle + half, angle), _polar(middle - half, angle)
    return [(True, np.concatenate([outer, inner[::-1]]))]


def _bolt(rng: np.random.Generator) -> Parts:
    fat = rng.uniform(0.0, 0.1)
    points = [
        (0.2, -1),
        (-0.62 - fat, 0.12),
        (-0.1, 0.12 + fat),
        (-0.34, 1),
        (0.62 + fat, -0.3),
        (0.12, -0.3 - fat),
        (0.62, -1),
    ]
    return [(True, np.array(points))]


def _flower(rng: np.random.Generator) -> Parts:
    petals = int(rng.integers(5, 7))
    centres = _polar(0.64, np.arange(petals) * TURN / petals)
    size = 0.6 * np.sin(np.pi / petals)
    return [(True, _disc(0.5)), *((True, _disc(size, tuple(c))) for c in centres)]


def _key(rng: np.random.Generator) -> Parts:
    half = rng.uniform(0.11, 0.15)
    bow = [(True, _disc(0.5, (-0.55, 0))), (False, _disc(0.25, (-0.58, 0)))]
    bits = [(True, _box(x, 0, x + 0.19, 0.46)) for x in (0.42, 0.81)]
    return [*bow, (True, _box(-0.12, -half, 1, half)), *bits]


def _mushroom(rng: np.random.Generator) -> Parts:
    half = rng.uniform(0.2, 0.32)
    angle = np.linspace(np.pi, TURN, 40)
    cap = _polar(1, angle) * (1, rng.uniform(0.85, 1.1)) + (0, 0.1)
    return [(True, cap), (True, _box(-half, 0, half, 0.95))]


def _fish(rng: np.random.Generator) -> Parts:
    t = np.linspace(0, TURN, 64, endpoint=False)
    body = np.stack([0.68 * np.cos(t) - 0.32, rng.uniform(0.46, 0.56) * np.sin(t)], -1)
    tail = np.array([(0.15, 0), (1, -0.6), (0.78, 0), (1, 0.6)])
    return [(True, body), (True, tail)]


def _dumbbell(rng: np.random.Generator) -> Parts:
    half, size = rng.uniform(0.1, 0.16), rng.uniform(0.38, 0.44)
    ends = [(True, _disc(size, (x, 0))) for x in (-1 + size, 1 - size)]
    return [*ends, (True, _box(-0.6, -half, 0.6, half))]


def _ladder(rng: np.random.Generator) -> Parts:
    rungs = int(rng.integers(3, 5))
    width = rng.uniform(0.17, 0.21)
    middles = np.linspace(-0.78, 0.78, rungs)
    steps = [(True, _box(-0.5, y - width / 2, 0.5, y + width / 2)) for y in middles]
    rails = [_box(-0.58, -1, -0.58 + width, 1), _box(0.58 - width, -1, 0.58, 1)]
    return [*((True, rail) for rail in rails), *steps]


def _propeller(rng: np.random.Generator) -> Parts:
    width = rng.uniform(0.26, 0.32)
    t = np.linspace(0, TURN, 48, endpoint=False)
    # Blades start narrow at the hub and are widest near the tip.
    x = 0.5 + 0.5 * np.cos(t)
    blade = np.stack([x, width * np.sin(t) * (0.35 + 0.9 * x) + 0.1 * x], -1)
    parts: Parts = [(True, _disc(0.24))]
    for k in range(3):
        c, s = np.cos(k * TURN / 3), np.sin(k * TURN / 3)
        parts.append((True, blade @ np.array([(c, s), (-s, c)])))
    return parts


SILHOUETTES: dict[str, Callable[[np.random.Generator], Parts]] = {
    'ring': _ring,
    'star': _star,
    'cross': _cross,
    'crescent': _crescent,
    'heart': _heart,
    'arrow': _arrow,
    'gear': _gear,
    'corner': _corner,
    'triangle': _triangle,
    'hourglass': _hourglass,
    'comb': _comb,
    'spiral': _spiral,
    'bolt': _bolt,
    'flower': _flower,
    'key': _key,
    'mushroom': _mushroom,
    'fish': _fish,
    'dumbbell': _dumbbell,
    'ladder': _ladder,
    'propeller': _propeller,
}


def render(parts: Parts, matrix: np.ndarray, oversample: int = 4) -> np.ndarray:
    """Paint a silhouette, anti-aliased, on the smallest canvas that holds it.

    Args:
        parts: What a function of ``SILHOUETTES`` returned.
        matrix: (2, 2) float, from the silhouette's units to pixels.
        oversample: Sub-pixels per pixel and axis that coverage is counted over.

    Returns:
        (h, w) float32, the covered share of each pixel, in [0, 1].
    """
    polygons = [(adds, polygon @ matrix.T) for adds, polygon in parts]
    points = np.concatenate([polygon for adds, polygon in polygons if adds])
    low = np.floor(points.min(0)) - 1
    width, height = (np.ceil(points.max(0)) + 1 - low).astype(int)
    canvas = np.zeros((height * oversample, width * oversample), np.uint8)
    for adds, polygon in polygons:
        corners = np.round((polygon - low) * oversample).astype(np.int32)
        cv2.fillPoly(canvas, [corners], 255 if adds else 0)
    small = cv2.resize(canvas, (int(width), int(height)), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255

"""One picture of Shapes-5i and its mask, as a pure function of (seed, split, index)."""

import cv2
import numpy as np

from .layers import (
    BACKGROUND,
    Layer,
    composite,
    give_surface,
    random_clutter,
    random_rotation,
)
from .photo import paint_background, photograph
from .settings import SceneSettings
from .silhouettes import SILHOUETTES, render

SPLITS = ('train', 'val')
OUTLINE = 255
# Streams of random numbers that must not meet, whatever seed and index are.
_PICTURE_STREAM, _SCHEDULE_STREAM = 0, 1


def main_class(seed: int, split: str, index: int) -> int:
    """The class that image ``index`` certainly shows large: each once in 20 images.

    Args:
        seed: Of the data set.
        split: One of ``SPLITS``.
        index: Of the image in its split.

    Returns:
        The class label, in 1..20.
    """
    block, place = divmod(index, len(SILHOUETTES))
    rng = np.random.default_rng([seed, SPLITS.index(split), _SCHEDULE_STREAM, block])
    return int(rng.permutation(len(SILHOUETTES))[place]) + 1


def draw_scene(
    seed: int, split: str, index: int, classes: list[str], settings: SceneSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one picture.

    Args:
        seed: Of the data set, >= 0.
        split: One of ``SPLITS``.
        index: Of the image in its split, >= 0.
        classes: The keys of ``SILHOUETTES`` in the order of their labels.
        settings: How it shall look.

    Returns:
        The image, (H, W, 3) uint8 RGB, and the mask, (H, W) uint8: 0 background,
        1..20 the classes, 255 the outline of every visible object.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), _PICTURE_STREAM, index])
    low, high = settings.side
    height, width = (int(side) for side in rng.integers(low, high + 1, 2))
    canvas, ground = paint_background(rng, height, width, settings)
    colours = [ground]
    for _ in range(rng.integers(*settings.clutter, endpoint=True)):
        layer = random_clutter(rng, height, width)
        give_surface(rng, layer, colours, settings)
        composite(rng, canvas, layer)

    labels = _labels(rng, main_class(seed, split, index), settings)
    layers, owners = _arrange(rng, labels, classes, height, width, settings)
    for layer in layers:
        colours.append(give_surface(rng, layer, colours, settings))
        composite(rng, canvas, layer)

    mask = _outlined(owners, np.array([BACKGROUND, *(layer.label for layer in layers)]))
    return photograph(rng, canvas, settings), mask


def _labels(rng: np.random.Generator, main: int, settings: SceneSettings) -> list[int]:
    """Labels of the picture's objects, the main one first."""
    count = int(rng.integers(*settings.objects, endpoint=True))
    others = [k for k in range(1, len(SILHOUETTES) + 1) if k != main]
    labels = [main, *(int(k) for k in rng.permutation(others)[: count - 1])]
    if rng.random() < settings.repeat_main_class:
        labels[-1] = main
    return labels


def _object(
    rng: np.random.Generator,
    label: int,
    name: str,
    share: float,
    height: int,
    width: int,
    settings: SceneSettings,
) -> Layer:
    """A silhouette of a given area, turned, stretched, mirrored; not yet placed."""
    parts = SILHOUETTES[name](rng)
    stretch = settings.stretch ** rng.uniform(-1, 1)
    matrix = (
        random_rotation(rng) @ np.diag([stretch, 1 / stretch]) @ random_rotation(rng)
    )
    if rng.random() < 0.5:
        matrix = matrix @ np.diag([-1, 1])
    # Measured small, then scaled to the wished area, within the wished extent.
    unit = 24.0
    small = render(parts, unit * matrix)
    scale = unit * np.sqrt(share * height * width / small.sum())
    longest = max(small.shape) * scale / unit
    scale *= min(1.0, settings.extent * min(height, width) / longest)
    return Layer(label, render(parts, scale * matrix), 0, 0)


def _arrange(
    rng: np.random.Generator,
    labels: list[int],
    classes: list[str],
    height: int,
    width: int,
    settings: SceneSettings,
) -> tuple[list[Layer], np.ndarray]:
    """Place objects so that none is hidden too much; who never fits is left out.

    Returns:
        The layers from back to front, clutter on top included, and (H, W) uint8: 0 or
        1 + the index of the layer that is seen.

    Raises:
        ValueError: If even the main object never fits: the settings leave no room.
    """
    wires = [
        random_clutter(rng, height, width)
        for _ in range(int(rng.random() < settings.clutter_on_top))
    ]
    placed: list[Layer] = []
    for number, label in enumerate(labels):
        shares = settings.main_share if number == 0 else settings.other_share
        for _ in range(settings.placements):
            share = rng.uniform(*shares)
            layer = _object(
                rng, label, classes[label - 1], share, height, width, settings
            )
            h, w = layer.coverage.shape
            # Centres stay inside, so that the edge cuts little off most objects.
            layer.left = int(rng.uniform(-0.12 * w, width - 0.88 * w))
            layer.top = int(rng.uniform(-0.12 * h, height - 0.88 * h))
            rank = int(rng.integers(len(placed) + 1))
            trial = [*placed[:rank], layer, *placed[rank:]]
            if _acceptable([*trial, *wires], labels[0], height, width, settings):
                placed = trial
                break
        if not placed:
            raise ValueError(f'{settings}: no place for a {classes[label - 1]}')
    layers = [*placed, *wires]
    return layers, _owners(layers, height, width)


def _owners(layers: list[Layer], height: int, width: int) -> np.ndarray:
    owners = np.zeros((height, width), np.uint8)
    for number, layer in enumerate(layers, start=1):
        outer, inner = layer.window(height, width)
        owners[outer][layer.coverage[inner] > 0.5] = number
    return owners


def _acceptable(
    layers: list[Layer], main: int, height: int, width: int, settings: SceneSettings
) -> bool:
    """Whether enough of every object is seen."""
    owners = _owners(layers, height, width)
    owners[_edges(owners)] = 0
    seen = np.bincount(owners.ravel(), minlength=len(layers) + 1)
    for number, layer in enumerate(layers, start=1):
        if layer.label == BACKGROUND:
            continue
        least = settings.main_pixels if layer.label == main else settings.other_pixels
        if seen[number] < max(least, (1 - settings.hidden) * layer.pixels):
            return False
    return True


def _edges(owners: np.ndarray) -> np.ndarray:
    """Pixels with another owner among their 8 neighbours: about one on either side."""
    square = np.ones((3, 3), np.uint8)
    return cv2.dilate(owners, square) != cv2.erode(owners, square)


def _outlined(owners: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mask: labels of the visible layers, and 255 along every visible object."""
    # All clutter is one with the background, so that it gets no outline of its own.
    owners = np.where(labels[owners] == BACKGROUND, 0, owners).astype(np.uint8)
    mask = labels[owners].astype(np.uint8)
    mask[_edges(owners)] = OUTLINE
    return mask

"""Examples to try at a click: cracked walls and Shapes-5i, drawn when the page starts."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
from PIL import Image

from mmssp.datasets.shapes5i import CLASSES

CONVERTERS = Path(__file__).resolve().parents[2] / 'tools' / 'dataset_converters'
CRACK = 'crack'
SETS = (
    ('Cracks, 5 shots, and 20 s of learning', {CRACK: 5}, 20),
    ('Gears, 3 shots', {'gear': 3}, 0),
    ('Crescents, 1 shot', {'crescent': 1}, 0),
    ('Fish and propellers, 2 shots each', {'fish': 2, 'propeller': 2}, 0),
)
"""Title, class → number of shots, and seconds of learning."""


@dataclass(frozen=True)
class Example:
    """Support images with masks, and queries to find the same in.

    Attributes:
        title: Of its button.
        shots: (class, image (H,W,3) uint8 RGB, mask (H,W) uint8 in {0, 1, 255}).
        queries: Files of images.
        seconds: Of learning from the shots; 0 for none.
    """

    title: str
    shots: tuple[tuple[str, np.ndarray, np.ndarray], ...]
    queries: tuple[str, ...]
    seconds: float = 0


def draw_examples(
    folder: Path, sets=SETS, queries_per_class: int = 3, seed: int = 0
) -> list[Example]:
    """Draw examples into a folder.

    Args:
        folder: For the query images.
        sets: Title, class → number of shots, and seconds of learning, of each.
        queries_per_class: Query images with it.
        seed: Of Shapes-5i.

    Returns:
        The examples, in the order of ``sets``.

    Raises:
        OSError: The folder cannot be written.
    """
    examples = []
    for title, shots_per_class, seconds in sets:
        shots, queries = [], []
        for name, shots_of_it in shots_per_class.items():
            scenes = _scenes_with(name, seed)
            for image, mask in islice(scenes, shots_of_it):
                shots.append((name, image, mask))
            for image, _ in islice(scenes, queries_per_class):
                queries.append(_write(folder, f'{name}-{len(queries) + 1}', image))
        examples.append(Example(title, tuple(shots), tuple(queries), seconds))
    return examples


def _scenes_with(name: str, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images that show a class large, with its masks in {0, 1, 255}."""
    if name == CRACK:
        from cracked_walls import drawn

        yield from drawn(seed)
    scene = _scene_module()
    label = CLASSES.index(name) + 1
    for index in count():
        if scene.main_class(seed, 'val', index) == label:
            image, mask = _draw(seed, index)
            own = (mask == label).astype(np.uint8)
            # the outlines of all objects stay ignored
            own[mask == 255] = 255
            yield image, own


def _draw(seed: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    scene = _scene_module()
    from shapes5i_drawing.settings import SceneSettings

    return scene.draw_scene(seed, 'val', index, list(CLASSES), SceneSettings())


def _scene_module():
    if str(CONVERTERS) not in sys.path:
        sys.path.append(str(CONVERTERS))
    from shapes5i_drawing import scene

    return scene


def _write(folder: Path, stem: str, image: np.ndarray) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{stem}.png'
    Image.fromarray(image).save(path)
    return str(path)

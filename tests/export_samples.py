"""Labelled images with all that is hard in them: parts, holes, odd names."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mmssp.apis.export.labelled_image import LabelledImage
from mmssp.apis.result import Result

CLASSES = ('red apple', 'Äpfel, "grün"', 'grape')
"""The third is nowhere."""
SIZE = (60, 90)
ODD_NAMES = (
    'plain.png',
    'with space/ä ö, "x".png',
    "it's #1 100% (copy).png",
    '日本/写真.png',
)


def ring_and_dots(size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H,W) uint8: class 1 a ring and a disc apart, class 2 a bar, and a speck of it."""
    labels = np.zeros(size, np.uint8)
    cv2.circle(labels, (25, 28), 20, 1, -1)
    cv2.circle(labels, (25, 28), 9, 0, -1)
    cv2.circle(labels, (70, 15), 8, 1, -1)
    labels[40:55, 55:85] = 2
    labels[58, 3] = 2
    return labels


def labelled(
    name: str = 'plain.png',
    labels: np.ndarray | None = None,
    source: Path | None = None,
) -> LabelledImage:
    labels = ring_and_dots() if labels is None else labels
    return LabelledImage(
        name,
        name.rpartition('.')[0],
        CLASSES,
        labels,
        {CLASSES[0]: 0.9, CLASSES[1]: 0.75, CLASSES[2]: 0.1},
        source,
    )


def images_in(folder: Path, names: tuple[str, ...] = ODD_NAMES) -> list[LabelledImage]:
    """Images in files; the last one's labels are empty."""
    found = []
    for i, name in enumerate(names):
        labels = np.roll(ring_and_dots(), i, axis=1)
        if i == len(names) - 1:
            labels[:] = 0
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((*SIZE, 3), 40 * i, np.uint8)
        Image.fromarray(pixels).save(path)
        found.append(labelled(name, labels, path))
    return found


def result(labels: np.ndarray | None = None, source: Path | None = None) -> Result:
    labels = ring_and_dots() if labels is None else labels
    plain = Result.from_probabilities(
        image=np.full((*labels.shape, 3), 99, np.uint8),
        names=CLASSES,
        probabilities=np.zeros((3, *labels.shape), np.float32),
        scores=dict.fromkeys(CLASSES, 0.0),
        threshold=0.5,
        presence_threshold=0.5,
        source=source,
    )
    return plain.corrected(labels)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Of two regions (H,W) bool; 1 for two empty ones."""
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else 1.0

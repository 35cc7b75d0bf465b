"""Index masks: grey PNGs whose stored number is the class, and the list of classes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .export_files import file_path, write_png, write_text
from .labelled_image import ExportSettings, LabelledImage


def write(
    images: Iterable[LabelledImage],
    classes: Sequence[str],
    folder: Path,
    settings: ExportSettings,
) -> None:
    """Write ``folder/STEM.png`` for each image, and ``folder/classes.txt``."""
    for image in images:
        write_png(
            file_path(folder, image.stem, '.png'),
            grey(image.kept_labels(settings)),
        )
    names = ['background', *classes]
    write_text(
        folder / 'classes.txt',
        ''.join(f'{i} {" ".join(name.splitlines())}\n' for i, name in enumerate(names)),
    )


def grey(labels: np.ndarray) -> Image.Image:
    """(H,W) uint8 labels as a grey picture, which every library reads as these numbers."""
    return Image.fromarray(np.ascontiguousarray(labels, np.uint8))

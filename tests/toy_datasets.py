"""Toy data sets that read the masks of their classes: very many, or overlapping ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

SIZE = 24


def write_folders(root: Path, num_classes: int, per_class: int = 2) -> Path:
    """``CLASS/N.png`` with ``CLASS/N_mask.png``, 0 and 255, in a folder for each class."""
    rng = np.random.default_rng(0)
    for k in range(num_classes):
        folder = root / f'{k:04d}'
        folder.mkdir(parents=True)
        for n in range(per_class):
            mask = np.zeros((SIZE, SIZE + n), np.uint8)
            y, x = rng.integers(0, SIZE - 10, 2)
            mask[y : y + 8, x : x + 6 + n] = 255
            image = rng.integers(0, 100, (*mask.shape, 3), dtype=np.uint8)
            image[mask > 0] += np.uint8(1 + k % 150)
            cv2.imwrite(str(folder / f'{n}.png'), image)
            cv2.imwrite(str(folder / f'{n}_mask.png'), mask)
    return root


@DATASETS.register_module(force=True)
class FolderPerClass(BaseSegDataset):
    """As FSS-1000 has it. What is counted is noted, a line an image.

    Args:
        data_root: Of the folders.
        log: File for the notes.
    """

    METAINFO = dict(benchmark='folders')

    def __init__(self, data_root: str, log: str | None = None, **kwargs: Any) -> None:
        self.log = log
        names = tuple(sorted(p.name for p in Path(data_root).iterdir() if p.is_dir()))
        super().__init__(
            data_root=data_root,
            metainfo=dict(classes=('background', *names)),
            reduce_zero_label=False,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        return [
            dict(
                img_path=str(image),
                seg_map_path=str(image.with_name(f'{image.stem}_mask.png')),
                label=label,
            )
            for label, name in enumerate(self.metainfo['classes'])
            if label
            for image in sorted(Path(self.data_root, name).glob('?.png'))
        ]

    def class_mask(self, info: dict[str, Any], label: int) -> np.ndarray:
        mask = cv2.imread(info['seg_map_path'], cv2.IMREAD_GRAYSCALE)
        return (mask > 0) & (label == info['label'])

    def class_pixels(self, info: dict[str, Any]) -> Mapping[int, int]:
        if self.log:
            with open(self.log, 'a') as file:
                print(info['img_path'], file=file)
        return {info['label']: int(self.class_mask(info, info['label']).sum())}


def write_photos(root: Path, num_images: int = 16) -> Path:
    """Photos for :class:`Overlapping`."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for i in range(num_images):
        image = rng.integers(0, 256, (SIZE + i % 3, SIZE, 3), dtype=np.uint8)
        cv2.imwrite(str(root / f'{i:02d}.png'), image)
    return root


@DATASETS.register_module(force=True)
class Overlapping(BaseSegDataset):
    """Four classes in each image, whose boxes lie over each other, and ignored rows.

    There is no file of a mask, and what is in an image is known without any.

    Args:
        data_root: Folder of the photos.
    """

    METAINFO = dict(classes=('ant', 'bee', 'cow', 'dog', 'eel', 'fox'))

    def __init__(self, data_root: str, **kwargs: Any) -> None:
        super().__init__(data_root=data_root, reduce_zero_label=False, **kwargs)

    def load_data_list(self) -> list[dict]:
        infos = []
        for i, path in enumerate(sorted(Path(self.data_root).glob('*.png'))):
            boxes = {(i + k) % 6: (2 + 3 * k, 2 + 3 * k, 9, 10 + k) for k in range(4)}
            infos.append(
                dict(
                    img_path=str(path),
                    shape=(SIZE + i % 3, SIZE),
                    boxes=boxes,
                    pixels={c: h * w for c, (_, _, h, w) in boxes.items()},
                )
            )
        return infos

    def class_mask(self, info: dict[str, Any], label: int) -> np.ndarray:
        mask = np.zeros(info['shape'], np.uint8)
        mask[:2] = 255
        if label in info['boxes']:
            y, x, height, width = info['boxes'][label]
            mask[y : y + height, x : x + width] = 1
        return mask

    def class_pixels(self, info: dict[str, Any]) -> Mapping[int, int]:
        return info['pixels']

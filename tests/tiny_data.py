"""Tiny data sets in the layouts of the real ones, for tests that run whole commands."""

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

CONFIGS = Path(__file__).parents[1] / 'configs'
# PASCAL-5i's config with the quickest backbone of mmseg
SMALL_MODEL = f"""
_base_ = '{CONFIGS}/ssp_r50_pascal5i_1shot.py'
model = dict(
    backbone=dict(
        _delete_=True, type='ResNet', depth=18, num_stages=2, strides=(1, 2),
        dilations=(1, 1), out_indices=(1,), norm_eval=True,
    ),
    decode_head=dict(in_channels=128),
)
"""
SIZE = 48
CELL = 16


def draw(num_images: int, num_classes: int, seed: int = 0) -> list[tuple]:
    """Images (SIZE,SIZE,3) uint8 and masks (SIZE,SIZE) of square cells of four classes.

    Each class appears in ``4 * num_images / num_classes`` images, in its own colour.
    """
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(7).integers(0, 256, (num_classes + 1, 3))
    pairs = []
    for i in range(num_images):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        cells = rng.permutation((SIZE // CELL) ** 2)[:4]
        for k, cell in enumerate(cells):
            y, x = divmod(int(cell), SIZE // CELL)
            label = (4 * i + k) % num_classes + 1
            mask[y * CELL : (y + 1) * CELL, x * CELL : (x + 1) * CELL] = label
        image = colours[mask] + rng.normal(0, 10, (SIZE, SIZE, 3))
        pairs.append((image.clip(0, 255).astype(np.uint8), mask))
    return pairs


def write_voc(root: Path, num_images: int = 40, num_classes: int = 20) -> Path:
    """VOC layout: train, trainaug and val lists, SegmentationClass(Aug)."""
    folders = {
        name: root / name for name in ('JPEGImages', 'SegmentationClass', 'lists')
    }
    folders['lists'] = root / 'ImageSets' / 'Segmentation'
    for folder in folders.values():
        folder.mkdir(parents=True)
    names = []
    for i, (image, mask) in enumerate(draw(num_images, num_classes)):
        names.append(f'{i:06d}')
        cv2.imwrite(str(folders['JPEGImages'] / f'{names[-1]}.jpg'), image[..., ::-1])
        Image.fromarray(mask).save(folders['SegmentationClass'] / f'{names[-1]}.png')
    (root / 'SegmentationClassAug').symlink_to('SegmentationClass')
    for split in ('train', 'trainaug', 'val'):
        (folders['lists'] / f'{split}.txt').write_text('\n'.join(names) + '\n')
    return root


def write_coco(root: Path, categories: list[str], num_images: int = 160) -> Path:
    """COCO 2017 layout; train and val have the same images."""
    for folder in ('train2017', 'val2017', 'annotations'):
        (root / folder).mkdir(parents=True)
    images, annotations = [], []
    for i, (image, mask) in enumerate(draw(num_images, len(categories))):
        name = f'{i:012d}.jpg'
        images.append(dict(id=i, file_name=name, height=SIZE, width=SIZE))
        for folder in ('train2017', 'val2017'):
            cv2.imwrite(str(root / folder / name), image[..., ::-1])
        for label in np.unique(mask[mask > 0]):
            ys, xs = np.nonzero(mask == label)
            x0, y0, x1, y1 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
            polygon = [int(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=i,
                    category_id=int(label),
                    iscrowd=0,
                    segmentation=[polygon],
                    area=CELL**2,
                    bbox=[int(x0), int(y0), CELL, CELL],
                )
            )
    content = dict(
        images=images,
        annotations=annotations,
        categories=[dict(id=i, name=n) for i, n in enumerate(categories, start=1)],
    )
    for split in ('train', 'val'):
        path = root / 'annotations' / f'instances_{split}2017.json'
        path.write_text(json.dumps(content))
    return root


def write_test_config(folder: Path, num_episodes: int) -> Path:
    """A config to be tested with, and its tiny data set, in a folder."""
    path = folder / 'tiny.py'
    path.write_text(
        f"""{SMALL_MODEL}
test_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(
        dataset=dict(data_root='{write_voc(folder / 'voc')}'),
        min_pixels=16, workers=1, num_episodes={num_episodes},
    ),
)
"""
    )
    return path

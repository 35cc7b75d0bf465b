"""The class index: reading every mask of a data set, and starting from the cache."""

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import init_default_scope
from mmseg.datasets import PascalVOCDataset
from PIL import Image

from mmssp.datasets import ClassIndex
from mmssp.datasets.transforms import LoadMask

from .machine import Setup, usable_cpus
from .scenes import LISTS, MASKS, write_masks
from .timing import interleaved, make_row


def run(
    setup: Setup,
    *,
    masks: int = 2000,
    plain_masks: int = 200,
    size: tuple[int, int] = (375, 500),
    repeats: int = 3,
) -> list[dict[str, Any]]:
    """Rows for the scan by one process, by all, and for a start from the cache.

    Args:
        setup: Only its repeats matter: the index is made by processes on the CPU.
        masks: How many are drawn.
        plain_masks: How many of them the plain side reads; its time for all is scaled.
        size: (H, W) of each.
        repeats: Timed calls of each, unless ``setup`` says otherwise.
    """
    init_default_scope('mmseg')
    cpus = usable_cpus()
    repeats = setup.repeats or repeats
    with tempfile.TemporaryDirectory() as folder:
        root = write_masks(Path(folder) / 'voc', masks, size)
        cache = Path(folder, 'cache')

        def scan(workers: int) -> None:
            for path in cache.glob('*.npz'):
                path.unlink()
            build(root, cache, workers)

        def start() -> None:
            build(root, cache, 1)

        def plain() -> None:
            plain_scan(root, plain_masks)

        start()
        seconds = interleaved(
            dict(one=lambda: scan(1), all=lambda: scan(cpus), start=start, plain=plain),
            repeats,
        )
    plain_seconds = seconds['plain'] * masks / min(plain_masks, masks)
    label = f'{masks} masks of {size[0]}×{size[1]}'
    rows = [
        make_row(
            f'class index, {name}, {label}',
            seconds[key] * cores,
            plain_seconds,
            items=masks,
            unit='masks/s/core',
        )
        for key, name, cores in (
            ('one', 'scan by 1 process', 1),
            ('all', f'scan by {cpus} process(es)', cpus),
        )
    ]
    rows.append(
        make_row(f'class index, start from the cache, {label}', seconds['start'],
                 plain_seconds)
    )  # fmt: skip
    rows[0]['notes'].append(
        f'class index: the plain side opens {min(plain_masks, masks)} masks with Pillow '
        'and counts each label it finds, checks no image and keeps no cache'
    )
    return rows


def build(root: Path, cache: Path, workers: int) -> ClassIndex:
    """What a program does at its start: the data set, then its index."""
    with contextlib.redirect_stderr(io.StringIO()):
        dataset = PascalVOCDataset(
            data_root=str(root),
            ann_file=str(LISTS / 'val.txt'),
            data_prefix=dict(img_path='JPEGImages', seg_map_path=MASKS),
        )
        return ClassIndex.build(dataset, LoadMask(), cache_dir=cache, workers=workers)


def plain_scan(root: Path, count: int) -> list[dict[int, int]]:
    """Label → pixels of the first ``count`` masks, 255 left out."""
    names = (root / LISTS / 'val.txt').read_text().split()[:count]
    found = []
    for name in names:
        mask = np.array(Image.open(root / MASKS / f'{name}.png'))
        found.append(
            {
                int(label): int((mask == label).sum())
                for label in np.unique(mask)
                if label != 255
            }
        )
    return found

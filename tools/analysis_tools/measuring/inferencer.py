"""Measuring the inferencer, by episodes of a data set."""

import argparse
import json
import platform
import resource
import time
from collections.abc import Callable
from statistics import median

import cv2
import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from prettytable import PrettyTable

import mmssp
from mmssp.apis import Box, FewShotInferencer, Points
from mmssp.apis.annotations.conversion import to_mask
from mmssp.datasets import EpisodicDataset
from mmssp.datasets.class_masks import LoadClassMask, binary_mask
from mmssp.datasets.transforms import LoadImage
from mmssp.evaluation import score_run
from mmssp.runtime.config import load_config, set_episodes
from mmssp.utils.files import atomic_path, check_writable
from mmssp.utils.image_io import read_image

SMALLEST = 0.05
"""Share of an object's pixels below which a part of it gets no box or point."""
DOTS = 5
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75)


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    if args.json:
        check_writable(args.json)
    init_default_scope('mmseg')
    inferencer = FewShotInferencer(args.model, args.weights, image_size=args.image_size)
    measure = dict(
        annotations=annotations, presence=presence, ways=ways, memory=memory
    )[args.what]
    rows = []
    for shots in args.shots:
        cfg = load_config(args.config, args.cfg_options)
        set_episodes(
            cfg, 'test_dataloader', shots=shots, num_episodes=args.episodes, seed=0
        )
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        rows += measure(inferencer, dataset, args.episodes)
    table = PrettyTable(list(rows[0]))
    table.align = 'l'
    for row in rows:
        table.add_row([f'{v:.3g}' if isinstance(v, float) else v for v in row.values()])
    print(table)
    print(
        f'mmssp {mmssp.__version__}, torch {torch.__version__}, Python '
        f'{platform.python_version()}, {torch.get_num_threads()} threads, '
        f'{inferencer.device}; {args.model}, images of the area of '
        f'{args.image_size}×{args.image_size}, {args.episodes} episodes'
    )
    if args.json:
        with atomic_path(args.json) as path:
            path.write_text(json.dumps(rows))


def load(dataset: EpisodicDataset, image: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (H,W,3) uint8 RGB and mask (H,W) of all classes, at the original size."""
    results = dataset.dataset.get_data_info(image)
    for transform in dataset.pipeline.transforms:
        # what comes before the mask may resize the image; both are wanted as they are
        if isinstance(transform, LoadImage):
            results = transform(results)
        elif isinstance(transform, LoadClassMask):
            results = transform.load(results)
    return read_image(results['img_path'])[..., ::-1].copy(), results['gt_seg_map']


def parts(mask: np.ndarray) -> list[np.ndarray]:
    """The connected parts of an object that are worth marking, (H,W) bool each."""
    number, labels = cv2.connectedComponents((mask == 1).astype(np.uint8))
    found = [labels == i for i in range(1, number)]
    least = SMALLEST * (mask == 1).sum()
    return [part for part in found if part.sum() >= least]


def boxes(mask: np.ndarray) -> list[Box]:
    """A box around each part."""
    found = []
    for part in parts(mask):
        ys, xs = np.nonzero(part)
        found.append(
            Box(int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        )
    return found


def dots(mask: np.ndarray, rng: np.random.Generator) -> Points:
    """A few points well inside the object, and as many well outside."""
    foreground = [point for part in parts(mask) for point in inside(part, rng)]
    return Points(foreground, inside(mask == 0, rng) if (mask == 0).any() else ())


def inside(region: np.ndarray, rng: np.random.Generator) -> list[tuple[int, int]]:
    """A few points (x, y) well inside a region (H,W) bool that has a pixel."""
    padded = np.pad(region.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    ys, xs = np.nonzero(distance >= 0.5 * distance.max())
    chosen = rng.choice(len(ys), min(DOTS, len(ys)), replace=False)
    return [(int(xs[i]), int(ys[i])) for i in chosen]


def union(marks: list, image: np.ndarray, tighten: bool) -> np.ndarray:
    """Several boxes as one mask."""
    masks = [to_mask(mark, image, tighten=tighten) for mark in marks]
    return np.max([mask == 1 for mask in masks], axis=0).astype(np.uint8)


def kinds(seed: int) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Ways to mark a support: (image, full mask) → mask in {0, 1, 255}."""
    return {
        'mask': lambda image, mask: mask,
        'box': lambda image, mask: union(boxes(mask), image, False),
        'box + GrabCut': lambda image, mask: union(boxes(mask), image, True),
        'points': lambda image, mask: to_mask(
            dots(mask, np.random.default_rng(seed)), image
        ),
        'points + GrabCut': lambda image, mask: to_mask(
            dots(mask, np.random.default_rng(seed)), image, tighten=True
        ),
    }


def overlap(found: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Pixels of intersection and union; 255 in the truth is left out."""
    valid, wanted = truth != 255, truth == 1
    return int((found & wanted).sum()), int(((found | wanted) & valid).sum())


def record(class_id: int, found: np.ndarray, truth: np.ndarray) -> dict:
    """Pixel counts of one image."""
    both, either = overlap(found, truth)
    return dict(class_id=class_id, intersection=[0, both], union=[0, either])


def roc_area(there: np.ndarray, absent: np.ndarray) -> float:
    """Area under the ROC of scores with and without the object."""
    wins = (there[:, None] > absent).mean()
    return float(wins + 0.5 * (there[:, None] == absent).mean())


def annotations(
    inferencer: FewShotInferencer, dataset: EpisodicDataset, episodes: int
) -> list[dict]:
    """mIoU by the way supports are marked; the class is known to be there."""
    inferencer.presence_threshold = 0.0
    records: dict[str, list] = {name: [] for name in kinds(0)}
    overlap: dict[str, list] = {name: [] for name in kinds(0)}
    seconds = []
    for i in range(episodes):
        episode, class_id = dataset.episode(i), dataset.class_id(i)
        supports = [load(dataset, image) for image in episode.supports]
        query, truth = load(dataset, episode.query)
        truth = binary_mask(truth, episode.label)
        for name, mark in kinds(i).items():
            marked = []
            for image, mask in supports:
                full = binary_mask(mask, episode.label)
                marked.append(mark(image, full))
                both = ((marked[-1] == 1) & (full == 1)).sum()
                either = ((marked[-1] == 1) | (full == 1)).sum()
                overlap[name].append(both / max(either, 1))
            inferencer.set_support(
                [image for image, _ in supports], marked, class_value=1
            )
            start = time.perf_counter()
            result = inferencer.predict(query)
            mask = result.mask
            seconds.append(time.perf_counter() - start)
            records[name].append(record(class_id, mask == 1, truth))
    return [
        dict(
            supports=name,
            shots=dataset.shots,
            mIoU=score_run(records[name], dataset.class_ids)['mIoU'],
            **{
                'IoU of the marks with the full masks': 100 * float(np.mean(v)),
                'ms a query': 1e3 * median(seconds),
            },
        )
        for name, v in overlap.items()
    ]


def presence(
    inferencer: FewShotInferencer, dataset: EpisodicDataset, episodes: int
) -> list[dict]:
    """How well the score separates images with the class from those without."""
    there, absent = [], []
    for i in range(episodes):
        episode = dataset.episode(i)
        rng = np.random.default_rng([1, i])
        without = [
            k
            for k in range(dataset.index.num_images)
            if episode.label not in dataset.index.classes_in(k)
        ]
        supports = [load(dataset, image) for image in episode.supports]
        inferencer.set_support(
            [image for image, _ in supports],
            [binary_mask(mask, episode.label) for _, mask in supports],
            class_value=1,
        )
        for image, scores in ((episode.query, there), (rng.choice(without), absent)):
            found = inferencer.predict(load(dataset, int(image))[0])
            scores.append(found.scores['object'])
    there, absent = np.array(there), np.array(absent)
    candidates = np.unique([*there, *absent])
    balanced = [((there >= t).mean() + (absent < t).mean()) / 2 for t in candidates]
    return [
        {
            'shots': dataset.shots,
            'area under the ROC': roc_area(there, absent),
            'best threshold': float(candidates[int(np.argmax(balanced))]),
            'balanced accuracy there': float(max(balanced)),
            'threshold': threshold,
            'found': float((there >= threshold).mean()),
            'rejected': float((absent < threshold).mean()),
        }
        for threshold in THRESHOLDS
    ]


def ways(
    inferencer: FewShotInferencer, dataset: EpisodicDataset, episodes: int
) -> list[dict]:
    """N-way: label maps of all the split's classes at once.

    The query and supports of a class are those of an episode; the other classes'
    supports come from further episodes of theirs.
    """
    rows = []
    for threshold in (0.0, inferencer.presence_threshold):
        inferencer.presence_threshold, kept = threshold, inferencer.presence_threshold
        records = []
        for i in range(episodes):
            query = dataset.episode(i).query
            taken, k = {}, i
            while len(taken) < len(dataset.class_ids):
                episode = dataset.episode(k)
                if query not in episode.supports:
                    taken.setdefault(dataset.class_id(k), episode)
                k += 1
            for class_id, episode in taken.items():
                supports = [load(dataset, image) for image in episode.supports]
                inferencer.set_support(
                    [image for image, _ in supports],
                    [binary_mask(mask, episode.label) for _, mask in supports],
                    dataset.class_names[class_id],
                    class_value=1,
                )
            image, truth = load(dataset, query)
            result = inferencer.predict(image)
            for label, name in enumerate(result.names, start=1):
                (class_id,) = (c for c, n in dataset.class_names.items() if n == name)
                wanted = binary_mask(truth, taken[class_id].label)
                records.append(record(class_id, result.mask == label, wanted))
        inferencer.presence_threshold = kept
        rows.append(
            {
                'ways': len(dataset.class_ids),
                'shots': dataset.shots,
                'presence threshold': threshold,
                'mIoU, N-way': score_run(records, dataset.class_ids)['mIoU'],
            }
        )
    return rows


def memory(
    inferencer: FewShotInferencer, dataset: EpisodicDataset, episodes: int
) -> list[dict]:
    """Peak memory of the process after a tenth of the predictions, and after all."""
    episode = dataset.episode(0)
    supports = [load(dataset, image) for image in episode.supports]
    inferencer.set_support(
        [image for image, _ in supports],
        [binary_mask(mask, episode.label) for _, mask in supports],
        class_value=1,
    )
    peaks, seconds = [], []
    images = [load(dataset, dataset.episode(i).query)[0] for i in range(10)]
    for i in range(episodes):
        start = time.perf_counter()
        inferencer.predict(images[i % 10]).draw()
        seconds.append(time.perf_counter() - start)
        if i + 1 in (max(10, episodes // 10), episodes):
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            peaks.append(peak / (2**20 if platform.system() == 'Darwin' else 2**10))
    return [
        {
            'shots': dataset.shots,
            'predictions': episodes,
            'peak after a tenth, MiB': peaks[0],
            'peak after all, MiB': peaks[-1],
            'ms a query, drawn': 1e3 * median(seconds),
        }
    ]

"""Measuring what learning from the labelled images changes."""

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

import mmssp
from measuring.inferencer import load, overlap, roc_area
from mmssp.apis import FewShotInferencer
from mmssp.datasets import EpisodicDataset
from mmssp.datasets.class_masks import binary_mask
from mmssp.evaluation.boundary import boundary_overlap
from mmssp.runtime.config import load_config, set_episodes
from mmssp.utils.files import atomic_path, check_writable

LEAST_QUERIES = 3
LEAST_PIXELS = 100
NAME = 'object'
FOUND = 0.95


@dataclass
class Job:
    """What one class's images are for: numbers of images of the data set."""

    name: str
    label: int
    supports: list[int]
    queries: list[int]
    without: list[int]


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    if args.json:
        check_writable(args.json)
    init_default_scope('mmseg')
    cfg = load_config(args.config, args.cfg_options)
    set_episodes(cfg, 'test_dataloader', shots=1, num_episodes=1, seed=0)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    rows = []
    for job in jobs(dataset, args):
        for seconds in (0.0, *args.seconds):
            row = measure(args, dataset, job, seconds)
            rows.append(row)
            print(_line(row), flush=True)
    for seconds in (0.0, *args.seconds):
        print(_line(summary([row for row in rows if row['seconds'] == seconds])))
    print(
        f'mmssp {mmssp.__version__}, torch {torch.__version__}, Python '
        f'{platform.python_version()}, {torch.get_num_threads()} threads; {args.model}, '
        f'{args.shots} labelled images, seed {args.seed}'
    )
    if args.json:
        with atomic_path(args.json) as path:
            path.write_text(json.dumps(rows))


def jobs(dataset: EpisodicDataset, args: argparse.Namespace) -> Iterator[Job]:
    """Classes with enough images that show more than some pixels of them."""
    index = dataset.index
    for class_id in dataset.class_ids:
        name, label = dataset.class_names[class_id], dataset.labels[class_id]
        if args.classes and name not in args.classes:
            continue
        images = range(index.num_images)
        there = [i for i in images if label in index.classes_in(i)]
        shown = [
            i
            for i in there
            if (binary_mask(load(dataset, i)[1], label) == 1).sum() >= LEAST_PIXELS
        ]
        if len(shown) < args.shots + LEAST_QUERIES:
            continue
        rng = np.random.default_rng(args.seed)
        order = [shown[k] for k in rng.permutation(len(shown))]
        without = sorted(set(images) - set(there))
        chosen = rng.permutation(len(without))[: args.queries]
        yield Job(
            name,
            label,
            order[: args.shots],
            order[args.shots : args.shots + args.queries],
            [without[k] for k in chosen],
        )


def measure(
    args: argparse.Namespace, dataset: EpisodicDataset, job: Job, seconds: float
) -> dict:
    """One class, adapted for some seconds, or not at all for 0."""
    inferencer = FewShotInferencer(args.model, presence_threshold=0.0)
    images, masks = zip(*(of_class(dataset, i, job) for i in job.supports), strict=True)
    inferencer.set_support(list(images), list(masks), NAME, class_value=1)
    chosen = '-'
    if seconds:
        chosen = inferencer.adapt(seconds, progress=False)[NAME].choice
    counts, edges, scores, times, doubts = [], [], [], [], []
    for image, truth in (of_class(dataset, i, job) for i in job.queries):
        start = time.perf_counter()
        result = inferencer.predict(image)
        counts.append(overlap(result.mask == 1, truth))
        times.append(time.perf_counter() - start)
        edges.append(boundary_overlap(result.mask == 1, truth))
        scores.append(result.scores[NAME])
        doubts.append(result.doubt)
    absent = [
        inferencer.predict(of_class(dataset, i, job)[0]).scores[NAME]
        for i in job.without
    ]
    doubted, trusted = halves(doubts)
    row = dict(
        job=job.name,
        seconds=seconds,
        by=chosen,
        IoU=iou(counts),
        doubted_IoU=iou([counts[k] for k in doubted]),
        trusted_IoU=iou([counts[k] for k in trusted]),
        boundary_IoU=iou(edges),
        there=scores,
        absent=absent,
        image_seconds=median(times),
    )
    if args.correct and seconds:
        row.update(correct(inferencer, dataset, job, counts, args.correct))
    return row


def correct(
    inferencer: FewShotInferencer,
    dataset: EpisodicDataset,
    job: Job,
    before: Sequence[tuple[int, int]],
    seconds: float,
) -> dict:
    """The worst query is labelled, and learning goes on: it, and the others."""
    worst = min(range(len(before)), key=lambda k: before[k][0] / max(before[k][1], 1))
    image, truth = of_class(dataset, job.queries[worst], job)
    inferencer.add_support(image, truth, NAME, class_value=1)
    inferencer.adapt(seconds, progress=False)
    after = []
    for i in job.queries:
        image, truth = of_class(dataset, i, job)
        after.append(overlap(inferencer.predict(image).mask == 1, truth))
    others = [k for k in range(len(before)) if k != worst]
    return dict(
        worst_before=iou([before[worst]]),
        worst_after=iou([after[worst]]),
        others_before=iou([before[k] for k in others]),
        others_after=iou([after[k] for k in others]),
    )


def of_class(
    dataset: EpisodicDataset, image: int, job: Job
) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = load(dataset, image)
    return pixels, binary_mask(labels, job.label)


def iou(counts: Sequence[tuple[int, int]]) -> float:
    """In percent, of all pixels together."""
    both, either = (sum(values) for values in zip(*counts, strict=True))
    return 100 * both / max(either, 1)


def halves(doubts: Sequence[float]) -> tuple[list[int], list[int]]:
    """Of the images, the half in more doubt and the other; the middle one is in both."""
    order = sorted(range(len(doubts)), key=lambda k: -doubts[k])
    size = (len(order) + 1) // 2
    return order[:size], order[-size:]


def separated(there: Sequence[float], absent: Sequence[float]) -> tuple[float, float]:
    """Area under the ROC, and the share rejected where 95 % are found."""
    with_it, without = np.array(there), np.array(absent)
    threshold = np.sort(with_it)[int((1 - FOUND) * len(with_it))]
    return roc_area(with_it, without), float((without < threshold).mean())


def summary(rows: Sequence[dict]) -> dict:
    """The mean of all jobs; presence by one threshold for all of them."""
    found = dict(
        rows[0],
        job='mean of IoU; presence of all',
        by=f'{len(rows)} jobs',
        there=[s for row in rows for s in row['there']],
        absent=[s for row in rows for s in row['absent']],
    )
    for key, value in rows[0].items():
        if isinstance(value, float) and key != 'seconds':
            found[key] = float(np.mean([row[key] for row in rows]))
    return found


def _line(row: dict) -> str:
    area, rejected = separated(row['there'], row['absent'])
    text = (
        f'{row["job"]:28s} {row["seconds"]:4.0f} s  IoU {row["IoU"]:5.1f}  '
        f'boundary {row["boundary_IoU"]:5.1f}  presence: area {area:.2f}, '
        f'{rejected:4.0%} rejected at {FOUND:.0%} found  '
        f'{row["image_seconds"]:.2f} s an image  in doubt {row["doubted_IoU"]:.1f}, '
        f'not {row["trusted_IoU"]:.1f}  {row["by"]}'
    )
    if 'worst_after' in row:
        text += (
            f'\n{"":28s} corrected: {row["worst_before"]:.1f} -> '
            f'{row["worst_after"]:.1f}, others {row["others_before"]:.1f} -> '
            f'{row["others_after"]:.1f}'
        )
    return text

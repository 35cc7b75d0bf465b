"""Measuring the guided filter, by a grid of its settings."""

import argparse
import platform
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from prettytable import PrettyTable

import mmssp
from measuring.inferencer import load, overlap
from mmssp.apis import FewShotInferencer
from mmssp.datasets.class_masks import binary_mask
from mmssp.evaluation.boundary import boundary_overlap
from mmssp.models import GuidedFilterRefiner
from mmssp.runtime.config import load_config, set_episodes

RADII = (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)
EPS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)

Counts = dict[int, np.ndarray]
"""Class → intersection, union, and those of boundaries, of all its episodes."""


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    init_default_scope('mmseg')
    inferencer = FewShotInferencer(args.model, args.weights, presence_threshold=0.0)
    refiners: dict[str, GuidedFilterRefiner | None] = {'none': None}
    for radius, eps in product(RADII, EPS):
        refiner = GuidedFilterRefiner(radius, eps)
        refiners[name_of(refiner)] = refiner
    table = PrettyTable(
        [
            'shots',
            'refiner',
            'mIoU',
            'boundary IoU',
            'other half: mIoU',
            'boundary IoU ',
        ]
    )
    table.align = 'l'
    for shots in args.shots:
        cfg = load_config(args.config, args.cfg_options)
        set_episodes(
            cfg, 'test_dataloader', shots=shots, num_episodes=args.episodes, seed=0
        )
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        found = measure(inferencer, dataset, args.episodes, refiners)
        classes = sorted(found['none'])
        best = max(refiners, key=lambda name: sum(means(found[name], classes[::2])))
        usual = name_of(GuidedFilterRefiner())
        for name in dict.fromkeys(('none', best, usual)):
            values = means(found[name], classes) + means(found[name], classes[1::2])
            chosen = f'{name}, chosen' if name == best else name
            table.add_row([shots, chosen, *(f'{value:.1f}' for value in values)])
    print(table)
    print(
        f'mmssp {mmssp.__version__}, torch {torch.__version__}, Python '
        f'{platform.python_version()}; {args.model}, {args.episodes} episodes'
    )


def name_of(refiner: GuidedFilterRefiner) -> str:
    return f'radius {refiner.radius}, eps {refiner.eps:g}'


def measure(
    inferencer: FewShotInferencer,
    dataset,
    episodes: int,
    refiners: dict[str, GuidedFilterRefiner | None],
) -> dict[str, Counts]:
    """Counts of all episodes, by refiner."""
    found: dict[str, Counts] = {name: {} for name in refiners}
    for i in range(episodes):
        episode, class_id = dataset.episode(i), dataset.class_id(i)
        supports = [load(dataset, image) for image in episode.supports]
        inferencer.set_support(
            [image for image, _ in supports],
            [binary_mask(mask, episode.label) for _, mask in supports],
            class_value=1,
        )
        image, labels = load(dataset, episode.query)
        truth = binary_mask(labels, episode.label)
        probability = inferencer.predict(image).probabilities
        for name, refiner in refiners.items():
            refined = probability
            if refiner is not None:
                refined = refiner.refine(image, probability)
            counts = found[name].setdefault(class_id, np.zeros(4, np.int64))
            region = refined[0] > 0.5
            counts += np.array(
                [*overlap(region, truth), *boundary_overlap(region, truth)]
            )
    return found


def means(counts: Counts, classes: Sequence[int]) -> tuple[float, float]:
    """mIoU and mean boundary IoU of classes, in percent."""
    all_of_them = np.array([counts[c] for c in classes], float)
    regions = all_of_them[:, 0] / np.maximum(all_of_them[:, 1], 1)
    boundaries = all_of_them[:, 2] / np.maximum(all_of_them[:, 3], 1)
    return 100 * float(regions.mean()), 100 * float(boundaries.mean())

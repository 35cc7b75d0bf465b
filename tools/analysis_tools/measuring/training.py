"""Measuring what training on a few photos is worth."""

import argparse
import json
import platform
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import MODELS
from prettytable import PrettyTable
from torch import nn

import mmssp
from mmssp.runtime.config import load_config
from mmssp.utils.quiet import quiet

UNTRAINED = 'untrained'


class Split(NamedTuple):
    """Positions of photos in the JSON, and the classes that are not trained on."""

    train: list[int]
    test: list[int]
    novel: list[str]


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    init_default_scope('mmseg')
    content = json.loads(Path(args.data_root, args.ann_file).read_text('utf-8'))
    found: dict[str, list[list[float]]] = defaultdict(list)
    for fold in args.folds:
        own = split(
            content, fold, args.num_folds, args.photos, args.min_pixels, args.base
        )
        print(f'fold {fold}: {len(own.train)} photos, without {", ".join(own.novel)}')
        tests = [episodes(args, own, shots) for shots in args.shots]
        for path in (UNTRAINED, *args.configs):
            model = trained(path, args, own)
            scores = [score(model, test) for test in tests]
            found[path].append(scores)
            text = ', '.join(
                f'{shots}-shot {value:.1f}'
                for shots, value in zip(args.shots, scores, strict=True)
            )
            print(f'  {Path(path).stem}: {text}', flush=True)
    table = PrettyTable(['mIoU', *(f'{shots}-shot' for shots in args.shots)])
    table.align = 'l'
    for path, by_fold in found.items():
        means = np.mean(by_fold, axis=0)
        table.add_row([Path(path).stem, *(f'{value:.1f}' for value in means)])
    print(table)
    print(
        f'mmssp {mmssp.__version__}, torch {torch.__version__}, Python '
        f'{platform.python_version()}; mean of folds {args.folds}, {args.episodes} '
        'episodes each'
    )


def split(
    content: dict[str, Any],
    fold: int,
    num_folds: int,
    photos: int,
    min_pixels: int,
    base: Sequence[str] = (),
) -> Split:
    """Photos to train on and to test on, of which the former show no novel class.

    Args:
        content: Of a COCO JSON.
        fold: 0-based.
        num_folds: Folds that the classes with two or more usable photos are dealt into.
        photos: To train on; fewer if novel classes leave fewer.
        min_pixels: Of a class, that make a photo usable.
        base: Classes in no fold.
    """
    names = {category['id']: category['name'] for category in content['categories']}
    areas: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for annotation in content['annotations']:
        if not annotation.get('iscrowd'):
            image = annotation['image_id']
            areas[names[annotation['category_id']]][image] += annotation['area']
    usable = {
        name: sum(area >= min_pixels for area in images.values())
        for name, images in areas.items()
    }
    dealt = sorted(
        (name for name in usable if usable[name] >= 2 and name not in base),
        key=lambda name: (-usable[name], name),
    )
    novel = dealt[fold::num_folds]
    shown = {image for name in novel for image in areas[name]}
    ids = [image['id'] for image in content['images']]
    rest = [i for i, image in enumerate(ids) if image not in shown]
    np.random.default_rng(0).shuffle(rest)
    train = sorted(rest[:photos])
    return Split(train, sorted({*range(len(ids))} - {*train}), novel)


def episodes(
    args: argparse.Namespace, own: Split, shots: int, training: bool = False
) -> dict[str, Any]:
    """Config of an EpisodicDataset."""
    load: list[dict[str, Any]] = [dict(type='LoadImage'), dict(type='LoadMask')]
    resize = dict(type='Resize', scale=(args.size, args.size), keep_ratio=False)
    config = dict(
        type='EpisodicDataset',
        dataset=dict(
            type='CocoSegDataset',
            data_root=args.data_root,
            ann_file=args.ann_file,
            data_prefix=dict(img_path=args.img_path),
            indices=own.train if training else own.test,
        ),
        novel_classes=own.novel,
        shots=shots,
        min_pixels=args.min_pixels,
        allow_missing_classes=True,
    )
    if training:
        flip = dict(type='RandomFlip', prob=0.5)
        pipeline = [*load, resize, flip]
        return dict(config, split='base', pipeline=pipeline, num_episodes=1000, seed=0)
    return dict(
        config,
        split='novel',
        pipeline=[load[0], resize, load[1]],
        support_pipeline=[*load, resize],
        num_episodes=args.episodes,
        seed=7,
    )


def trained(path: str, args: argparse.Namespace, own: Split) -> nn.Module:
    """The model of a config behind its training; untrained, that of the first config."""
    untrained = path == UNTRAINED
    cfg = load_config(args.configs[0] if untrained else path, args.cfg_options)
    if untrained:
        model = MODELS.build(cfg.model)
        with quiet():
            model.init_weights()
        return model
    # taken out, since an update would merge the two
    shots = cfg.train_dataloader.pop('dataset').get('shots', 1)
    cfg.train_dataloader.update(
        num_workers=0,
        persistent_workers=False,
        dataset=episodes(args, own, shots, training=True),
    )
    for name in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            cfg[f'{name}_{part}'] = None
    cfg.custom_hooks = []
    cfg.default_hooks.pop('visualization', None)
    cfg.default_hooks.update(checkpoint=None, logger=None)
    cfg.log_level = 'WARNING'
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        runner = Runner.from_cfg(Config(cfg._cfg_dict))
        runner.train()
    return runner.model


def score(model: nn.Module, dataset: dict[str, Any]) -> float:
    """mIoU in percent on the classes of a data set that have enough photos."""
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(
            model=model,
            work_dir=folder,
            test_dataloader=dict(
                batch_size=1,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                collate_fn=dict(type='episode_collate'),
                dataset=dataset,
            ),
            test_cfg=dict(type='EpisodicTestLoop'),
            test_evaluator=dict(type='FewShotIoUMetric', prefix='novel'),
            default_hooks=dict(logger=None, checkpoint=None),
            log_level='WARNING',
            default_scope='mmseg',
        )
        return float(runner.test()['novel/mIoU'])

"""Profiling matching and encoding: tables of what takes longest."""

import argparse
from collections.abc import Callable
from typing import Any

import torch
from benchmarks.machine import Setup
from benchmarks.models import photo_batch, random_model
from benchmarks.scenes import feature_scene
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch.profiler import ProfilerActivity, profile

ROWS = 25
WARMUP = 3


def table(call: Callable[[], Any], device: str) -> str:
    """The operators of one call that take longest, after a warm-up."""
    for _ in range(WARMUP):
        call()
    activities = [ProfilerActivity.CPU]
    if device == 'cuda':
        activities.append(ProfilerActivity.CUDA)
        torch.cuda.synchronize()
    with profile(activities=activities) as record:
        call()
        if device == 'cuda':
            torch.cuda.synchronize()
    order = f'self_{device}_time_total'
    return record.key_averages().table(sort_by=order, row_limit=ROWS)


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    args.out.mkdir(parents=True, exist_ok=True)
    channels, side, size = (64, 12, 97) if args.small else (1024, 60, 473)

    init_default_scope('mmseg')
    config = dict(type='SSPHead', in_channels=channels, refine=True)
    head = MODELS.build(config).to(args.device)
    scene = feature_scene(4, 1, channels, (side, side))
    scene = {name: x.to(args.device) for name, x in scene.items()}
    names = ('query_features', 'support_features', 'support_mask')
    model = random_model(Setup(args.device))
    batch = photo_batch(model, 4, (size, size)).to(args.device)

    @torch.no_grad()
    def matching() -> None:
        head.match(*(scene[name] for name in names))

    @torch.no_grad()
    def encoding() -> None:
        model.encode(batch)

    for name, call in (('matching', matching), ('encoding', encoding)):
        (args.out / f'{name}.txt').write_text(table(call, args.device))
        print(args.out / f'{name}.txt')

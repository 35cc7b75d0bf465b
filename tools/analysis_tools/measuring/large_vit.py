"""Timing matching on features of a backbone of DINOv2-L's size."""

import argparse
import sys

import torch
from benchmarks.machine import Setup, describe
from benchmarks.timing import interleaved, peak_memory
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

LARGE = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16)
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
PATCH = 14
SKIPPED = 77
"""Exit code of what was not done, as Automake has it."""


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    try:
        from transformers import Dinov2Backbone, Dinov2Config
    except ImportError as error:
        print(f'skipped: transformers cannot be imported ({error})')
        sys.exit(SKIPPED)
    init_default_scope('mmseg')
    side = 7 * PATCH if args.small else 34 * PATCH
    config = Dinov2Config(
        **(SMALL if args.small else LARGE),
        image_size=37 * PATCH,
        patch_size=PATCH,
        reshape_hidden_states=True,
    )
    torch.manual_seed(0)
    backbone = Dinov2Backbone(config).to(args.device).eval()
    head = MODELS.build(dict(type='SSPHead', in_channels=config.hidden_size))
    head = head.to(args.device).eval()
    images = torch.randn(2, 3, side, side, device=args.device)
    mask = torch.zeros(1, 1, side, side, dtype=torch.uint8, device=args.device)
    mask[..., side // 4 : side // 2, side // 4 : side // 2] = 1

    @torch.no_grad()
    def episode(dtype: torch.dtype | None = None) -> torch.Tensor:
        with torch.autocast(args.device, dtype, enabled=dtype is not None):
            query, support = backbone(images).feature_maps[0].float().split(1)
        return head.match(query, support[None], mask)['final']

    def in_bfloat16() -> torch.Tensor:
        return episode(torch.bfloat16)

    calls = {'float32': episode, 'bfloat16': in_bfloat16}
    for call in calls.values():
        call()
    seconds = interleaved(calls, 5, args.device)
    for name, call in calls.items():
        peak = peak_memory(call, args.device) / 2**20
        print(
            f'{name}: {seconds[name] * 1e3:.1f} ms an episode of two images of '
            f'{side}x{side}, peak {peak:.0f} MiB beside the weights'
        )
    print(describe(Setup(args.device)))

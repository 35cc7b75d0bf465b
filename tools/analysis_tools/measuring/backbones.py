"""Measuring what backbones cost."""

import argparse
import json
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from benchmarks.machine import Setup, describe
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from prettytable import PrettyTable, TableStyle
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmssp.apis.models import FOLDERS, find_config
from mmssp.runtime.config import load_config

MIB = 2**20
STATUS = Path('/proc/self/status')
RESET = Path('/proc/self/clear_refs')


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    if min(args.sizes) < 32 or args.repeats < 1 or args.threads < 1:
        raise ValueError(
            f'found sizes {args.sizes}, {args.repeats} repeats and {args.threads} threads; '
            'expected sizes of 32 or more, and one or more of the others'
        )
    names = args.names or sorted(
        {p.stem for f in FOLDERS for p in (f / '_base_' / 'models').glob('*.py')}
    )
    for name in names:
        find_config(name)
    columns = [f'{what}, {size}²' for size in args.sizes for what in MEASURES]
    table = PrettyTable(['model', 'M parameters', 'stride', *columns])
    table.set_style(TableStyle.MARKDOWN)
    records = []
    for name in names:
        # a process of its own, so that its peak of memory is its own
        with multiprocessing.get_context('spawn').Pool(1) as pool:
            found = [
                pool.apply(
                    measure, (name, size, args.device, args.threads, args.repeats)
                )
                for size in args.sizes
            ]
        records += found
        first = found[0]
        values = [f'{record[key]:.0f}' for record in found for key in MEASURES.values()]
        table.add_row(
            [name, f'{first["parameters"] / 1e6:.1f}', first['stride'], *values]
        )
        print(table.get_string(start=len(table.rows) - 1), flush=True)
    torch.set_num_threads(args.threads)
    machine = describe(Setup(device=torch.device(args.device).type))
    print(table)
    print(', '.join(f'{key} {value}' for key, value in machine.items()))
    if args.out:
        record = dict(machine=machine, repeats=args.repeats, records=records)
        args.out.write_text(json.dumps(record, indent=1) + '\n', encoding='utf-8')


MEASURES = {'GFLOP': 'gflop', 'ms': 'ms', 'MiB': 'mib'}


def build(name: str) -> torch.nn.Module:
    """A model as its config has it, with random weights, in eval mode."""
    init_default_scope('mmseg')
    model = load_config(str(find_config(name))).model
    for key in ('weights', 'init_cfg'):
        if key in model.backbone:
            model.backbone[key] = None
    if 'pretrained' in model.backbone:
        model.backbone.pretrained = False
    built = MODELS.build(model).eval()
    return built.requires_grad_(False)


def measure(
    name: str, size: int, device: str, threads: int, repeats: int
) -> dict[str, Any]:
    """What encoding one image costs.

    Args:
        name: Of the model.
        size: Side of the image, pixels.
        device: As PyTorch names it.
        threads: On a CPU.
        repeats: Of which the median counts.

    Returns:
        ``parameters`` of the backbone; ``stride`` in pixels; ``gflop``, 10⁹ additions and
        multiplications in products and convolutions; ``ms``; ``mib``, the peak of memory
        in MiB beside weights and image (0 where the system does not tell).
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = build(name).to(device)
    image = torch.randn(1, 3, size, size, device=device)
    on_gpu = torch.device(device).type == 'cuda'
    model.encode(torch.zeros(1, 3, 64, 64, device=device))  # what is made once is made
    if on_gpu:
        model.encode(image)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        before = _reset_peak()
    features = model.encode(image)
    peak = torch.cuda.max_memory_allocated() if on_gpu else _memory('VmHWM')
    times = [_seconds(model, image, on_gpu) for _ in range(repeats)]
    # attention as two products, which the counter knows
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.to('meta').encode(image.to('meta'))
    return dict(
        name=name,
        size=size,
        parameters=sum(p.numel() for p in model.backbone.parameters()),
        stride=model.stride or round(size / features.shape[-1]),
        gflop=counter.get_total_flops() / 1e9,
        ms=1e3 * statistics.median(times),
        mib=(peak - before) / MIB,
    )


def _seconds(model: torch.nn.Module, image: torch.Tensor, on_gpu: bool) -> float:
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    model.encode(image)
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - start


def _reset_peak() -> int:
    """Forget the process's peak of memory; returns its bytes at present."""
    if RESET.exists():
        RESET.write_text('5')
    return _memory('VmRSS')


def _memory(key: str) -> int:
    """Bytes, from the process's status on Linux; 0 elsewhere."""
    if not STATUS.exists():
        return 0
    lines = STATUS.read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f'{key}:'))
    return int(line.split()[1]) * 1024

"""All benchmarks, by name."""

import argparse
import sys
from collections.abc import Callable

import torch
from mmengine.logging import MMLogger

from benchmarks import (
    encode,
    evaluation,
    index,
    matching,
    precision,
    prediction,
    processes,
    train_step,
)
from benchmarks.machine import Setup, describe
from benchmarks.report import render, write_json
from mmssp.utils.files import check_writable

# subject → the benchmark, and the options it takes
BENCHMARKS: dict[str, tuple[Callable, tuple[str, ...]]] = {
    'matching': (matching.run, ('shots',)),
    'encode': (encode.run, ('size',)),
    'train-step': (train_step.run, ('shots', 'size')),
    'prediction': (prediction.run, ('shots', 'size')),
    'evaluation': (
        evaluation.run,
        ('shots', 'images', 'episodes', 'plain_episodes'),
    ),
    'index': (index.run, ()),
    'precision': (precision.run, ('shots',)),
    'processes': (processes.run, ('size',)),
}


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    if args.device == 'cuda' and not torch.cuda.is_available():
        sys.exit('error: --device cuda: PyTorch finds no GPU here')
    if args.tf32 and args.device != 'cuda':
        sys.exit('error: --tf32 is about GPUs; add --device cuda')
    if args.json:
        check_writable(args.json)
    if args.threads:
        torch.set_num_threads(args.threads)
    # before the first runner there would be a line for each parameter of a model
    MMLogger.get_instance('benchmark').setLevel('ERROR')
    setup = Setup(
        device=args.device,
        dtype=args.dtype,
        tf32=args.tf32,
        channels_last=args.channels_last,
        compile=args.compile,
        repeats=args.repeats,
    )
    rows = []
    for name in BENCHMARKS if args.what == 'all' else [args.what]:
        print(f'{name} ...', file=sys.stderr, flush=True)
        function, known = BENCHMARKS[name]
        options = {option: getattr(args, option) for option in known}
        if name == 'evaluation' and args.shots:
            options['shots'] = (args.shots,)
        options = {key: value for key, value in options.items() if value is not None}
        rows += function(setup, **options)
    machine = describe(setup)
    print(render(rows, machine, args.markdown))
    if args.json:
        write_json(args.json, rows, machine)

"""Time mmssp beside a plain implementation: python tools/analysis_tools/benchmark.py WHAT

Both sides run in turns in one process, on drawn data. The plain side is written as a
method's release usually is: one image at a time, everything encoded again in every
episode, in float32 (see benchmarks/plain_ssp.py).
"""

import argparse
import os
import sys
from collections.abc import Callable

# the profiler, which measures memory, else prints lines of its own
os.environ['KINETO_LOG_LEVEL'] = '99'

import mmssp  # noqa: F401  before the others: it checks what they need

# isort: split
import torch
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
from benchmarks.machine import DTYPES, Setup, describe
from benchmarks.report import render, write_json
from mmengine.logging import MMLogger

from mmssp.utils.command import run
from mmssp.utils.files import check_writable

# name → the benchmark, and the options it takes
BENCHMARKS: dict[str, tuple[Callable, tuple[str, ...]]] = {
    'matching': (matching.run, ('shots',)),
    'encode': (encode.run, ('size',)),
    'train-step': (train_step.run, ('shots', 'size')),
    'prediction': (prediction.run, ('shots', 'size')),
    'evaluation': (evaluation.run, ('shots', 'plain_episodes')),
    'index': (index.run, ()),
    'precision': (precision.run, ('shots',)),
    'processes': (processes.run, ('size',)),
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'what', choices=[*BENCHMARKS, 'all'], metavar='WHAT',
        help=f'{", ".join(BENCHMARKS)} or all',
    )  # fmt: skip
    parser.add_argument(
        '--device', choices=('cpu', 'cuda'), default='cpu', help='default: cpu'
    )
    parser.add_argument(
        '--dtype',
        choices=list(DTYPES),
        default='float32',
        help='precision of our side; the plain side keeps float32',
    )
    parser.add_argument(
        '--tf32', action='store_true', help='TF32 products on our side (CUDA)'
    )
    parser.add_argument(
        '--channels-last', action='store_true', help='memory format of our side'
    )
    parser.add_argument(
        '--compile', action='store_true', help='torch.compile on our side'
    )
    parser.add_argument('--threads', type=positive, help="PyTorch's threads on the CPU")
    parser.add_argument(
        '--repeats', type=positive, help='timed calls; the median counts'
    )
    parser.add_argument(
        '--shots',
        type=positive,
        metavar='K',
        help='supports an episode; 1 by default, 5 for prediction, 1 and 5 for evaluation',
    )
    parser.add_argument(
        '--size',
        type=positive,
        help='side of the images that are encoded; 473 by default; on a CPU '
        '241 for train-step and 193 for processes',
    )
    parser.add_argument(
        '--plain-episodes',
        type=positive,
        metavar='N',
        help='episodes that the plain evaluation is timed on; its time is scaled to all',
    )
    parser.add_argument('--json', metavar='F.json', help='write the figures in full')
    parser.add_argument(
        '--markdown', action='store_true', help='print tables in Markdown'
    )
    return parser.parse_args()


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{number}: expected 1 or more')
    return number


def main() -> None:
    args = parse_args()
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


if __name__ == '__main__':
    run(main)

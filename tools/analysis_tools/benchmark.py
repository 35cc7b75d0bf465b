"""Time mmssp beside a plain implementation: python tools/analysis_tools/benchmark.py WHAT

Both sides run in turns in one process, on drawn data. The plain side is written as a
method's release usually is: one image at a time, everything encoded again in every
episode, in float32 (see benchmarks/plain_ssp.py).
"""

import argparse
import os

# the profiler, which measures memory, else prints lines of its own
os.environ['KINETO_LOG_LEVEL'] = '99'
__options_first__ = True

from benchmarks import PRECISIONS, SUBJECTS

from mmssp.utils.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'what', choices=[*SUBJECTS, 'all'], metavar='WHAT',
        help=f'{", ".join(SUBJECTS)} or all',
    )  # fmt: skip
    parser.add_argument(
        '--device', choices=('cpu', 'cuda'), default='cpu', help='default: cpu'
    )
    parser.add_argument(
        '--dtype',
        choices=PRECISIONS,
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
    parser.add_argument(
        '--images', type=positive, metavar='N', help='images that evaluation draws'
    )
    parser.add_argument(
        '--episodes', type=positive, metavar='N', help='episodes of each of its runs'
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


def main(args: argparse.Namespace) -> None:
    from benchmarks import suite

    suite.main(args)


if __name__ == '__main__':
    run(main, parse_args)

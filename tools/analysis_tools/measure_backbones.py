"""What backbones cost: python tools/analysis_tools/measure_backbones.py [NAMES]

Each model of configs/_base_/models is built with random weights, and one image of each size
is encoded: parameters, operations, time and memory do not depend on what weights know. Time
is that of the process's own threads, which other work on the machine hardly changes; on a
GPU it is that of the clock, and the GPU has to be free.
"""

import argparse
from pathlib import Path

__options_first__ = True

from mmssp.utils.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('names', nargs='*', help='models; all by default')
    parser.add_argument('--sizes', type=int, nargs='+', default=[480, 1024])
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=1, help='on a CPU; default: 1')
    parser.add_argument('--repeats', type=int, default=3, help='default: 3')
    parser.add_argument('--out', type=Path, metavar='F.json')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from measuring import backbones

    backbones.main(args)


if __name__ == '__main__':
    run(main, parse_args)

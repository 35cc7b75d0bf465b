"""Compare two tests on the same episodes: compare_results.py A.json B.json

Both files are what tools/test.py --out wrote, of the same protocol and episodes. Printed
are mIoU and FB-IoU of both with the difference B - A, its 95 % interval and two-sided p
(paired bootstrap over episodes, within each run), the classes that differ most, and the
episodes with the largest gains and losses; with --show-dir and --config these are drawn.
"""

import argparse

__options_first__ = True

from mmssp.arguments.shared_options import add_cfg_options
from mmssp.utils.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('a', metavar='A.json', help='scores and records of a test')
    parser.add_argument('b', metavar='B.json', help='of another on the same episodes')
    parser.add_argument(
        '--names',
        nargs=2,
        metavar=('A', 'B'),
        help='what to call the two (default: their file names)',
    )
    parser.add_argument(
        '--resamples', type=int, default=10000, help='of the bootstrap (default: 10000)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the bootstrap (default: 0)'
    )
    parser.add_argument('--out', metavar='C.json', help='write the comparison')
    parser.add_argument(
        '--show-dir',
        metavar='D',
        help='draw the episodes with the largest gains and losses into D; needs --config',
    )
    parser.add_argument(
        '--config', help='config that was tested (either), to load the images by'
    )
    parser.add_argument(
        '--num-panels',
        type=int,
        default=5,
        metavar='N',
        help='episodes listed and drawn, of gains and of losses (default: 5)',
    )
    add_cfg_options(
        parser,
        'override settings of the config, as in the test',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from comparing import report

    report.main(args)


if __name__ == '__main__':
    run(main, parse_args)

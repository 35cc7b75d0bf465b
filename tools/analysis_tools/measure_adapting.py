"""Measure learning from the labelled images: python measure_adapting.py CONFIG

Of each class of a test config's data set some images are labelled, others are segmented:
as they are, and after adapting for some seconds. Also: whether presence scores separate
images with the object from images without it, and what a correction changes.
"""

import argparse

__options_first__ = True

from mmssp.arguments.shared_options import add_cfg_options
from mmssp.utils.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config whose test data set gives the images')
    parser.add_argument('--model', default='ssp_efficientnet-lite0')
    parser.add_argument('--shots', type=int, default=5)
    parser.add_argument(
        '--seconds', type=float, nargs='+', default=[10, 60], help='default: 10 60'
    )
    parser.add_argument('--queries', type=int, default=12, help='of a class, at most')
    parser.add_argument('--classes', nargs='+', help='names (default: all)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--correct', type=float, nargs='?', const=10, metavar='SECONDS',
        help='measure a correction as well, and learn on for so long (default: 10)',
    )  # fmt: skip
    parser.add_argument('--json', metavar='F.json')
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from measuring import adapting

    adapting.main(args)


if __name__ == '__main__':
    run(main, parse_args)

"""Measure the guided filter: python tools/analysis_tools/measure_refiner.py CONFIG

Episodes of a test config's data set are matched once; their probabilities are refined by
each setting of a grid. Radius and eps are chosen on every second class, by the sum of
mIoU and mean boundary IoU; all classes are reported, and the other half by itself.
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
    parser.add_argument('--weights')
    parser.add_argument('--episodes', type=int, default=100)
    parser.add_argument(
        '--shots', type=int, nargs='+', default=[1, 5], help='default: 1 5'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from measuring import refiner

    refiner.main(args)


if __name__ == '__main__':
    run(main, parse_args)

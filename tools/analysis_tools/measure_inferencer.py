"""Measure the inferencer: python tools/analysis_tools/measure_inferencer.py WHAT CONFIG

Episodes are drawn from a test config's data set; supports are marked in several ways, all
made from their full masks. Also: how well the presence score separates images with the
object from images without it, N-way label maps, latency, and memory over many predictions.
"""

import argparse

__options_first__ = True

from mmssp.arguments.shared_options import add_cfg_options
from mmssp.utils.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'what', choices=('annotations', 'presence', 'ways', 'memory'), metavar='WHAT',
        help='annotations, presence, ways or memory',
    )  # fmt: skip
    parser.add_argument('config', help='config whose test data set gives the images')
    parser.add_argument('--model', default='ssp_efficientnet-lite0')
    parser.add_argument('--weights')
    parser.add_argument('--episodes', type=int, default=200)
    parser.add_argument(
        '--shots', type=int, nargs='+', default=[1, 5], help='default: 1 5'
    )
    parser.add_argument('--image-size', type=int, default=480)
    parser.add_argument('--json', metavar='F.json')
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from measuring import inferencer

    inferencer.main(args)


if __name__ == '__main__':
    run(main, parse_args)

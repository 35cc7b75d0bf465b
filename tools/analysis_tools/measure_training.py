"""Measure what training on a few photos is worth, on classes that were not trained on.

python tools/analysis_tools/measure_training.py CONFIG … --data-root data/coco128 \\
    --ann-file annotations/instances_train2017.json --img-path images

Classes of a COCO JSON are dealt into folds, the most frequent ones first. Of each fold
all photos that show its classes are for testing, filled up by others; the model is
trained on the remaining ones. A config gives model, optimizer and schedule; data, image
size and episodes are the same for all.
"""

import argparse

__options_first__ = True

from mmssp.arguments.shared_options import add_cfg_options
from mmssp.utils.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    parser.add_argument('--data-root', required=True)
    parser.add_argument('--ann-file', default='labels.json', help='below the root')
    parser.add_argument('--img-path', default='images', help='below the root')
    parser.add_argument('--photos', type=int, default=64, help='to train on')
    parser.add_argument('--num-folds', type=int, default=4)
    parser.add_argument('--folds', type=int, nargs='+', default=[0, 1, 2, 3])
    parser.add_argument('--shots', type=int, nargs='+', default=[1, 5])
    parser.add_argument('--episodes', type=int, default=300)
    parser.add_argument('--size', type=int, default=320, help='side of the images')
    parser.add_argument('--min-pixels', type=int, default=1000)
    parser.add_argument('--base', nargs='*', default=[], help='classes never held out')
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from measuring import training

    training.main(args)


if __name__ == '__main__':
    run(main, parse_args)

"""A backbone of DINOv2-L's size with random weights, matched by SSP: time and memory.

usage: python tools/analysis_tools/time_large_vit.py [--device cuda] [--small]
"""

import argparse
import os

# the profiler, which measures memory, else prints lines of its own
os.environ['KINETO_LOG_LEVEL'] = '99'
__options_first__ = True

from mmssp.utils.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--small', action='store_true', help='small sizes, for a try')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from measuring import large_vit

    large_vit.main(args)


if __name__ == '__main__':
    run(main, parse_args)

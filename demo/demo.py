"""The whole of mmssp in minutes on a CPU: draw data, train, test, table, picture.

Everything is made here: the data set is drawn, the ImageNet features come with a package.
"""

import argparse

__options_first__ = True

from mmssp.utils.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw Shapes-5i, train SSP and its baseline on fold 0, test both on '
        'the five novel classes.'
    )
    parser.add_argument(
        '--out', default='demo_output', help='folder for data, checkpoints and pictures'
    )
    parser.add_argument(
        '--episodes', type=int, default=200, help='test episodes per run (default: 200)'
    )
    parser.add_argument(
        '--iters', type=int, help="training iterations (default: the config's)"
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    import demo_steps

    demo_steps.main(args)


if __name__ == '__main__':
    run(main, parse_args)

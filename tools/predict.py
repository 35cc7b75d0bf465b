"""Segment a folder: python tools/predict.py --support DIR --input DIR --output DIR …"""

import argparse

__options_first__ = True

from mmssp.arguments.predict_options import parse_args
from mmssp.utils.command import run


def main(args: argparse.Namespace) -> None:
    from mmssp.apis.folder.cli import predict

    predict(args)


if __name__ == '__main__':
    run(main, parse_args)

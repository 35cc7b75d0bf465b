"""Measure the parts of SSP, and what may be put into it: python ablation.py [CONFIG]

Tables, by --tables:

  paper        baseline, self-support foreground, backgrounds, losses, refinement, ASFP
  thresholds   of confident foreground and background
  shots        1, 3, 5 and 10
  annotations  supports as boxes, scribbles, points, noisy masks, half objects
  options      PANet's, PPNet's, nearest cells, clusters, debiasing, …: see matching.md

All rows of one model and one number of shots see the same episodes, and each image is
encoded once for them. Rows are measured with the config's initial weights (untrained) and
with weights trained with the row's own head (trained; rows of the other tables take those
of the head that they vary). OUT gets table.md, table.json, table.png, and what was
measured: the same command goes on where a killed one was, and measures what is new.

Without a CONFIG it is Shapes-5i (draw it by tools/dataset_converters/shapes5i.py);
configs/ssp_r50_pascal5i_1shot.py is the paper's own.
"""

import argparse
import sys
from pathlib import Path

__options_first__ = True

# for whoever loads this file from elsewhere; a script has its own folder there anyway
sys.path.append(str(Path(__file__).resolve().parent))

from ablations.rows import TABLES

from mmssp.arguments.shared_options import add_cfg_options
from mmssp.protocols import PROTOCOLS
from mmssp.utils.command import cleaning_up_on_sigterm, run

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
DEFAULT = CONFIGS / 'ssp_efficientnet-lite0_shapes5i_1shot.py'
WEIGHTS = ('untrained', 'trained')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'config', nargs='?', default=str(DEFAULT), help='default: Shapes-5i'
    )
    parser.add_argument(
        '--tables',
        nargs='+',
        choices=list(TABLES),
        metavar='T',
        default=[name for name in TABLES if name != 'options'],
        help=f'of {", ".join(TABLES)} (default: all but the last)',
    )
    parser.add_argument(
        '--weights', nargs='+', choices=WEIGHTS, default=WEIGHTS, metavar='W',
        help='untrained, trained or both (default: both)',
    )  # fmt: skip
    parser.add_argument(
        '--shots', type=int, nargs='+', default=[1], help='default: 1', metavar='K'
    )
    parser.add_argument('--fold', type=int, help='0-based; the config has the default')
    parser.add_argument('--protocol', choices=sorted(PROTOCOLS), help='of the episodes')
    parser.add_argument('--runs', type=int, help="the protocol's by default")
    parser.add_argument(
        '--episodes', type=int, help="of a run; the protocol's by default"
    )
    parser.add_argument(
        '--device', default=None, help='cpu or cuda; cuda if there is one'
    )
    parser.add_argument(
        '--out', default='work_dirs/ablation', metavar='D', help='default: %(default)s'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    from ablations import study

    study.main(args)


if __name__ == '__main__':
    with cleaning_up_on_sigterm():
        run(main, parse_args)

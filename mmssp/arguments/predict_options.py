"""The options of ``predict``."""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

from .format_names import FORMAT_NAMES, format_names

DESCRIPTION = """\
Show one to a few labelled images, get masks for all others.

  %(prog)s --support labelled --input photos --output results --adapt

With --adapt it learns from the labelled images for a minute; without it there is no
training at all.

labelled/ holds images/*.jpg and masks/*.png of the same names; or NAME.jpg beside
NAME_mask.png or a LabelMe file NAME.json; or a folder of these for each class. Then open
results/index.html. An interrupted run goes on where it was when called again; with more
labelled images, all is segmented anew.
"""


def parse_args(
    argv: Sequence[str] | None = None, prog: str | None = None
) -> argparse.Namespace:
    """The options; ends the program with exit code 2 and a sentence if they are wrong."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    support = parser.add_argument_group('what to look for')
    support.add_argument(
        '--support',
        type=os.path.expanduser,
        metavar='DIR|JSON',
        help='labelled images: a folder as above, or a COCO JSON, whose categories are '
        'the classes and whose images lie relative to it',
    )
    support.add_argument(
        '--support-bank',
        type=os.path.expanduser,
        metavar='FILE',
        help='what --save-support has written',
    )
    support.add_argument(
        '--name', help='of the class, if there is only one (default: object)'
    )
    support.add_argument(
        '--class-value',
        metavar='VALUE',
        type=lambda text: int(text) if text.lstrip('-').isdigit() else text,
        help='value in the masks, or label in LabelMe files, if there are several',
    )
    support.add_argument(
        '--tighten',
        action='store_true',
        help='fit boxes and points to the object inside (GrabCut)',
    )
    support.add_argument(
        '--allow-outside',
        action='store_true',
        help='follow image paths in a JSON that lead out of its folder',
    )
    support.add_argument(
        '--support-images',
        type=os.path.expanduser,
        metavar='DIR',
        help='where the image names of a COCO JSON start (default: its folder)',
    )
    support.add_argument(
        '--resize-masks',
        action='store_true',
        help='take masks of another size than their image, resized',
    )
    support.add_argument(
        '--save-support',
        type=os.path.expanduser,
        metavar='FILE',
        help='keep the encoded support; enough by itself, without --input',
    )
    where = parser.add_argument_group('where')
    where.add_argument(
        '--input',
        type=os.path.expanduser,
        nargs='+',
        metavar='PATH',
        help='images, folders (with their subfolders), patterns in quotes, videos',
    )
    where.add_argument(
        '--output',
        type=os.path.expanduser,
        metavar='DIR',
        help='folder for all results',
    )
    where.add_argument(
        '--every',
        type=_count,
        default=1,
        metavar='N',
        help="every N'th frame of videos (default: 1)",
    )
    where.add_argument(
        '--overwrite',
        action='store_true',
        help='predict all again, and write over what is in --output',
    )
    what = parser.add_argument_group('other tools')
    what.add_argument(
        '--format',
        type=_formats,
        default=(),
        metavar='NAMES',
        help='write results for other tools too, into exports/NAME below --output: one '
        f'or more of {",".join(FORMAT_NAMES)}, separated by commas; of finished results, '
        'without predicting again',
    )
    what.add_argument(
        '--tolerance',
        type=_pixels,
        default=1.0,
        metavar='PIXELS',
        help='how far outlines may be from the edge of a mask; 0 is exact (default: 1)',
    )
    what.add_argument(
        '--instances',
        action='store_true',
        help='each connected part of a mask is an object of its own',
    )
    what.add_argument(
        '--min-area',
        type=_size,
        default=0,
        metavar='PIXELS',
        help='leave connected parts of fewer pixels out of --format (default: 0)',
    )
    how = parser.add_argument_group('how')
    how.add_argument(
        '--adapt',
        nargs='?',
        type=_seconds,
        const=True,
        metavar='SECONDS',
        help='learn from the labelled images first, which makes masks much better '
        '(if no number is given: 60 seconds; 10, to go on from what was learned from '
        'fewer of these images)',
    )
    how.add_argument(
        '--model',
        default='ssp_efficientnet-lite0',
        help='name of a model or path of a config (default: %(default)s)',
    )
    how.add_argument(
        '--weights',
        type=os.path.expanduser,
        metavar='FILE',
        help='checkpoint of the model',
    )
    how.add_argument('--device', help='such as cpu or cuda:1 (default: a GPU, if any)')
    how.add_argument(
        '--threshold',
        type=_share,
        default=0.5,
        metavar='P',
        help='probability, 0 to 1, from which on a pixel counts (default: 0.5)',
    )
    how.add_argument(
        '--presence-threshold',
        type=_share,
        default=0.65,
        metavar='P',
        help='presence score from which on a class is in an image; one below it gets no '
        'pixel; 0 takes every class as present (default: 0.65)',
    )
    how.add_argument(
        '--image-size',
        type=_size,
        default=480,
        metavar='SIDE',
        help='resize images to the area of a square of this side; 0 leaves them as '
        'they are (default: 480)',
    )
    how.add_argument(
        '--tile',
        type=_count,
        metavar='SIDE',
        help='cut larger images into tiles: for small objects in large images',
    )
    how.add_argument(
        '--batch', type=_count, default=1, help='images at a time (default: 1)'
    )
    how.add_argument(
        '--launcher',
        choices=('none', 'pytorch'),
        default='none',
        help='pytorch: started by torchrun; the processes share the images',
    )
    args = parser.parse_args(argv)
    if args.adapt and args.support_bank:
        parser.error(
            '--adapt learns from labelled images, which --support-bank does not hold: '
            'it needs --support'
        )
    if not (args.support or args.support_bank):
        parser.error('--support DIR|JSON or --support-bank FILE is needed')
    if bool(args.input) != bool(args.output):
        parser.error('--input and --output need each other')
    if not args.input and not args.save_support:
        parser.error('--input and --output are needed, or --save-support FILE')
    return args


def _count(text: str) -> int:
    return _checked(text, int, lambda value: value >= 1, 'a whole number from 1 on')


def _seconds(text: str) -> float:
    return _checked(text, float, lambda value: 0 < value < 1e6, 'seconds, more than 0')


def _pixels(text: str) -> float:
    return _checked(text, float, lambda value: 0 <= value < 1e6, 'pixels, 0 or more')


def _formats(text: str) -> tuple[str, ...]:
    try:
        return format_names(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _size(text: str) -> int:
    return _checked(text, int, lambda value: value >= 0, 'a whole number from 0 on')


def _share(text: str) -> float:
    return _checked(text, float, lambda value: 0 <= value <= 1, 'a number from 0 to 1')


def _checked(
    text: str, kind: type, is_good: Callable[[Any], bool], expected: str
) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not is_good(value):
        raise argparse.ArgumentTypeError(f'{text!r}: expected {expected}')
    return value

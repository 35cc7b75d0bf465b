"""The command line: from a few labelled images to masks for all others."""

import argparse
import datetime
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...runtime.launch import check_started, leave_together
from ...utils.files import check_writable
from ..support.support_files import SupportClass, find_support, support_digest
from .inputs import list_inputs
from .output_folder import check_folder
from .prediction import predict_folder

if TYPE_CHECKING:
    from ..inferencer import FewShotInferencer

DESCRIPTION = """\
Show one to a few labelled images, get masks for all others. No training.

  %(prog)s --support labelled --input photos --output results

labelled/ holds images/*.jpg and masks/*.png of the same names; or NAME.jpg beside
NAME_mask.png or a LabelMe file NAME.json; or a folder of these for each class. Then open
results/index.html. An interrupted run goes on where it was when called again.
"""
# Processes wait for the slowest one, however long it takes.
PATIENCE = datetime.timedelta(days=30)


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
        metavar='DIR|JSON',
        help='labelled images: a folder as above, or a COCO JSON, whose categories are '
        'the classes and whose images lie relative to it',
    )
    support.add_argument(
        '--support-bank', metavar='FILE', help='what --save-support has written'
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
        '--save-support',
        metavar='FILE',
        help='keep the encoded support; enough by itself, without --input',
    )
    where = parser.add_argument_group('where')
    where.add_argument(
        '--input',
        nargs='+',
        metavar='PATH',
        help='images, folders (with their subfolders), patterns in quotes, videos',
    )
    where.add_argument('--output', metavar='DIR', help='folder for all results')
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
    how = parser.add_argument_group('how')
    how.add_argument(
        '--model',
        default='ssp_efficientnet-lite0',
        help='name of a model or path of a config (default: %(default)s)',
    )
    how.add_argument('--weights', metavar='FILE', help='checkpoint of the model')
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
    if not (args.support or args.support_bank):
        parser.error('--support DIR|JSON or --support-bank FILE is needed')
    if bool(args.input) != bool(args.output):
        parser.error('--input and --output need each other')
    if not args.input and not args.save_support:
        parser.error('--input and --output are needed, or --save-support FILE')
    return args


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command; exit code 1 if an image has no result.

    Args:
        argv: Options; by default the program's.
        prog: How the program is called, for its help.

    Raises:
        FileNotFoundError: Something that was named is not there.
        ValueError: Something that was named cannot be used.
        OSError: The outputs cannot be written.
    """
    args = parse_args(argv, prog)
    # All that can be wrong with files is said before the model is loaded.
    classes = (
        find_support(
            args.support,
            name=args.name,
            class_value=args.class_value,
            allow_outside=args.allow_outside,
        )
        if args.support
        else []
    )
    if args.save_support:
        _named('--save-support', check_writable, args.save_support)
    if args.output:
        check_folder(args.output)
        items = list_inputs(args.input, every=args.every, exclude=args.output)
    if args.launcher == 'pytorch':
        _join()
    first = int(os.environ.get('RANK', '0')) == 0 or args.launcher == 'none'
    try:
        inferencer = _prepared(args, classes)
        if args.save_support and first:
            _named('--save-support', inferencer.save_support, args.save_support)
            print(f'support: {args.save_support}')
        if not args.input:
            return
        report = predict_folder(
            inferencer,
            items,
            args.output,
            threshold=args.threshold,
            batch=args.batch,
            overwrite=args.overwrite,
            settings=_settings(args, classes),
        )
        leave_together()
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    if not first:
        return
    done = report.total - len(report.failures)
    before = f', {report.resumed} of them before' if report.resumed else ''
    print(f'{done} of {report.total} images segmented{before}')
    print(f'look through: {report.output / "index.html"}')
    if report.failures:
        print(f'{len(report.failures)} without result:', file=sys.stderr)
        for name, why in report.failures.items():
            print(f'  {name}: {why}', file=sys.stderr)
        sys.exit(1)


def _prepared(
    args: argparse.Namespace, classes: list[SupportClass]
) -> 'FewShotInferencer':
    # late, so that wrong options are answered at once
    from ..inferencer import FewShotInferencer

    inferencer = FewShotInferencer(
        args.model,
        args.weights,
        args.device or _own_device(args.launcher),
        image_size=args.image_size or None,
        tile=args.tile,
        threshold=args.threshold,
        presence_threshold=args.presence_threshold,
    )
    if args.support_bank:
        inferencer.load_support(args.support_bank)
    for own in classes:
        inferencer.set_support(
            list(own.images),
            list(own.annotations),
            own.name,
            class_value=own.class_value,
            tighten=args.tighten,
        )
    return inferencer


def _named(option: str, write: Callable[[str], None], path: str) -> None:
    """Write to a path; an error of the system names the option."""
    try:
        write(path)
    except OSError as error:
        raise OSError(
            f'{option} {path}: it cannot be written ({error.strerror or error})'
        ) from error


def _settings(args: argparse.Namespace, classes: list[SupportClass]) -> dict[str, Any]:
    """What results depend on, as ``settings.json`` holds it."""
    return dict(
        model=args.model,
        weights=args.weights and _digest(args.weights),
        support=support_digest(classes, args.tighten) if classes else None,
        support_bank=args.support_bank and _digest(args.support_bank),
    )


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:16]


def _join() -> None:
    check_started('pytorch', 'torchrun --nproc-per-node 2 tools/predict.py …')
    # Only small Python objects are exchanged, so gloo will do with GPUs too.
    torch.distributed.init_process_group('gloo', timeout=PATIENCE)


def _own_device(launcher: str) -> str | None:
    if launcher == 'none' or not torch.cuda.is_available():
        return None
    rank = int(os.environ.get('LOCAL_RANK', '0'))
    return f'cuda:{rank % torch.cuda.device_count()}'


def _count(text: str) -> int:
    return _checked(text, int, lambda value: value >= 1, 'a whole number from 1 on')


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

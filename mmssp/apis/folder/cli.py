"""The command line: from a few labelled images to masks for all others."""

import argparse
import datetime
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...arguments.predict_options import parse_args
from ...runtime.launch import check_started, leave_together
from ...utils.files import check_folder_writable, check_writable
from ..export.labelled_image import ExportSettings
from ..support.support_files import SupportClass, find_support, support_digests
from .exports import check_exports
from .hints import hint_of_small_objects
from .inputs import EXPORTS, VIDEOS, list_inputs
from .learning import USUAL, learn
from .output_folder import check_folder, growth, read_settings
from .prediction import predict_folder

if TYPE_CHECKING:
    from ..inferencer import FewShotInferencer

# Processes wait for the slowest one, however long it takes.
PATIENCE = datetime.timedelta(days=30)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Read options, and :func:`predict`.

    Args:
        argv: Options; by default the program's.
        prog: How the program is called, for its help.
    """
    predict(parse_args(argv, prog))


def predict(args: argparse.Namespace) -> None:
    """Run the command; exit code 1 if an image has no result.

    Args:
        args: What :func:`mmssp.arguments.predict_options.parse_args` has read.

    Raises:
        FileNotFoundError: Something that was named is not there.
        ValueError: Something that was named cannot be used.
        OSError: The outputs cannot be written.
    """
    # All that can be wrong with files is said before the model is loaded.
    classes = (
        find_support(
            args.support,
            name=args.name,
            class_value=args.class_value,
            allow_outside=args.allow_outside,
            images_in=args.support_images,
        )
        if args.support
        else []
    )
    if args.save_support:
        _named('--save-support', check_writable, args.save_support)
    if args.output:
        check_folder(args.output)
        items = list_inputs(args.input, every=args.every, exclude=args.output)
        check_folder_writable(args.output)
        check_exports(Path(args.output), args.format)
    if args.launcher == 'pytorch':
        _join()
    first = int(os.environ.get('RANK', '0')) == 0 or args.launcher == 'none'
    try:
        inferencer = _prepared(args, classes)
        settings = _settings(args, classes)
        hint = hint_of_small_objects(inferencer, classes) if first else None
        if hint:
            print(hint, file=sys.stderr)
        if args.output and first and not args.overwrite:
            grown = growth(read_settings(args.output) or {}, settings)
            if grown is not None:
                print(
                    f'{grown[1]} labelled images, {grown[0]} of them before: all images '
                    'are segmented anew'
                )
        if args.adapt:
            learn(
                inferencer,
                None if args.adapt is True else args.adapt,
                Path(args.output) if args.output else None,
                settings,
                first=first,
                overwrite=args.overwrite,
            )
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
            settings=settings,
            formats=args.format,
            export=ExportSettings(args.tolerance, args.instances, args.min_area),
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
    if report.label_next:
        print(f'most in doubt, so label next: {", ".join(report.label_next)}')
    if any(item.frame is not None for item in items):
        print(f'videos: {report.output / VIDEOS}')
    for name in args.format:
        print(f'{name}: {report.output / EXPORTS / name}')
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
            resize=args.resize_masks,
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
        support=support_digests(classes, args.tighten, args.resize_masks)
        if classes
        else None,
        support_bank=args.support_bank and _digest(args.support_bank),
        **(
            dict(adapt=USUAL if args.adapt is True else args.adapt)
            if args.adapt
            else {}
        ),
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

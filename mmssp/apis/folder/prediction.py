"""Segment whole folders: resumable, over several processes, one set of outputs."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_dist_info,
    is_main_process,
)

from ...utils.progress import shown_progress
from ..export.formats import format_names
from ..export.labelled_image import ExportSettings
from .contact_sheet import write_contact_sheet
from .doubts import label_next
from .exports import check_exports, write_exports
from .inputs import ImageReader, InputItem, Pattern, list_inputs
from .output_folder import SUMMARIES, prepare_output
from .overlay_videos import write_videos
from .tile_progress import moving_by_tiles
from .writers import read_record, write_coco, write_csv, write_result

# What one image can be to blame for; anything else ends the run.
IMAGE_ERRORS = (ValueError, OSError, RuntimeError, MemoryError)
BAD_NAMES = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
"""What file systems say of names that they cannot have."""


@dataclass
class FolderReport:
    """What became of a folder.

    Attributes:
        output: Folder of the outputs; ``output / 'index.html'`` is the one to open.
        total: Number of images, those that failed included.
        resumed: How many of them were finished by an earlier run.
        failures: {name of an image: why it has no result}.
        label_next: Names of the images that would help most if they were labelled, too.
    """

    output: Path
    total: int
    resumed: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    label_next: list[str] = field(default_factory=list)


def predict_folder(
    inferencer: Any,
    inputs: Pattern | Sequence[Pattern] | Sequence[InputItem],
    output: str | os.PathLike[str],
    *,
    threshold: float | None = None,
    batch: int = 1,
    every: int = 1,
    overwrite: bool = False,
    settings: dict[str, Any] | None = None,
    progress: bool | None = None,
    formats: str | Sequence[str] = (),
    export: ExportSettings = ExportSettings(),
) -> FolderReport:
    """Segment all images behind paths and patterns, and write all that is found.

    Under ``output``: ``masks`` (grey PNG: 0 background, i the i'th class), ``overlays``
    and ``thumbs`` (JPEG), ``records`` (JSON), each called after its image; and for all
    images ``annotations.json`` (COCO, compressed RLE), ``areas.csv`` and the contact sheet
    ``index.html``; ``exports/FORMAT`` for each of ``formats``; and ``overlay_videos`` of
    videos. Each file appears whole or not at all. Images that an earlier run with the
    same settings has finished are not predicted again.

    In a distributed job every process calls this; each takes every world-size'th batch,
    and the first one writes what is about all images. The files equal one process's.

    Args:
        inferencer: A ``FewShotInferencer`` with its support set.
        inputs: What :func:`list_inputs` takes, or gave.
        output: Folder to be made or filled.
        threshold: Of the foreground probability; None takes the inferencer's.
        batch: Images predicted at a time.
        every: Of videos, take each that many'th frame.
        overwrite: Predict all again, also where other settings were used.
        settings: What names the model and the support, as plain JSON: with others, what
            is there is not gone on with. By default a fingerprint of both.
        progress: Show a bar with the time left; None does so on terminals, and prints a
            line now and then elsewhere.
        formats: Other tools' formats, keys of :data:`mmssp.apis.export.formats.FORMATS`
            or their names separated by commas. They need no new prediction: asked for
            later, they are made of what is finished.
        export: How masks become objects and outlines in them.

    Returns:
        Numbers and failures; in every process the failures of all.

    Raises:
        FileNotFoundError: There is no input.
        ValueError: Nothing to segment, no support, or ``output`` holds other results.
        OSError: ``output`` cannot be written.
    """
    if batch < 1:
        raise ValueError(f'batch={batch}: expected 1 or more')
    if not inferencer.names:
        raise ValueError('There is no support: call set_support or load_support first.')
    formats = format_names(formats) if formats else ()
    items = _items(inputs, every, output)
    if settings is None:
        settings = dict(support=support_fingerprint(inferencer))
    settings = dict(
        settings,
        classes=list(inferencer.names),
        threshold=inferencer.threshold if threshold is None else float(threshold),
        presence_threshold=inferencer.presence_threshold,
        image_size=inferencer.image_size,
        tile=inferencer.tile,
    )
    rank, world = get_dist_info()
    digest = _on_first(lambda: prepare_output(output, settings, overwrite=overwrite))
    output = Path(output)
    _on_first(lambda: check_exports(output, formats))

    # Batches are cut before finished ones are left out, and never across processes: what
    # an image is predicted with, and so the last bit of its result, is always the same.
    batches = [items[i : i + batch] for i in range(0, len(items), batch)][rank::world]
    finished = [
        not overwrite and all(read_record(item, output, digest) for item in some)
        for some in batches
    ]
    report = FolderReport(output, len(items))
    report.resumed = sum(
        len(some) for some, is_done in zip(batches, finished, strict=True) if is_done
    )
    done = report.resumed
    show = progress if rank == 0 else False
    with (
        shown_progress('images', sum(map(len, batches)), done, show) as show_done,
        ImageReader() as reader,
    ):
        for some, is_done in zip(batches, finished, strict=True):
            if is_done:
                continue
            with moving_by_tiles(inferencer, done, len(some), show_done):
                report.failures.update(
                    predict_items(
                        inferencer,
                        some,
                        output,
                        digest,
                        threshold=threshold,
                        reader=reader,
                    )
                )
            done += len(some)
            show_done(done)
    parts = all_gather_object((report.resumed, report.failures))
    report.resumed = sum(resumed for resumed, _ in parts)
    failures = {k: v for _, failed in parts for k, v in failed.items()}
    report.failures = {i.name: failures[i.name] for i in items if i.name in failures}
    report.label_next = _on_first(
        lambda: assemble(
            items,
            output,
            digest,
            inferencer.names,
            report.failures,
            formats=formats,
            export=export,
        )
    )
    return report


def predict_items(
    inferencer: Any,
    items: Sequence[InputItem],
    output: Path,
    digest: str,
    *,
    threshold: float | None = None,
    reader: ImageReader | None = None,
) -> dict[str, str]:
    """Predict some images as one batch and write the files of each.

    Args:
        inferencer: With its support set.
        items: The images.
        output: Prepared by :func:`prepare_output`.
        digest: What that gave.
        threshold: As in :func:`predict_folder`.
        reader: Keeps videos open from call to call; by default one for this call.

    Returns:
        {name: sentence} of the images without result. One bad image spoils no other.

    Raises:
        OSError: A file cannot be written.
    """
    failures: dict[str, str] = {}
    images: list[tuple[InputItem, np.ndarray]] = []
    with nullcontext(reader) if reader else ImageReader() as images_from:
        for item in items:
            try:
                images.append((item, images_from.read(item)))
            except IMAGE_ERRORS as error:
                failures[item.name] = _sentence(error, item)
    try:
        pixels = [image for _, image in images]
        results = (
            inferencer.predict_batch(pixels, threshold=threshold) if images else []
        )
    except IMAGE_ERRORS:
        # one of them, or all together were too much: each by itself tells
        results = []
        for item, image in images:
            try:
                results.append(inferencer.predict(image, threshold=threshold))
            except IMAGE_ERRORS as error:
                results.append(None)
                failures[item.name] = _sentence(error, item)
    for (item, _), result in zip(images, results, strict=True):
        if result is None:
            continue
        try:
            write_result(result, item, Path(output), digest=digest)
        except OSError as error:
            # what only this name is to blame for, as files of other names can be written
            if getattr(error.__cause__, 'errno', None) not in BAD_NAMES:
                raise
            failures[item.name] = str(error)
    return failures


def assemble(
    items: Iterable[InputItem],
    output: Path,
    digest: str,
    names: Sequence[str],
    failures: dict[str, str],
    *,
    formats: Sequence[str] = (),
    export: ExportSettings = ExportSettings(),
) -> list[str]:
    """Write what is about all images, from their records, in the order of ``items``.

    Args:
        items: All images.
        output: The folder of outputs.
        digest: Of the settings; what :func:`prepare_output` gave.
        names: Of the classes.
        failures: {name: why} of the images without result.
        formats: Other tools' formats, to be written as well.
        export: How masks become objects and outlines in them.

    Returns:
        Names of the images that would help most if they were labelled, too.

    Raises:
        OSError: A file cannot be written.
    """
    found = []
    for item in items:
        record = None if item.name in failures else read_record(item, output, digest)
        if record is not None:
            found.append((item, record))
        else:
            failures.setdefault(item.name, 'it was changed or removed meanwhile')
    records = [record for _, record in found]
    coco, table, sheet = (output / name for name in SUMMARIES)
    write_coco(coco, records, names)
    write_csv(table, records)
    write_contact_sheet(sheet, found, failures)
    write_exports(found, output, names, formats, export)
    write_videos((item for item, _ in found), output)
    return label_next(records)


def support_fingerprint(inferencer: Any) -> str:
    """A digest of all that an inferencer knows of its support and its model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'support.npz')
        inferencer.save_support(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _items(
    inputs: Pattern | Sequence[Any], every: int, output: str | os.PathLike[str]
) -> list[InputItem]:
    if not isinstance(inputs, (str, os.PathLike)) and all(
        isinstance(item, InputItem) for item in inputs
    ):
        inputs = list(inputs)
        if not inputs:
            raise ValueError('There is no image to segment.')
        return inputs
    return list_inputs(inputs, every=every, exclude=output)


def _sentence(error: BaseException, item: InputItem) -> str:
    # the name stands before it wherever it is shown
    return str(error).removeprefix(f'{item.source}: ') or type(error).__name__


def _on_first(function: Callable[[], Any]) -> Any:
    """Call a function in the first process; all get its result, or its error."""
    outcome: list[Any] = [None]
    if is_main_process():
        try:
            outcome = [function()]
        except (ValueError, OSError) as error:
            outcome = [error]
    broadcast_object_list(outcome)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]

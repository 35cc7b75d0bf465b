"""One image's result in other tools' formats: what :class:`mmssp.apis.Result` inherits."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...utils.files import check_writable
from ..annotations.shapes import Polygon
from . import (
    coco_export,
    cvat_export,
    labelme_export,
    labelstudio_export,
    masks_export,
    voc_export,
    yolo_export,
)
from .export_files import write_json, write_png, write_text, write_xml
from .formats import format_names
from .labelled_image import ExportSettings, LabelledImage
from .outlines import polygons

SUFFIXES: Mapping[str, str] = dict(
    coco='.json',
    yolo='.txt',
    labelme='.json',
    labelstudio='.json',
    cvat='.xml',
    masks='.png',
)
"""How one image's file of a format ends; ``voc`` is a folder."""


class Exportable(Protocol):
    """What a result has to have."""

    @property
    def image(self) -> np.ndarray: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def mask(self) -> np.ndarray: ...

    @property
    def scores(self) -> dict[str, float]: ...

    @property
    def source(self) -> Path | None: ...


class ResultExport:
    """Polygons, LabelMe, YOLO, supervision, and files of every format.

    All take the ``options`` of
    :class:`mmssp.apis.export.labelled_image.ExportSettings`: ``tolerance=1.0``, how far in
    pixels an outline may be from its mask; ``instances=True``, each connected part is an
    object; ``min_area``, parts of fewer pixels are left out.
    """

    def to_polygons(
        self: Exportable, tolerance: float = 1.0, *, min_area: int = 0
    ) -> dict[str, list[Polygon]]:
        """Outlines of each class, a polygon with its holes for each connected part.

        :meth:`mmssp.apis.FewShotInferencer.set_support` takes such lists as annotations.

        Args:
            tolerance: How far, in pixels, an outline may be from its mask; 0 is exact.
            min_area: Parts of fewer pixels are left out.

        Returns:
            Class → polygons, none for a class without a pixel.

        Raises:
            ValueError: A number is out of range.
        """
        ExportSettings(tolerance, min_area=min_area)
        return {
            name: polygons(self.mask == i, tolerance, min_area)
            for i, name in enumerate(self.names, start=1)
        }

    def to_labelme(
        self: Exportable,
        image_path: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """The content of a LabelMe file.

        Args:
            image_path: Of the image, relative to the file's folder; None keeps the pixels
                in the file.
            **options: See the class.

        Returns:
            Plain JSON.

        Raises:
            ValueError: An option is out of range.
        """
        image = labelled(self)
        if image_path is None:
            return labelme_export.content(
                image,
                ExportSettings(**options),
                image_path=f'{Path(image.name).stem}.png',
                pixels=self.image,
            )
        return labelme_export.content(
            image, ExportSettings(**options), image_path=Path(image_path).as_posix()
        )

    def to_yolo(self: Exportable, **options: Any) -> list[str]:
        """Lines of YOLO segmentation: the class from 0 on, and an outline in shares.

        Args:
            **options: See the class.

        Raises:
            ValueError: An option is out of range.
        """
        return yolo_export.lines(labelled(self), ExportSettings(**options))

    def to_supervision(self: Exportable, **options: Any) -> Any:
        """A ``supervision.Detections``: boxes, masks, classes from 0 on, scores.

        Args:
            **options: See the class.

        Returns:
            One detection for each object; ``data['class_name']`` has the names.

        Raises:
            ModuleNotFoundError: The package ``supervision`` is not installed.
            ValueError: An option is out of range.
        """
        try:
            import supervision
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f'to_supervision needs the package supervision ({error}): '
                'pip install supervision',
                name=error.name,
            ) from error
        found = list(labelled(self).objects(ExportSettings(**options)))
        return supervision.Detections(
            xyxy=np.array([own.box for own in found], np.float32).reshape(-1, 4),
            mask=np.stack([own.region for own in found])
            if found
            else np.zeros((0, *self.mask.shape), bool),
            class_id=np.array([own.label - 1 for own in found], int),
            confidence=np.array([own.score for own in found], np.float32),
            data=dict(class_name=np.array([own.name for own in found], np.str_)),
        )

    def save(
        self: Exportable,
        path: str | os.PathLike[str],
        format: str = 'masks',
        **options: Any,
    ) -> None:
        """Write the result in a format, whole or not at all.

        Args:
            path: The file, ending as in :data:`SUFFIXES`; for ``voc``, a folder.
            format: One of :data:`mmssp.apis.export.formats.FORMATS`.
            **options: See the class.

        Raises:
            ValueError: No such format, another ending, or an option is out of range.
            OSError: It cannot be written.
        """
        save_one(labelled(self), self.image, Path(path), format, **options)


def labelled(result: Exportable) -> LabelledImage:
    """A result as formats take it; its name is that of its file."""
    source = result.source
    name = 'image.png' if source is None else source.name
    return LabelledImage(
        name, Path(name).stem, result.names, result.mask, result.scores, source
    )


def save_one(
    image: LabelledImage, pixels: np.ndarray, path: Path, format: str, **options: Any
) -> None:
    """What :meth:`ResultExport.save` does.

    Args:
        image: With its labels.
        pixels: (H,W,3) uint8 RGB, kept in files that need the image where it has none.
        path: See there.
        format: Likewise.
        **options: Likewise.
    """
    (format,) = format_names([format])
    settings = ExportSettings(**options)
    suffix = SUFFIXES.get(format)
    if suffix is not None and path.suffix.lower() != suffix:
        raise ValueError(f'{path}: a file of {format} ends in {suffix}')
    if suffix is not None:
        check_writable(path)
    if format == 'coco':
        write_json(path, coco_export.content([image], image.classes, settings))
    elif format == 'labelme':
        content = labelme_export.content(
            image,
            settings,
            image_path=labelme_export.relative_path(image, path),
            pixels=pixels if image.source is None else None,
        )
        write_json(path, content, readable=True)
    elif format == 'yolo':
        lines = yolo_export.lines(image, settings)
        write_text(path, ''.join(f'{line}\n' for line in lines))
    elif format == 'labelstudio':
        write_json(path, [labelstudio_export.task(image, settings)])
    elif format == 'cvat':
        write_xml(path, cvat_export.content([image], image.classes, settings))
    elif format == 'masks':
        write_png(path, masks_export.grey(image.kept_labels(settings)))
    else:
        voc_export.write([image], image.classes, path, settings)

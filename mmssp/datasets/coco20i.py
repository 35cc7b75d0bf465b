"""COCO-20i, and any instance JSON in COCO's style, as segmentation data sets."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import mmengine.fileio as fileio
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .coco import coco_cache, coco_json
from .coco.coco_json import BACKGROUND
from .coco.coco_masks import label_palette


@DATASETS.register_module()
class CocoSegDataset(BaseSegDataset):
    """Any COCO-style instance JSON as a data set for semantic segmentation.

    The JSON's outlines are drawn once into 8-bit palette PNGs, in parallel, and kept in
    a cache folder; later starts do not open the JSON. The PNGs are ordinary
    ``seg_map_path`` files, which the stock ``LoadAnnotations`` reads: label 0 is
    'background', 1..N the classes, 255 crowd regions (ignored). Where annotations
    overlap, the one of the smaller mask lies on top.

    Categories of the JSON that are not among ``classes`` become background, their crowd
    regions too; nothing of them is ignored.

    Args:
        ann_file: The JSON, such as ``annotations/instances_train2017.json``; relative
            to ``data_root``.
        data_root: The folder that ``ann_file`` and ``data_prefix`` are relative to.
        data_prefix: ``img_path`` is the folder that the JSON's ``file_name`` are
            relative to, such as ``train2017``.
        metainfo: ``classes`` (names; 'background' is put in front if it is not there)
            and ``palette``. Without classes here and in ``METAINFO``, the JSON's
            categories in the order of their ids.
        cache_dir: Where the masks are kept; None: the folder ``coco`` in
            that of :func:`mmssp.utils.files.cache_root`, e.g. ``~/.cache/mmssp``.
        workers: Processes that draw; None takes all CPUs.
        reduce_zero_label: Must stay False: label 0 is background here.
        lazy_init: Draw nothing until the data is asked for. The JSON is read all the
            same if nothing else says what the classes are.
        test_mode: As in ``BaseSegDataset``.
        **kwargs: The other arguments of ``BaseSegDataset``.

    Raises:
        FileNotFoundError: No such JSON or image folder.
        ValueError: The JSON is damaged or no instance JSON; a class is not among its
            categories; the cache folder cannot be written.
    """

    def __init__(
        self,
        ann_file: str = '',
        data_root: str | None = None,
        data_prefix: dict[str, Any] = {'img_path': ''},
        metainfo: Mapping[str, Any] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        workers: int | None = None,
        reduce_zero_label: bool = False,
        lazy_init: bool = False,
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        if reduce_zero_label:
            raise ValueError(
                f'{type(self).__name__}: found reduce_zero_label=True; expected False, '
                'as label 0 is background here and not to be ignored.'
            )
        self.cache_dir = cache_dir
        self.workers = workers
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=data_prefix,
            metainfo=metainfo,
            lazy_init=True,  # the classes may still be missing
            **kwargs,
        )
        self.test_mode = test_mode
        self._wanted = self._metainfo.get('classes')
        if not lazy_init:
            self.full_init()
        elif not self._wanted:
            content = coco_json.load_json(self.ann_file)
            names = coco_json.category_names(content, self.ann_file)
            self._take_classes(coco_json.class_list(names))

    @classmethod
    def _load_metainfo(
        cls, metainfo: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Classes with 'background' in front, and one colour for each."""
        loaded = super()._load_metainfo(metainfo)
        if not loaded.get('classes'):
            return loaded
        classes = tuple(loaded['classes'])
        if len(set(classes)) < len(classes) or BACKGROUND in classes[1:]:
            raise ValueError(
                f'{cls.__name__}: found classes={classes}; every name must occur once, '
                f'{BACKGROUND!r} at the front or not at all.'
            )
        palette = (metainfo or {}).get('palette')
        if classes[0] != BACKGROUND:
            if palette and len(palette) == len(classes):
                palette = [[0, 0, 0], *palette]
            classes = (BACKGROUND, *classes)
        if not palette:
            # A chosen few of METAINFO's classes keep their colours.
            own, colours = cls.METAINFO.get('classes', ()), cls.METAINFO.get('palette')
            known = dict(zip(own, colours or label_palette(len(own)), strict=True))
            new = dict(zip(classes, label_palette(len(classes)), strict=True))
            palette = [known.get(name, new[name]) for name in classes]
        loaded.update(classes=classes, palette=palette)
        return loaded

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> None:
        """Always None: the masks hold the final labels.

        The inherited map turns classes that are left out into 255, ignored; here they
        are background.
        """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Draw the masks, or find them in the cache, and list image and mask files.

        Returns:
            A dict of ``img_path``, ``seg_map_path``, ``label_map`` (None),
            ``reduce_zero_label`` (False) and ``seg_fields`` ([]) for each image, in the
            JSON's order.

        Raises:
            FileNotFoundError: No such JSON or image folder.
            ValueError: See the class.
        """
        folder = self.data_prefix.get('img_path') or ''
        if folder and not fileio.isdir(folder, backend_args=self.backend_args):
            raise FileNotFoundError(
                f'There is no image folder {folder}. Set data_root= (found '
                f'{self.data_root!r}) and data_prefix=dict(img_path=...) so that they '
                f'lead to the folder with the images of {self.ann_file}.'
            )
        masks = coco_cache.render_masks(
            self.ann_file, self._wanted, self.cache_dir, self.workers
        )
        if not self._wanted:
            self._take_classes(masks.classes)
        return [
            {
                'img_path': os.path.join(folder, image['file_name']),
                'seg_map_path': os.path.join(masks.folder, image['mask']),
                'label_map': None,
                'reduce_zero_label': False,
                'seg_fields': [],
            }
            for image in masks.images
        ]

    def _take_classes(self, classes: tuple[str, ...]) -> None:
        palette = self._metainfo.get('palette') or label_palette(len(classes))
        self._metainfo.update(classes=classes, palette=palette)


@DATASETS.register_module()
class COCO20iDataset(CocoSegDataset):
    """COCO's 80 classes for COCO-20i, from the official ``instances_*.json``.

    2014 and 2017 alike: the JSON says what the image files are called. The category ids
    1..90, which have gaps, become the labels 1..80 in their order ('stop sign', id 13,
    is 12; 'toothbrush', id 90, is 80). The folds are not made here: the data set holds
    all classes.

    Example:
        >>> COCO20iDataset(
        ...     data_root='data/coco',
        ...     ann_file='annotations/instances_val2017.json',
        ...     data_prefix=dict(img_path='val2017'))

    Args:
        ann_file: See :class:`CocoSegDataset`, which has all arguments.
    """

    METAINFO = {
        'benchmark': 'coco20i',
        'classes': (
            BACKGROUND, 'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus',
            'train', 'truck', 'boat', 'traffic light', 'fire hydrant', 'stop sign',
            'parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep', 'cow',
            'elephant', 'bear', 'zebra', 'giraffe', 'backpack', 'umbrella', 'handbag',
            'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball', 'kite',
            'baseball bat', 'baseball glove', 'skateboard', 'surfboard',
            'tennis racket', 'bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon',
            'bowl', 'banana', 'apple', 'sandwich', 'orange', 'broccoli', 'carrot',
            'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant',
            'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote',
            'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink',
            'refrigerator', 'book', 'clock', 'vase', 'scissors', 'teddy bear',
            'hair drier', 'toothbrush',
        ),
        'palette': label_palette(81),
    }  # fmt: skip

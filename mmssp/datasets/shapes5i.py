"""Shapes-5i: twenty drawn silhouettes in the layout of PASCAL VOC."""

from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset, PascalVOCDataset
from mmseg.registry import DATASETS

# Silhouettes of like difficulty are spread over the folds (five consecutive classes).
CLASSES = (
    'ring',
    'arrow',
    'gear',
    'bolt',
    'propeller',
    'triangle',
    'flower',
    'corner',
    'fish',
    'mushroom',
    'crescent',
    'comb',
    'spiral',
    'hourglass',
    'heart',
    'star',
    'key',
    'cross',
    'dumbbell',
    'ladder',
)


@DATASETS.register_module()
class Shapes5iDataset(BaseSegDataset):
    """Shapes-5i, as ``tools/dataset_converters/shapes5i.py`` draws it.

    Class 0 is the background, 1 to 20 are the silhouettes; 255 is the outline of every
    visible object. Colours are those of PASCAL VOC.

    Args:
        ann_file: The list of image names, one a line, relative to ``data_root``:
            ``ImageSets/Segmentation/train.txt`` or ``…/val.txt``.
        data_prefix: Folders of images and masks, relative to ``data_root``.
        img_suffix: Of the images.
        seg_map_suffix: Of the masks.
        reduce_zero_label: False, as label 0 is a class: the background.
        **kwargs: As for mmseg's ``BaseSegDataset``, ``data_root`` first of all.

    Raises:
        FileNotFoundError: ``data_root``, the list or a folder of ``data_prefix`` is
            missing; with ``lazy_init=True`` not before ``full_init()``.
    """

    METAINFO = dict(
        benchmark='shapes5i',
        classes=('background', *CLASSES),
        palette=PascalVOCDataset.METAINFO['palette'],
    )

    def __init__(
        self,
        ann_file: str = 'ImageSets/Segmentation/train.txt',
        data_prefix: dict[str, Any] = dict(
            img_path='JPEGImages', seg_map_path='SegmentationClass'
        ),
        img_suffix: str = '.jpg',
        seg_map_suffix: str = '.png',
        reduce_zero_label: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            ann_file=ann_file,
            data_prefix=data_prefix,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            reduce_zero_label=reduce_zero_label,
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images, after a check that there is what they are listed in."""
        expected = {
            'root folder': self.data_root,
            'list of images': self.ann_file,
            'folder of images': self.data_prefix.get('img_path'),
            'folder of masks': self.data_prefix.get('seg_map_path'),
        }
        for what, path in expected.items():
            if path and not Path(path).exists():
                raise FileNotFoundError(
                    f'{type(self).__name__}: expected the {what} at {path}, found '
                    'nothing there; set data_root to where Shapes-5i is, or draw it: '
                    'python tools/dataset_converters/shapes5i.py '
                    f'{self.data_root or "DATA_ROOT"}'
                )
        return super().load_data_list()

"""Tiny COCO JSONs, made by hand, and the data sets of them."""

import json

import numpy as np
from PIL import Image
from pycocotools import mask as mask_utils

from mmssp.datasets.coco import coco_json
from mmssp.datasets.coco20i import CocoSegDataset

HEIGHT, WIDTH = 20, 30
# Ids with gaps and out of order; the labels follow the ids: cat 1, dog 2, cup 3.
CATEGORIES = [
    {'id': 9, 'name': 'cup'},
    {'id': 3, 'name': 'cat'},
    {'id': 7, 'name': 'dog'},
]


def box(left, top, right, bottom):
    """A rectangle as a polygon: covers exactly the pixels [top:bottom, left:right]."""
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(segmentation, category_id=3, image_id=1, **fields):
    return {
        'id': 100 + category_id,
        'image_id': image_id,
        'category_id': category_id,
        'segmentation': segmentation,
        'iscrowd': 0,
        **fields,
    }


def uncompressed(mask):
    flat = mask.ravel(order='F').astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return {'size': list(mask.shape), 'counts': runs if not flat[0] else [0, *runs]}


def compressed(mask):
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': list(mask.shape), 'counts': rle['counts'].decode()}


def content(annotations=None, images=None, categories=CATEGORIES):
    if images is None:
        images = [{'id': 1, 'file_name': 'a.jpg', 'height': HEIGHT, 'width': WIDTH}]
    if annotations is None:
        annotations = [annotation([box(2, 3, 12, 9)])]
    return {'images': images, 'annotations': annotations, 'categories': categories}


def build(folder, what=None, cls=CocoSegDataset, **kwargs):
    """Write a JSON (unless None) and the image folder; the data set of them."""
    (folder / 'images').mkdir(exist_ok=True)
    if what is not None:
        text = what if isinstance(what, str) else json.dumps(what)
        (folder / 'instances.json').write_text(text)
    arguments = {
        'data_root': str(folder),
        'ann_file': 'instances.json',
        'data_prefix': {'img_path': 'images'},
        'workers': 1,
    }
    return cls(**(arguments | kwargs))


def mask_of(dataset, index=0):
    return np.asarray(Image.open(dataset.get_data_info(index)['seg_map_path']))


def no_parsing(monkeypatch):
    def fail(*_):
        raise AssertionError('the JSON was parsed again')

    monkeypatch.setattr(coco_json, 'load_json', fail)

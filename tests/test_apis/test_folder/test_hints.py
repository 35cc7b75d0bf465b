"""A hint for small objects in large photos, and none where it would not help."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mmssp.apis.encoding import FINER, annotated
from mmssp.apis.folder.hints import hint_of_small_objects, object_sides
from mmssp.apis.support.support_files import SupportClass


def ask(folder: Path, photo: int, side: int, **settings) -> str | None:
    """For a square photo with two square objects of a side, in pixels."""
    path = folder / 'photo.png'
    Image.new('L', (photo, photo)).save(path)
    mask = np.zeros((photo, photo), np.uint8)
    mask[:side, :side] = mask[-side:, -side:] = 1
    kept = round(480 * FINER)
    inferencer = SimpleNamespace(
        tile=None,
        image_size=480,
        support_annotations=dict(nut=[annotated(mask, (kept, kept))]),
    )
    vars(inferencer).update(settings)
    return hint_of_small_objects(inferencer, [SupportClass('nut', (path,), (path,))])


def test_small_objects_in_a_large_photo_get_a_hint(tmp_path):
    hint = ask(tmp_path, 2400, 50)
    assert hint.startswith('hint: the labelled objects are about 10 pixels wide')
    assert '5.0 times smaller' in hint and '--tile 1024' in hint


@pytest.mark.parametrize(
    'photo, side, settings',
    [
        (2400, 400, {}),
        (600, 10, {}),
        (2400, 50, dict(tile=640)),
        (2400, 50, dict(image_size=None)),
        (2400, 50, dict(support_annotations={})),
    ],
    ids=['large object', 'small photo', 'tiled', 'not resized', 'not at hand'],
)
def test_no_hint_where_tiles_would_not_help(tmp_path, photo, side, settings):
    assert ask(tmp_path, photo, side, **settings) is None


def test_sides_are_of_each_part():
    region = np.zeros((20, 20), bool)
    region[:4, :4] = region[10:19, 10:19] = True
    assert object_sides(region) == [4, 9]

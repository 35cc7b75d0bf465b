"""What the tests of COCO data sets share."""

from functools import partial

import pytest
from coco_samples import build

from mmssp.utils.files import cache_root


@pytest.fixture
def make(tmp_path):
    """Write a COCO JSON into the test's folder; the data set of it."""
    return partial(build, tmp_path)


@pytest.fixture
def cache(_private_cache):
    """Folder of the masks that were drawn."""
    return cache_root() / 'coco'

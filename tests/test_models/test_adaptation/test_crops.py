"""Random crops: masks lie where their images do, and what they show is what is asked."""

import numpy as np
import pytest
import torch

from mmssp.models.adaptation.crops import RandomCrops
from mmssp.models.adaptation.labelled import labelled


@pytest.fixture
def image():
    """Where the mask is 1 the image is 1, where it is 255 it is 3, else 0."""
    mask = torch.zeros(2, 90, 120, dtype=torch.uint8)
    mask[0, 20:50, 30:70] = 1
    mask[0, 60:, :40] = 255
    values = (mask[0] == 1).float() + 3 * (mask[0] == 255).float()
    return labelled(values.expand(3, -1, -1).clone(), mask)


def test_masks_lie_where_their_images_do(image):
    crops = RandomCrops(size=64, brightness=0, contrast=0)
    images, masks = crops.draw([image], 40, np.random.default_rng(0))
    assert images.shape == (40, 3, 64, 64)
    assert masks.shape == (40, 2, 64, 64)
    assert set(masks.unique().tolist()) <= {0, 1, 255}
    # bilinear at borders alone
    for value, label in ((1, 1), (3, 255), (0, 0)):
        there = (images[:, 0] - value).abs() < 1e-4
        assert there.any()
        assert ((masks[:, 0] == label) | ~there).float().mean() > 0.999
    assert (masks[:, 1] == 0).all()


def test_most_crops_show_an_object_however_small_it_is():
    mask = torch.zeros(1, 400, 400, dtype=torch.uint8)
    mask[0, 200:203, 300:303] = 1
    image = labelled(torch.zeros(3, 400, 400), mask)
    _, masks = RandomCrops(size=64).draw([image], 100, np.random.default_rng(0))
    shown = (masks == 1).flatten(1).any(1).float().mean()
    assert 0.6 < shown < 0.85


def test_an_image_smaller_than_a_crop_is_reflected():
    mask = torch.ones(1, 20, 30, dtype=torch.uint8)
    image = labelled(torch.ones(3, 20, 30), mask)
    crops = RandomCrops(size=96, brightness=0, contrast=0)
    images, masks = crops.draw([image], 4, np.random.default_rng(0))
    assert torch.allclose(images, torch.ones(()))
    assert (masks == 1).all()


def test_chance_is_that_of_the_generator_given(image):
    draws = [
        RandomCrops(size=32).draw([image], 2, np.random.default_rng(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(draws[0][0], draws[1][0])
    assert not torch.equal(draws[0][0], draws[2][0])

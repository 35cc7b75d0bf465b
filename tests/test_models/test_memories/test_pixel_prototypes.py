"""PixelPrototypes against features that are enlarged indeed."""

import pytest
import torch
from torch.nn.functional import interpolate

from mmssp.models import MeanPrototypes, PixelPrototypes


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('size', [(40, 48), (5, 6), (3, 50), (1, 1)])
def test_is_the_mean_of_enlarged_features(align_corners, size):
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 5, 6, generator=rng, dtype=torch.float64)
    mask = torch.tensor([0, 1, 255])[torch.randint(0, 3, (2, *size), generator=rng)]
    state = PixelPrototypes(align_corners).shot_state(features, mask)
    large = interpolate(features, size, mode='bilinear', align_corners=align_corners)
    for label, name in enumerate(('background', 'foreground')):
        side = (mask == label).double()[:, None]
        expected = (large * side).sum((2, 3)) / (side.sum((2, 3)) + 1e-5)
        torch.testing.assert_close(state[name], expected)


def test_an_object_between_two_cells_has_a_prototype():
    features = torch.ones(1, 3, 2, 2)
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[0, 20, 20] = 1
    lost, found = (
        memory.shot_state(features, mask)['foreground']
        for memory in (MeanPrototypes(), PixelPrototypes())
    )
    assert not lost.any()
    torch.testing.assert_close(found, torch.ones(1, 3), rtol=0, atol=1e-4)


def test_what_is_no_flag_is_refused():
    with pytest.raises(ValueError, match='align_corners'):
        PixelPrototypes(align_corners=1)

"""Boundary IoU: bands of the right width, and what they have in common."""

import numpy as np

from mmssp.evaluation.boundary import boundary, boundary_overlap


def square(side: int = 60, at: int = 20, size: int = 100) -> np.ndarray:
    region = np.zeros((size, size), bool)
    region[at : at + side, at : at + side] = True
    return region


def test_the_band_is_as_wide_as_it_is_said_to_be():
    # the diagonal of 100×100 is 141.4: 2 % are 3 pixels
    band = boundary(square())
    assert band.sum() == 60**2 - 54**2
    assert boundary(square(), 0.001).sum() == 60**2 - 58**2


def test_the_border_of_the_image_is_an_outline():
    assert boundary(np.ones((100, 100), bool)).sum() == 100**2 - 94**2


def test_nothing_has_no_outline():
    assert not boundary(np.zeros((10, 10), bool)).any()


def test_the_same_region_agrees_in_all_of_its_band():
    both, either = boundary_overlap(square(), square().astype(np.uint8))
    assert both == either == 60**2 - 54**2


def test_inside_does_not_count():
    hole = square()
    hole[45:55, 45:55] = False
    both, _ = boundary_overlap(hole, square().astype(np.uint8))
    assert both == 60**2 - 54**2


def test_what_is_ignored_counts_for_nothing():
    truth = square().astype(np.uint8)
    truth[:, 50:] = 255
    found = square()
    both, either = boundary_overlap(found, truth)
    found[:, 50:] = False
    assert (both, either) == boundary_overlap(found, truth)

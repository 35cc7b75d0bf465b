"""Outlines: what is drawn along them is the mask again."""

import cv2
import numpy as np
import pytest
from export_samples import iou, ring_and_dots
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from mmssp.apis.export.outlines import drawn as drawn_inside
from mmssp.apis.export.outlines import joined, one_ring, parts, polygons

REGIONS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def drawn(found, shape) -> np.ndarray:
    region = np.zeros(shape, bool)
    for polygon in found:
        region |= polygon.draw(*shape)
    return region


def filled(ring: np.ndarray, shape) -> np.ndarray:
    rle = coco_mask.frPyObjects([ring.ravel().tolist()], *shape)
    return coco_mask.decode(rle)[..., 0].astype(bool)


@given(REGIONS)
def test_exact_outlines_give_the_region_back(region):
    np.testing.assert_array_equal(drawn(polygons(region, 0), region.shape), region)


@given(REGIONS)
def test_one_outline_with_bridges_gives_the_region_back(region):
    found = polygons(region, 0)
    if found:
        ring = joined([one_ring(polygon) for polygon in found])
        np.testing.assert_array_equal(filled(ring, region.shape), region)


@given(REGIONS, st.floats(0, 3))
def test_outlines_stay_in_the_image(region, tolerance):
    height, width = region.shape
    for polygon in polygons(region, tolerance):
        for ring in (polygon.points, *polygon.holes):
            points = np.array(ring)
            assert (points >= 0).all() and (points <= (width, height)).all()


def test_a_hole_is_a_hole_and_parts_are_apart():
    found = polygons(ring_and_dots() == 1, 0)
    assert sorted(len(polygon.holes) for polygon in found) == [0, 1]


def test_a_tolerance_takes_few_points_near_the_edge():
    region = ring_and_dots() == 1
    exact, fewer = polygons(region, 0), polygons(region, 1)
    assert iou(drawn(fewer, region.shape), region) > 0.93
    assert 3 * sum(len(p.points) for p in fewer) < sum(len(p.points) for p in exact)


def test_a_single_pixel_is_a_square_at_every_tolerance():
    region = np.zeros((5, 5), bool)
    region[2, 3] = True
    for tolerance in (0, 1, 50):
        (polygon,) = polygons(region, tolerance)
        assert set(polygon.points) == {(3, 2), (4, 2), (4, 3), (3, 3)}


@given(REGIONS, st.floats(0, 5))
def test_every_part_keeps_a_pixel_at_every_tolerance(region, tolerance):
    found = polygons(region, tolerance)
    assert len(found) == len(list(parts(region)))
    for polygon in found:
        assert drawn_inside(polygon).inside.any()


def test_a_thin_ring_stays_a_ring_at_a_coarse_tolerance():
    region = np.zeros((30, 30), np.uint8)
    cv2.circle(region, (15, 15), 10, 1, 1)
    (polygon,) = polygons(region == 1, 1)
    assert len(polygon.holes) == 1


@given(REGIONS)
def test_parts_at_their_places_give_the_region_back(region):
    again = np.zeros_like(region)
    for left, top, inside in parts(region):
        height, width = inside.shape
        again[top : top + height, left : left + width] |= inside
    np.testing.assert_array_equal(again, region)


@given(REGIONS)
def test_what_is_drawn_in_its_box_is_what_is_drawn_in_the_image(region):
    for polygon in polygons(region, 0):
        left, top, inside = drawn_inside(polygon)
        again = np.zeros_like(region)
        height, width = inside.shape
        again[top : top + height, left : left + width] = inside
        np.testing.assert_array_equal(again, polygon.draw(*region.shape))


def test_nothing_has_no_outline():
    assert polygons(np.zeros((4, 6), bool)) == []


def test_specks_are_left_out():
    region = ring_and_dots() == 2
    assert len(polygons(region)) == 2
    assert len(polygons(region, min_area=2)) == 1
    assert [int(part.inside.sum()) for part in parts(region, 2)] == [15 * 30]


@pytest.mark.parametrize('tolerance', [-1, float('nan'), float('inf')])
def test_a_tolerance_that_is_none_is_a_sentence(tolerance):
    with pytest.raises(ValueError, match='expected pixels, 0 or more'):
        polygons(np.ones((3, 3), bool), tolerance)

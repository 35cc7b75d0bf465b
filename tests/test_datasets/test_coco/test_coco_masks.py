"""How outlines become label masks: order, crowds, run lengths, colours."""

import numpy as np
import pytest
from coco_samples import (
    HEIGHT,
    WIDTH,
    annotation,
    box,
    compressed,
    content,
    mask_of,
    uncompressed,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmssp.datasets.coco import coco_masks
from mmssp.datasets.coco.coco_json import Outline


def test_a_polygon_covers_its_pixels_with_its_label(make):
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[3:9, 2:12] = 1
    np.testing.assert_array_equal(mask_of(make(content())), expected)


def test_several_polygons_are_one_object(make):
    parts = [box(0, 0, 5, 5), box(10, 10, 15, 15)]
    mask = mask_of(make(content([annotation(parts)])))
    assert mask[2, 2] == mask[12, 12] == 1
    assert mask.sum() == 50


@st.composite
def scenes(draw):
    """Binary masks with labels, in file order; sizes often equal, to have ties."""
    count = draw(st.integers(1, 5))
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    masks = [draw(arrays(bool, shape)) for _ in range(count)]
    labels = draw(st.lists(st.sampled_from([0, 1, 2, 3, 255]), min_size=count))
    return masks, (labels * count)[:count]


@given(scenes(), st.booleans())
@settings(max_examples=80, deadline=None)
def test_each_pixel_belongs_to_the_smallest_mask_on_it_and_the_last_of_equal_ones(
    scene, as_text
):
    masks, labels = scene
    encode = compressed if as_text else uncompressed
    outlines = [Outline(0, encode(m), x) for m, x in zip(masks, labels, strict=True)]
    drawn = coco_masks.draw_mask(outlines, *masks[0].shape)

    expected = np.zeros(masks[0].shape, np.uint8)
    for place in np.ndindex(expected.shape):
        on_it = [(m.sum(), -i) for i, m in enumerate(masks) if m[place]]
        if on_it:
            expected[place] = labels[-min(on_it)[1]]
    np.testing.assert_array_equal(drawn, expected)


def test_the_area_that_counts_is_the_mask_s_not_the_json_s_field(make):
    small = annotation([box(4, 4, 8, 8)], 3, area=1e9)
    large = annotation([box(0, 0, 20, 20)], 7, area=1)
    mask = mask_of(make(content([small, large])))
    assert mask[5, 5] == 1 and mask[0, 0] == 2


def test_a_crowd_region_is_ignored_and_ordered_by_its_area(make):
    crowd = np.zeros((HEIGHT, WIDTH), bool)
    crowd[2:12, 2:12] = True
    around = annotation([box(0, 0, 20, 20)], 7)
    inside = annotation([box(4, 4, 6, 6)], 3)
    mask = mask_of(
        make(content([inside, annotation(uncompressed(crowd), 3, iscrowd=1), around]))
    )
    assert (mask[15, 15], mask[3, 3], mask[5, 5]) == (2, 255, 1)


@given(arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
@settings(max_examples=60, deadline=None)
def test_compressed_and_uncompressed_runs_agree(mask):
    assert (
        coco_masks.decompress_counts(compressed(mask)['counts'])
        == (uncompressed(mask)['counts'])
    )


def test_long_runs_of_a_compressed_rle_come_back():
    mask = np.zeros((300, 700), bool)
    mask[:, 200:600] = True
    mask[40, 300] = False
    counts = coco_masks.decompress_counts(compressed(mask)['counts'])
    assert counts == uncompressed(mask)['counts']


def test_degenerate_outlines_are_left_out_with_one_warning(make):
    annotations = [
        annotation([box(2, 3, 12, 9), [1, 1, 5, 5], []]),
        annotation([]),
        annotation(None),
        annotation([[]]),
    ]
    with pytest.warns(UserWarning, match='left out 5 polygons') as caught:
        dataset = make(content(annotations))
    assert len([w for w in caught if 'left out' in str(w.message)]) == 1
    assert mask_of(dataset).sum() == 60


def test_an_image_without_annotations_is_all_background(make):
    images = [
        {'id': i, 'file_name': f'{i}.jpg', 'height': HEIGHT, 'width': WIDTH}
        for i in (1, 2)
    ]
    mask = mask_of(make(content(images=images)), 1)
    assert mask.shape == (HEIGHT, WIDTH) and not mask.any()


def test_the_palette_has_a_colour_of_its_own_for_every_label():
    colours = {tuple(colour) for colour in coco_masks.label_palette(256)}
    assert len(colours) == 256
    assert coco_masks.label_palette(5) == coco_masks.label_palette(256)[:5]
    assert all(0 <= value <= 255 for colour in colours for value in colour)

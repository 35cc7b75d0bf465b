"""The bar moves by tiles."""

from types import SimpleNamespace

from mmssp.apis.folder.tile_progress import moving_by_tiles


def test_images_one_after_the_other_are_counted_by_their_parts():
    inferencer, shown = SimpleNamespace(on_share=None), []
    with moving_by_tiles(inferencer, 5, 2, shown.append):
        for share in (0.5, 1.0, 0.25, 1.0):
            inferencer.on_share(share)
    assert shown == [5.5, 6.0, 6.25, 7.0]
    assert inferencer.on_share is None


def test_an_image_that_is_tried_twice_does_not_count_twice():
    inferencer, shown = SimpleNamespace(), []
    with moving_by_tiles(inferencer, 0, 1, shown.append):
        for share in (0.5, 0.5, 1.0):
            inferencer.on_share(share)
    assert shown == [0.5, 1, 1]

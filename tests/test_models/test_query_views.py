"""Flip and multi-scale testing: what is seen, and how it becomes one."""

import pytest
import torch

from mmssp.models.query_views import QueryViews, build_views, merged_logits


def test_each_scale_is_seen_as_it_is_and_flipped():
    image = torch.rand(2, 3, 30, 41)
    views = QueryViews(flip=True, scales=[1, 0.5, 1.5]).of(image)
    sizes = [tuple(view.shape[-2:]) for view in views]
    assert sizes == [(30, 41)] * 2 + [(15, 20)] * 2 + [(45, 62)] * 2
    assert views[0] is image
    for seen, flipped in zip(views[::2], views[1::2], strict=True):
        assert torch.equal(flipped, seen.flip(-1))
    # scaled, not cut
    assert torch.allclose(views[2].mean(), image.mean(), atol=0.02)


def test_maps_come_back_to_where_they_were_seen():
    """Of a smooth image each view's own pixels are maps of it."""
    rows, columns = torch.meshgrid(
        torch.linspace(0, 1, 32), torch.linspace(0, 2, 48), indexing='ij'
    )
    image = torch.stack([rows, columns, rows * columns])[None]
    views = QueryViews(flip=True, scales=[0.5, 1, 2])
    merged = views.merged(views.of(image), (32, 48))
    inner = merged[..., 2:-2, 2:-2] - image[..., 2:-2, 2:-2]
    assert inner.abs().max() < 2e-3


def test_the_mean_is_that_of_all_views():
    views = QueryViews(flip=True)
    maps = torch.rand(2, 1, 2, 5, 6)
    expected = (maps[0] + maps[1].flip(-1)) / 2
    assert torch.allclose(views.merged(list(maps), (5, 6)), expected)
    kinds = [dict(baseline=m, final=2 * m) for m in maps]
    found = merged_logits(views, kinds, (5, 6))
    assert list(found) == ['baseline', 'final']
    assert torch.allclose(found['final'], 2 * expected)


def test_a_scale_leaves_at_least_a_pixel():
    image = torch.rand(1, 3, 2, 90)
    (small,) = QueryViews(scales=[0.1]).of(image)
    assert small.shape[-2:] == (1, 9)


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(flip=1), 'flip=1: expected True or False'),
        (dict(scales=[]), r'scales=\[\]: expected a list of numbers'),
        (dict(scales=0.5), 'scales=0.5: expected a list of numbers'),
        (dict(scales='12'), "scales='12': expected a list"),
        (dict(scales=[0]), 'scales=0: expected a number of 0.1 to 4'),
        (dict(scales=[float('nan')]), 'scales=nan'),
        (dict(scales=[1, 1.0]), 'expected each once'),
        (dict(), 'see what is seen without it'),
        (dict(ratios=[1, 2]), r"tta=\{'ratios': \[1, 2\]\}: expected dict\(flip"),
        (True, 'tta=True: expected dict'),
    ],
)
def test_what_cannot_be_meant_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        build_views(given)


def test_none_is_none():
    assert build_views(None) is None

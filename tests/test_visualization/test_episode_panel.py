"""Panels show what they are given, where they are given it."""

import mmcv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmssp.visualization import (
    PanelStyle,
    draw_episode_panel,
    episode_iou,
    stack_panels,
    write_png,
)
from mmssp.visualization import episode_panel as module
from mmssp.visualization.overlay import inner_outline, overlay_mask

STYLE = PanelStyle()
SUPPORT, QUERY = (10, 200, 30), (200, 100, 50)


def plain(color, height=60, width=80):
    return np.full((height, width, 3), color, np.uint8)


def square(value=1, height=60, width=80):
    mask = np.zeros((height, width), np.uint8)
    mask[20:40, 30:60] = value
    return mask


def episode(**changes):
    arguments = dict(
        support_images=[plain(SUPPORT)],
        support_masks=[square()],
        query_image=plain(QUERY),
        truth=square(),
        predictions={'Baseline': square(), 'SSP': square()},
        class_name='dog',
        cell_height=60,
        legend=False,
    )
    return {**arguments, **changes}


def count(image, color):
    return int((image == np.array(color)).all(-1).sum())


def tinted(color, tint=STYLE.mask_color):
    mixed = (1 - STYLE.opacity) * np.array(color) + STYLE.opacity * np.array(tint)
    return np.rint(mixed).astype(np.uint8)


@pytest.fixture
def captions(monkeypatch):
    """What the cells of the panels drawn are called, in order."""
    seen = []
    compose = module.compose

    def spy(cells, *args):
        seen.append([(cell.name, cell.note) for cell in cells])
        return compose(cells, *args)

    monkeypatch.setattr(module, 'compose', spy)
    return seen


def test_iou_is_intersection_over_union_of_the_target():
    truth = np.array([[1, 1, 0, 0]])
    assert episode_iou(np.array([[0, 1, 1, 0]]), truth) == pytest.approx(1 / 3)


def test_iou_leaves_out_ignored_pixels():
    truth = np.array([[1, 1, 255, 255]])
    assert episode_iou(np.array([[1, 0, 1, 0]]), truth) == pytest.approx(1 / 2)


def test_iou_is_none_where_nothing_is_target():
    assert episode_iou(np.array([[0, 0, 1]]), np.array([[0, 0, 255]])) is None


def test_iou_refuses_masks_of_different_size():
    with pytest.raises(ValueError, match=r'\(1, 2\).*\(2, 1\)'):
        episode_iou(np.zeros((1, 2)), np.zeros((2, 1)))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from([0, 1, 255]), min_size=9, max_size=9),
        min_size=1,
        max_size=9,
    ),
    st.integers(1, 3),
)
def test_overlay_changes_all_of_the_mask_and_nothing_else(rows, line_width):
    mask = np.array(rows, np.uint8)
    image = np.random.default_rng(0).integers(200, 256, (*mask.shape, 3), np.uint8)
    before = image.copy()
    drawn = overlay_mask(image, mask, (0, 0, 9), (0, 9, 0), (9, 0, 0), 0.5, line_width)
    assert np.array_equal((drawn != image).any(-1), mask != 0)
    assert np.array_equal(image, before)


def test_outline_is_the_rim_of_the_region():
    region = np.zeros((7, 7), bool)
    region[1:6, 1:6] = True
    expected = region.copy()
    expected[2:5, 2:5] = False
    assert np.array_equal(inner_outline(region, 1), expected)


def test_outline_does_not_follow_the_border_of_the_image():
    assert not inner_outline(np.ones((5, 5), bool), 1).any()


def test_query_is_shown_as_it_is_and_truth_with_its_mask():
    panel = draw_episode_panel(**episode(predictions={}))
    rim = count(panel, STYLE.rim_color)
    # One square in the support's cell and one in the truth's, one line thin.
    assert rim == 2 * (600 - 18 * 28)
    assert count(panel, QUERY) == 4800 + 4200
    assert count(panel, tinted(QUERY)) == 18 * 28
    assert count(panel, tinted(SUPPORT)) == 18 * 28


def test_prediction_shows_the_outline_of_the_truth():
    missed = np.zeros((60, 80), np.uint8)
    panel = draw_episode_panel(**episode(predictions={'SSP': missed}))
    assert count(panel, STYLE.truth_color) == 600 - 18 * 28
    # Query, truth without its square, prediction without the outline.
    assert count(panel, QUERY) == 4800 + 4200 + 4800 - (600 - 18 * 28)


def test_ignored_pixels_of_the_truth_are_not_shown_as_predicted():
    truth = square(255)
    panel = draw_episode_panel(**episode(truth=truth, predictions={'SSP': square()}))
    assert count(panel, tinted(QUERY)) == 0
    assert count(panel, tinted(QUERY, STYLE.ignore_color)) > 0


def test_captions_name_the_cells_in_order_with_the_iou(captions):
    half = square()
    half[20:30] = 0
    draw_episode_panel(**episode(predictions={'Baseline': half, 'SSP': square()}))
    assert captions == [
        [
            ('Support', ''),
            ('Query', ''),
            ('Truth', ''),
            ('Baseline', 'IoU 50.0 %'),
            ('SSP', 'IoU 100.0 %'),
        ]
    ]


def test_caption_says_so_where_iou_is_undefined(captions):
    nothing = np.zeros((60, 80), np.uint8)
    draw_episode_panel(**episode(truth=nothing, predictions={'SSP': nothing}))
    assert captions[0][-1] == ('SSP', 'IoU n/a')


def test_class_name_is_written():
    named = draw_episode_panel(**episode())
    unnamed = draw_episode_panel(**episode(class_name=''))
    assert named.shape == unnamed.shape
    assert (named != unnamed).any()


def test_long_class_name_does_not_widen_the_panel():
    expected = draw_episode_panel(**episode()).shape
    assert draw_episode_panel(**episode(class_name='dog ' * 99)).shape == expected


def test_legend_explains_ignored_pixels_only_where_there_are_some():
    style = PanelStyle(ignore_color=(1, 250, 2))

    def swatch(**changes):
        panel = draw_episode_panel(**episode(legend=True, style=style, **changes))
        return count(panel[: panel.shape[0] // 8], style.ignore_color)

    assert swatch(support_masks=[square(255)]) > 0
    assert swatch() == 0


@pytest.mark.parametrize('shots', [2, 3, 5, 10])
def test_all_supports_are_seen_in_a_row_of_the_same_height(shots):
    one = draw_episode_panel(**episode())
    colors = [(20 * k, 255 - 20 * k, 128) for k in range(shots)]
    panel = draw_episode_panel(
        **episode(
            support_images=[plain(color) for color in colors],
            support_masks=[np.zeros((60, 80), np.uint8)] * shots,
        )
    )
    assert panel.shape[0] == one.shape[0]
    for color in colors:
        rows = (panel == np.array(color)).all(-1).any(1).sum()
        assert rows >= 60 // 3


def test_many_supports_share_rows_instead_of_widening_the_panel():
    def width(shots):
        supports = dict(
            support_images=[plain(SUPPORT)] * shots, support_masks=[square()] * shots
        )
        return draw_episode_panel(**episode(**supports)).shape[1]

    assert width(2) > width(1) + 80
    assert width(10) <= width(1) - 80 + STYLE.support_aspect * 60


def test_supports_of_different_size_are_scaled_to_one_height():
    sizes = [(30, 40), (120, 80)]
    colors = [SUPPORT, (250, 10, 250)]
    panel = draw_episode_panel(
        **episode(
            support_images=[plain(c, *s) for c, s in zip(colors, sizes, strict=True)],
            support_masks=[np.zeros(size, np.uint8) for size in sizes],
        )
    )
    assert count(panel, colors[0]) == 60 * 80
    assert count(panel, colors[1]) == 60 * 40


def test_enlarged_mask_keeps_its_edges():
    mask = square()
    mask[:10, :10] = 255
    panel = draw_episode_panel(
        **episode(truth=mask, predictions={}, cell_height=120, support_masks=[mask * 0])
    )
    drawn = count(panel, tinted(QUERY)) + count(panel, STYLE.rim_color)
    assert drawn == 4 * 600
    assert count(panel, QUERY) == 4 * (4800 + 4800 - 600 - 100)


def test_wide_image_is_shrunk_in_proportion():
    wide = dict(height=20, width=200)
    panel = draw_episode_panel(
        **episode(
            query_image=plain(QUERY, **wide),
            truth=np.zeros((20, 200), np.uint8),
            predictions={},
        )
    )
    seen = (panel == np.array(QUERY)).all(-1)
    assert seen.any(1).sum() == 15  # of 150 pixels' width: 2.5 times the row's height
    assert seen.sum() == 2 * 15 * 150


def test_cell_width_makes_panels_equally_wide():
    upright = dict(height=80, width=60)
    widths = {
        draw_episode_panel(**episode(cell_width=90, **changes)).shape[1]
        for changes in (
            {},
            dict(
                query_image=plain(QUERY, **upright),
                truth=square(**upright),
                predictions=dict.fromkeys(('Baseline', 'SSP'), square(**upright)),
            ),
        )
    }
    assert len(widths) == 1


def test_masks_may_have_any_integer_type():
    expected = draw_episode_panel(**episode())
    wide = square().astype(np.int64)
    predictions = {'Baseline': wide, 'SSP': wide == 1}
    same = draw_episode_panel(**episode(truth=wide, predictions=predictions))
    assert np.array_equal(same, expected)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(support_images=[]), 'at least one'),
        (dict(support_masks=[square(), square()]), '1 support images and 2 masks'),
        (dict(truth=square(height=61)), r'truth is \(61, 80\)'),
        (dict(predictions={'SSP': square(width=81)}), r"predictions\['SSP'\]"),
        (dict(support_masks=[square(width=90)]), r'support_masks\[0\]'),
        (dict(truth=square(7)), r'values?\(s\) \[7\]'),
        (dict(predictions={'SSP': square(255)}), r'only \[0, 1\]'),
        (dict(query_image=plain(QUERY)[..., :1]), 'RGB'),
        (dict(query_image=plain(QUERY).astype(float)), 'uint8'),
        (dict(cell_height=8), 'at least 32'),
    ],
)
def test_wrong_input_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        draw_episode_panel(**episode(**changes))


def test_stack_holds_every_panel_and_a_line_between():
    panels = [plain((1, 2, 3), 10, 20), plain((4, 5, 6), 30, 50)]
    picture = stack_panels(panels, separator=2, separator_color=(7, 8, 9))
    assert picture.shape == (42, 50, 3)
    assert np.array_equal(picture[:10, :20], panels[0])
    assert count(picture[:10, 20:], STYLE.background) == 300
    assert count(picture[10:12], (7, 8, 9)) == 100
    assert np.array_equal(picture[12:], panels[1])


def test_stack_of_nothing_is_refused():
    with pytest.raises(ValueError, match='empty'):
        stack_panels([])


def test_png_holds_the_picture(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    write_png(tmp_path / 'new' / 'a.png', image)
    read = mmcv.imread(tmp_path / 'new' / 'a.png', channel_order='rgb')
    assert np.array_equal(read, image)


@pytest.mark.parametrize(
    ('name', 'image'), [('a.jpg', plain(QUERY)), ('a.png', plain(QUERY)[..., 0])]
)
def test_png_of_something_else_is_refused_and_leaves_no_file(tmp_path, name, image):
    with pytest.raises(ValueError, match='expected'):
        write_png(tmp_path / name, image)
    assert not list(tmp_path.iterdir())

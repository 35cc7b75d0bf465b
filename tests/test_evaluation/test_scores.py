"""Pixel counts and scores against naive ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmssp.evaluation import bootstrap_interval, pixel_counts, score_run, score_runs
from mmssp.evaluation.scores import each_once


@given(st.integers(0, 2**32 - 1))
def test_pixel_counts_equal_sets_of_pixels(seed):
    rng = np.random.default_rng(seed)
    prediction, truth = rng.integers(0, 2, (5, 7)), rng.choice([0, 1, 255], (5, 7))
    counts = pixel_counts(torch.tensor(prediction), torch.tensor(truth))
    valid = {p for p in np.ndindex(5, 7) if truth[p] != 255}
    for label in (0, 1):
        predicted = {p for p in valid if prediction[p] == label}
        target = {p for p in valid if truth[p] == label}
        assert counts['intersection'][label] == len(predicted & target)
        assert counts['union'][label] == len(predicted | target)


def record(class_id: int, fg: tuple, bg: tuple = (0, 0), run: int = 0) -> dict:
    """(intersection, union) of foreground and background."""
    return dict(
        run=run,
        class_id=class_id,
        intersection=[bg[0], fg[0]],
        union=[bg[1], fg[1]],
    )


def test_sums_come_before_ratios():
    records = [record(1, (10, 10)), record(1, (0, 30)), record(2, (1, 2))]
    scores = score_run(records, [1, 2])
    assert scores['per_class'] == {1: 25.0, 2: 50.0}
    assert scores['mIoU'] == 37.5


def test_fb_iou_sums_over_all_classes():
    records = [record(1, (1, 2), (3, 4)), record(2, (1, 2), (4, 6))]
    assert score_run(records, [1, 2])['FB-IoU'] == pytest.approx((50 + 70) / 2)


def test_class_that_was_not_drawn_is_left_out_or_counts_as_zero():
    records = [record(1, (1, 2))]
    left_out = score_run(records, [1, 2])
    assert left_out['mIoU'] == 50
    assert math.isnan(left_out['per_class'][2])
    assert score_run(records, [1, 2], undrawn_classes_count=True)['mIoU'] == 25


def test_runs_are_scored_apart_then_averaged():
    records = [record(1, (1, 2), run=0), record(1, (99, 100), run=0)]
    records += [record(1, (1, 10), run=1)]
    scores = score_runs(records, [1])
    first = 100 * 100 / 102
    assert [run['mIoU'] for run in scores['runs']] == pytest.approx([first, 10])
    assert scores['mIoU'] == pytest.approx((first + 10) / 2)
    assert scores['mIoU_std'] == pytest.approx(np.std([first, 10], ddof=1))


def test_one_run_has_no_deviation():
    assert score_runs([record(1, (1, 2))], [1])['mIoU_std'] == 0


def naive_bootstrap(
    records: list[dict], class_ids: list[int], seed: int
) -> list[float]:
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(2000):
        runs = []
        for run in (0, 1):
            own = [r for r in records if r['run'] == run]
            runs.append([own[i] for i in rng.integers(len(own), size=len(own))])
        scores.append(np.mean([score_run(run, class_ids)['mIoU'] for run in runs]))
    return list(np.percentile(scores, [2.5, 97.5]))


def test_bootstrap_interval_equals_resampling_one_by_one():
    rng = np.random.default_rng(0)
    records = []
    for i in range(60):
        union = int(rng.integers(50, 200))
        fg = (int(rng.integers(0, union)), union)
        records.append(record(i % 3 + 1, fg, run=i % 2))
    interval = bootstrap_interval(records, [1, 2, 3], resamples=4000)
    assert interval == pytest.approx(naive_bootstrap(records, [1, 2, 3], 1), abs=0.7)
    assert interval[0] < score_runs(records, [1, 2, 3])['mIoU'] < interval[1]


def test_bootstrap_interval_of_equal_episodes_has_no_width():
    records = [record(1, (1, 2)) for _ in range(5)]
    assert bootstrap_interval(records, [1]) == (50, 50)


def test_bootstrap_counts_undrawn_classes_as_the_score_does():
    records = [record(1, (1, 2)) for _ in range(5)]
    assert bootstrap_interval(records, [1, 2], undrawn_classes_count=True) == (25, 25)


def test_classes_that_only_a_resample_lacks_do_not_lower_the_interval():
    """Many classes of one episode each, all at 50 %: so is every resample."""
    records = [record(c, (1, 2)) for c in range(1, 30)]
    classes = list(range(1, 30))
    for counted in (False, True):
        assert bootstrap_interval(records, classes, counted) == (50, 50)


def test_class_with_empty_union_scores_zero():
    assert score_run([record(1, (0, 0))], [1])['mIoU'] == 0


META = dict(seeds=[0, 7], num_episodes=2)
EVERY = [dict(run=run, index=index, union=[1, 1]) for run in (0, 1) for index in (0, 1)]


def test_records_of_all_episodes_come_in_order_each_once():
    padded = [*reversed(EVERY), dict(EVERY[2])]
    assert each_once(padded, 4, META) == EVERY
    assert each_once(padded, 4, None) == EVERY


@pytest.mark.parametrize(
    ('records', 'message'),
    [
        (EVERY[:3], '3 episodes where the test has 4; missing: 1, as run 1, episode 1'),
        ([], '0 episodes where the test has 4; missing: 4, as run 0, episode 0'),
        (
            [*EVERY, dict(EVERY[0], index=5)],
            '5 episodes .* not of this test: 1, as run 0, episode 5',
        ),
        (
            [*EVERY[:3], dict(EVERY[3], run=3)],
            'missing: 1, as run 1, episode 1; not of this test: 1, as run 3, episode 1',
        ),
        ([*EVERY, dict(EVERY[1], union=[2, 2])], 'run 0, episode 1 has two different'),
    ],
)
def test_other_records_are_no_test(records, message):
    with pytest.raises(ValueError, match=message):
        each_once(records, 4, META)


def test_a_part_of_a_data_set_is_tested_whole_by_its_own_size():
    assert each_once(EVERY[1:3], 2, META) == EVERY[1:3]
    with pytest.raises(ValueError, match='1 episodes where the test has 2'):
        each_once(EVERY[1:2], 2, META)

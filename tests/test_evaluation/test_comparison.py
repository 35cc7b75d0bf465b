"""Paired comparison against resampling one by one, and what is not compared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_files import NAMES, make_records, results

from mmssp.evaluation import bootstrap as module
from mmssp.evaluation import bootstrap_interval, score_run, score_runs
from mmssp.evaluation.bootstrap import bootstrap_scores
from mmssp.evaluation.comparison import (
    check_comparable,
    compare,
    episode_differences,
    gains_and_losses,
    two_sided_p,
)

CLASSES = sorted(NAMES)


def resampled_one_by_one(
    results: list[list[dict]], undrawn_classes_count: bool, resamples: int, seed: int
) -> list[list[dict]]:
    """Scores of each resample of each result; multiplicities as the fast way draws them.

    Repeats records and scores them with :func:`score_runs`.
    """
    rng = np.random.default_rng(seed)
    runs = sorted({record['run'] for record in results[0]})
    rows = {
        run: [i for i, r in enumerate(results[0]) if r['run'] == run] for run in runs
    }
    times = {
        run: rng.multinomial(len(own), np.full(len(own), 1 / len(own)), resamples)
        for run, own in rows.items()
    }
    scores = []
    for records in results:
        scores.append([])
        for sample in range(resamples):
            drawn, each = [], []
            for run in runs:
                own = []
                for i, number in zip(rows[run], times[run][sample], strict=True):
                    own += [records[i]] * int(number)
                before = {records[i]['class_id'] for i in rows[run]}
                lost = before - {record['class_id'] for record in own}
                kept = [c for c in CLASSES if c not in lost]
                each.append(score_run(own, kept, undrawn_classes_count))
                drawn += own
            scores[-1].append(
                dict(
                    {n: np.mean([s[n] for s in each]) for n in ('mIoU', 'FB-IoU')},
                    per_class=score_runs(drawn, CLASSES)['per_class'],
                )
            )
    return scores


@pytest.mark.parametrize('undrawn_classes_count', [False, True])
@pytest.mark.parametrize('chunk', [1, module.CHUNK])
def test_fast_resampling_equals_one_by_one(undrawn_classes_count, chunk, monkeypatch):
    monkeypatch.setattr(module, 'CHUNK', chunk)
    # so few episodes that classes are missing from many resamples
    pair = [make_records(2, 5, 3), make_records(2, 5, 3, better=300)]
    fast = bootstrap_scores(pair, CLASSES, undrawn_classes_count, 50, seed=3)
    slow = resampled_one_by_one(pair, undrawn_classes_count, 50, seed=3)
    for k in range(2):
        for name in ('mIoU', 'FB-IoU'):
            assert fast[name][k] == pytest.approx([s[name] for s in slow[k]])
        per_class = [list(s['per_class'].values()) for s in slow[k]]
        assert fast['per_class'][k] == pytest.approx(np.array(per_class), nan_ok=True)
    assert np.isnan(fast['per_class']).any()


def test_interval_is_that_of_drawing_episode_by_episode(tmp_path):
    """By draws of its own: episodes with replacement, the same for both."""
    a, b = make_records(2, 30), make_records(2, 30, better=300)
    rng = np.random.default_rng(5)
    differences = []
    for _ in range(1000):
        chosen = [*rng.integers(0, 30, 30), *rng.integers(30, 60, 30)]
        first, second = (score_runs([x[i] for i in chosen], CLASSES) for x in (a, b))
        differences.append(second['mIoU'] - first['mIoU'])
    compared = compare(results(tmp_path, a), results(tmp_path, b))
    expected = np.percentile(differences, [2.5, 97.5])
    assert compared['mIoU']['interval'] == pytest.approx(expected, abs=0.4)


def test_each_result_by_itself_has_the_interval_of_its_test():
    records = make_records()
    samples = bootstrap_scores([records], CLASSES, resamples=1000, seed=0)['mIoU'][0]
    interval = np.percentile(samples, [2.5, 97.5])
    assert interval == pytest.approx(bootstrap_interval(records, CLASSES))


def test_pairing_narrows_the_interval():
    """Episodes differ far more than the results do in each."""
    a, b = make_records(1, 40), make_records(1, 40, better=50)
    samples = bootstrap_scores([a, b], CLASSES, resamples=500)['mIoU']
    paired = np.std(samples[1] - samples[0])
    shuffled = np.random.default_rng(0).permutation(samples[0])
    assert paired < 0.5 * np.std(samples[1] - shuffled)


def test_a_result_does_not_differ_from_itself(tmp_path):
    a = results(tmp_path, make_records())
    compared = compare(a, a, resamples=100)
    for score in (compared['mIoU'], compared['FB-IoU'], *compared['per_class']):
        assert score['difference'] == 0
        assert score['interval'] == [0, 0]
    assert compared['mIoU']['p'] == 1
    assert gains_and_losses(a, a, 5) == ([], [])


def test_what_is_clearly_better_lies_above_zero(tmp_path):
    a = results(tmp_path, make_records(5, 40))
    b = results(tmp_path, make_records(5, 40, better=300))
    compared = compare(a, b, resamples=2000)
    for name in ('mIoU', 'FB-IoU'):
        row = compared[name]
        assert 0 < row['interval'][0] < row['difference'] < row['interval'][1]
        assert row['p'] == pytest.approx(2 / 2001)
        assert row['difference'] == pytest.approx(b[name] - a[name])
        assert (row['a'], row['b']) == pytest.approx((a[name], b[name]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 400))
def test_exchanging_the_two_changes_signs_alone(seed, better):
    names = dict(class_names=NAMES, protocol='ssp')
    a = dict(names, episodes=make_records(seed=seed))
    b = dict(names, episodes=make_records(seed=seed, better=better))
    there, back = compare(a, b, 200), compare(b, a, 200)
    assert there['mIoU']['difference'] == pytest.approx(-back['mIoU']['difference'])
    mirrored = [-x for x in back['mIoU']['interval'][::-1]]
    assert there['mIoU']['interval'] == pytest.approx(mirrored)
    assert there['mIoU']['p'] == back['mIoU']['p']


def test_equally_good_results_are_rarely_told_apart():
    """5 % of comparisons without a difference fall outside; of 100, hardly 13."""
    outside = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        a = make_records(1, 40, 2, seed=seed)
        b = make_records(1, 40, 2, seed=seed)
        for record in (*a, *b):
            record['intersection'][1] += int(rng.integers(0, 100))
        reports = [dict(class_names=NAMES, protocol='ssp', episodes=x) for x in (a, b)]
        outside += compare(*reports, resamples=300)['mIoU']['p'] < 0.05
    assert 0 < outside < 13


def test_p_is_twice_the_rarer_side():
    assert two_sided_p(np.array([-1.0, 1, 1, 1, 1, 1, 1, 1, 1])) == pytest.approx(0.4)


def test_undrawn_classes_count_by_the_protocol(tmp_path):
    a, b = make_records(2, 20, 2), make_records(2, 20, 2, better=300)
    compared = {}
    for protocol in ('ssp', 'hsnet'):
        pair = [results(tmp_path, x, protocol=protocol) for x in (a, b)]
        compared[protocol] = compare(*pair, resamples=200)['mIoU']['difference']
    # two of five classes are drawn
    assert compared['hsnet'] == pytest.approx(0.4 * compared['ssp'])


def test_classes_come_by_difference_and_only_those_drawn(tmp_path):
    a, b = make_records(2, 12, 3), make_records(2, 12, 3)
    for record in b:
        record['intersection'][1] += {6: 10, 7: -80, 8: 50}[record['class_id']]
    pair = [results(tmp_path, x) for x in (a, b)]
    rows = compare(*pair, resamples=100)['per_class']
    assert [row['class_name'] for row in rows] == ['car', 'cat', 'bus']
    assert [row['difference'] for row in rows] == pytest.approx([-8, 5, 1])
    assert all(
        row['interval'] == pytest.approx([row['difference']] * 2) for row in rows
    )


def test_episodes_with_the_largest_differences_are_named(tmp_path):
    a, b = make_records(2, 4), make_records(2, 4)
    for place, pixels in ((1, 200), (2, 300), (5, -50), (6, 200)):
        b[place]['intersection'][1] += pixels
    gains, losses = gains_and_losses(*(results(tmp_path, x) for x in (a, b)), number=2)
    assert [(row['run'], row['index']) for row in gains] == [(0, 2), (0, 1)]
    assert [row['difference'] for row in gains] == pytest.approx([30, 20])
    assert [(row['run'], row['index']) for row in losses] == [(1, 1)]
    assert losses[0]['query'] == a[5]['query']
    assert losses[0]['class_name'] == NAMES[a[5]['class_id']]
    assert losses[0]['a'] == pytest.approx(a[5]['intersection'][1] / 10)


def test_episodes_without_foreground_have_no_difference():
    a, b = make_records(1, 3), make_records(1, 3)
    a[1].update(intersection=[10, 0], union=[10, 0])
    reports = [dict(class_names=NAMES, episodes=x) for x in (a, b)]
    assert {row['index'] for row in episode_differences(*reports)} == {0, 2}


@pytest.mark.parametrize('number', [0, -1])
def test_no_episodes_are_not_listed(number, tmp_path):
    a = results(tmp_path, make_records())
    with pytest.raises(ValueError, match='expected 1 or more'):
        gains_and_losses(a, a, number)


@pytest.mark.parametrize(
    ('options', 'message'),
    [(dict(resamples=0), 'resamples=0'), (dict(seed=-1), 'seed')],
)
def test_options_out_of_range_are_named(options, message, tmp_path):
    a = results(tmp_path, make_records())
    with pytest.raises(ValueError, match=message):
        compare(a, a, **options)


def test_the_same_episodes_in_another_folder_compare(tmp_path):
    a, b = make_records(), make_records(better=9)
    for record in b:
        record['query'] = record['query'].replace('/data/', 'D:\\voc\\')
    check_comparable(*(results(tmp_path, x) for x in (a, b)))


@pytest.mark.parametrize(
    ('change', 'found'),
    [
        (dict(query='/data/other.jpg'), 'query other.jpg'),
        (dict(supports=['/data/other.jpg']), 'support other.jpg'),
        (dict(class_id=10), 'class 10'),
    ],
)
def test_other_episodes_are_counted_and_the_first_named(change, found, tmp_path):
    a, b = make_records(2, 12), make_records(2, 12)
    for place in (14, 20):
        b[place].update(change)
    pair = [results(tmp_path, a), results(tmp_path, b, seeds=[3, 4])]
    with pytest.raises(ValueError, match='2 of 24 episodes differ') as error:
        check_comparable(*pair, ('SSP', 'mine'))
    text = str(error.value)
    assert 'run 1, episode 2' in text
    assert f'{found} in mine' in text or f'{found}, ' in text
    assert 'seeds [0, 1] against [3, 4]' in text


@pytest.mark.parametrize('fewer', ['A', 'B'])
def test_missing_episodes_are_counted(fewer, tmp_path):
    pair = [results(tmp_path, make_records(r, 12)) for r in (1, 2)]
    with pytest.raises(ValueError, match='12 of 24 episodes are in . only') as error:
        check_comparable(*(pair if fewer == 'A' else pair[::-1]))
    assert f'in {"B" if fewer == "A" else "A"} only' in str(error.value)
    assert 'run 1, episode 0' in str(error.value)


def test_other_protocols_do_not_compare(tmp_path):
    records = make_records()
    pair = [results(tmp_path, records, protocol=p) for p in ('ssp', 'hsnet')]
    with pytest.raises(
        ValueError, match='A was tested by protocol ssp v1, B by hsnet v1'
    ):
        check_comparable(*pair)
    pair = [results(tmp_path, records, protocol_version=v) for v in (1, 2)]
    with pytest.raises(ValueError, match='ssp v1, B by ssp v2'):
        check_comparable(*pair)


def test_other_classes_do_not_compare(tmp_path):
    records = make_records()
    other = {str(c): name for c, name in (NAMES | {10: 'dog'}).items()}
    pair = [results(tmp_path, records), results(tmp_path, records, class_names=other)]
    with pytest.raises(ValueError, match=r"\(10, 'cow'\).* in A only, .*'dog'"):
        check_comparable(*pair)

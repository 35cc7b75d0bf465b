"""Which weights a fold is tested with, and what several folds give together."""

import numpy as np
import pytest
from result_files import NAMES, make_records, results, write_results

from mmssp.evaluation import score_runs
from mmssp.evaluation.fold_results import fold_checkpoints, mean_over_folds, read_fold

CLASSES = sorted(NAMES)


@pytest.fixture
def folds(tmp_path) -> dict[int, dict]:
    """Results of three folds of different difficulty."""
    return {
        fold: results(tmp_path, make_records(3, 12, seed=fold, better=100 * fold))
        for fold in (0, 1, 3)
    }


@pytest.fixture
def weights(tmp_path):
    """Make files and say which fold has which."""
    for fold in (0, 1):
        (tmp_path / f'fold{fold}').mkdir()
        (tmp_path / f'fold{fold}' / f'best_iter_{fold}5.pth').touch()
    return tmp_path


def test_each_fold_has_its_own_weights(weights):
    found = fold_checkpoints(str(weights / 'fold{fold}' / 'best_*.pth'), [1, 0])
    assert found == {
        1: str(weights / 'fold1' / 'best_iter_15.pth'),
        0: str(weights / 'fold0' / 'best_iter_05.pth'),
    }


def test_untrained_models_and_urls_need_no_file():
    assert fold_checkpoints('none', [0, 2]) == {0: 'none', 2: 'none'}
    assert fold_checkpoints('http://x/{fold}.pth', [3]) == {3: 'http://x/3.pth'}


def test_a_name_with_brackets_is_a_name(tmp_path):
    (tmp_path / '0[a].pth').touch()
    path = str(tmp_path / '{fold}[a].pth')
    assert fold_checkpoints(path, [0]) == {0: str(tmp_path / '0[a].pth')}


def test_missing_weights_are_named_with_their_fold(weights):
    with pytest.raises(
        FileNotFoundError, match=r'fold 2: no file matches .*fold2/best'
    ):
        fold_checkpoints(str(weights / 'fold{fold}' / 'best_*.pth'), [0, 2])


def test_several_files_are_named(weights):
    (weights / 'fold1' / 'best_iter_9.pth').touch()
    with pytest.raises(ValueError, match='fold 1: 2 files match') as error:
        fold_checkpoints(str(weights / 'fold{fold}' / 'best_*.pth'), [0, 1])
    assert 'best_iter_15.pth' in str(error.value)
    assert 'best_iter_9.pth' in str(error.value)


def test_the_same_weights_for_all_folds_are_refused(weights):
    with pytest.raises(ValueError, match='does not say where the fold stands'):
        fold_checkpoints(str(weights / 'fold0' / 'best_iter_05.pth'), [0, 1])


@pytest.mark.parametrize('folds', [[0, 0], [-1], []])
def test_impossible_folds_are_refused(folds):
    with pytest.raises(ValueError, match='--folds'):
        fold_checkpoints('none', folds)


def test_results_of_another_fold_are_refused(tmp_path):
    path = write_results(tmp_path / 'F.json', make_records(), fold=1)
    assert read_fold(path, 1)['fold'] == 1
    with pytest.raises(ValueError, match='is of fold 1: expected 2'):
        read_fold(path, 2)


def test_scores_of_folds_are_kept_and_their_mean_taken(folds):
    report = mean_over_folds(folds)
    assert [row['fold'] for row in report['folds']] == [0, 1, 3]
    for row, own in zip(report['folds'], folds.values(), strict=True):
        for name in ('mIoU', 'mIoU_std', 'mIoU_95', 'FB-IoU', 'per_class'):
            assert row[name] == own[name]
    for name in ('mIoU', 'FB-IoU'):
        expected = np.mean([own[name] for own in folds.values()])
        assert report['mean'][name] == pytest.approx(expected)
    assert (report['protocol'], report['protocol_version']) == ('ssp', 1)


def test_deviation_of_the_mean_is_that_over_runs(folds):
    runs = [
        np.mean([own['runs'][run]['mIoU'] for own in folds.values()])
        for run in range(3)
    ]
    deviation = mean_over_folds(folds)['mean']['mIoU_std']
    assert deviation == pytest.approx(np.std(runs, ddof=1))


def test_folds_with_other_runs_have_no_common_deviation(folds, tmp_path):
    folds[2] = results(tmp_path, make_records(2, 12))
    assert mean_over_folds(folds)['mean']['mIoU_std'] is None


def test_interval_of_the_mean_is_that_of_drawing_in_every_fold(folds):
    rng = np.random.default_rng(8)
    means = []
    for _ in range(500):
        scores = []
        for own in folds.values():
            chosen = np.concatenate(
                [rng.integers(0, 12, 12) + 12 * r for r in range(3)]
            )
            records = [own['episodes'][i] for i in chosen]
            scores.append(score_runs(records, CLASSES)['mIoU'])
        means.append(np.mean(scores))
    interval = mean_over_folds(folds, resamples=4000)['mean']['mIoU_95']
    assert interval == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.5)


def test_departures_say_of_which_folds_they_are(folds):
    for own in folds.values():
        own['departures'] = ['seeds']
    folds[1]['departures'] = ['seeds', 'trained on the classes tested']
    assert mean_over_folds(folds)['departures'] == [
        'seeds',
        'trained on the classes tested (fold 1 only)',
    ]


def test_folds_of_own_data_are_of_no_benchmark(folds):
    assert mean_over_folds(folds)['benchmark'] == 'unknown'  # files of 0.1
    own = {fold: dict(report, benchmark=None) for fold, report in folds.items()}
    assert mean_over_folds(own)['benchmark'] is None


def test_several_protocols_have_no_mean(folds, tmp_path):
    folds[2] = results(tmp_path, make_records(), protocol='hsnet')
    with pytest.raises(ValueError, match='several protocols'):
        mean_over_folds(folds)

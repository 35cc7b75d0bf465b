"""Samplers: what is drawn, from which images, in which order."""

import pickle
from collections import Counter

import numpy as np
import pytest

from mmssp.datasets.class_index import ClassIndex
from mmssp.datasets.episodes import HSNetClassSampler, HSNetPairSampler, build_sampler

NAMES = {1: 'cat', 2: 'dog', 3: 'cow'}
LABELS = {1: 1, 2: 2, 3: 3}


@pytest.fixture
def index() -> ClassIndex:
    """12 images: each class large in every third image, small in the next one."""
    counts = [{i % 3 + 1: 100, (i + 1) % 3 + 1: 5} for i in range(12)]
    return ClassIndex.from_counts(counts, num_classes=4)


def build(index, sampling, labels=LABELS, **kwargs):
    options = dict(shots=2, min_pixels=50) | kwargs
    return build_sampler(index, labels, NAMES, sampling=sampling, **options)


SAMPLINGS = ['images', 'in_order', 'hsnet_pairs', 'hsnet_classes']


@pytest.mark.parametrize('sampling', SAMPLINGS)
def test_episodes_depend_on_seed_and_index_alone(sampling, index):
    sampler, _ = build(index, sampling)
    again, _ = build(index, sampling)
    forwards = [sampler.episode(3, i) for i in range(20)]
    backwards = [again.episode(3, i) for i in reversed(range(20))]
    assert forwards == backwards[::-1]
    assert forwards != [sampler.episode(4, i) for i in range(20)]


@pytest.mark.parametrize('sampling', SAMPLINGS)
def test_supports_are_large_in_the_class_and_never_the_query(sampling, index):
    sampler, _ = build(index, sampling)
    for i in range(100):
        episode = sampler.episode(0, i)
        assert episode.query not in episode.supports
        assert all(index.pixels(s, episode.label) >= 50 for s in episode.supports)
        assert index.pixels(episode.query, episode.label) > 0


@pytest.mark.parametrize('sampling', ['images', 'in_order'])
def test_supports_are_distinct(sampling, index):
    sampler, _ = build(index, sampling)
    drawn = [sampler.episode(0, i).supports for i in range(100)]
    assert all(len(set(supports)) == 2 for supports in drawn)


def test_hsnet_supports_may_repeat(index):
    sampler, _ = build(index, 'hsnet_pairs')
    drawn = [sampler.episode(0, i).supports for i in range(100)]
    assert any(len(set(supports)) == 1 for supports in drawn)


def test_in_order_takes_images_in_turn_and_any_class_in_them(index):
    sampler, _ = build(index, 'in_order')
    episodes = [sampler.episode(0, i) for i in range(240)]
    assert [e.query for e in episodes] == list(range(12)) * 20
    of_first = Counter(e.label for e in episodes if e.query == 0)
    # the class that is small there is drawn about as often
    assert set(of_first) == {1, 2}
    assert min(of_first.values()) >= 4


def test_hsnet_pairs_are_drawn_as_numpy_alone_draws_them():
    """HSNet's PASCAL-5i: the list in order, supports from NumPy's global generator."""
    rng = np.random.default_rng(5)
    names = [f'2007_{i:06d}' for i in range(40)]
    pairs = [(int(i), int(rng.integers(1, 4))) for i in rng.permutation(40)]
    of_class = {c: [names[i] for i, own in pairs if own == c] for c in (1, 2, 3)}
    expected = []
    np.random.seed(0)
    for i in range(1000):
        position, label = pairs[i % len(pairs)]
        supports = []
        while True:
            support = np.random.choice(of_class[label], 1, replace=False)[0]
            if support != names[position]:
                supports.append(support)
            if len(supports) == 5:
                break
        expected.append((label, names[position], supports))
    sampler = HSNetPairSampler(pairs, shots=5)
    found = [sampler.episode(0, i) for i in range(1000)]
    assert expected == [
        (e.label, names[e.query], [names[s] for s in e.supports]) for e in found
    ]


def test_hsnet_classes_are_drawn_as_numpy_alone_draws_them():
    """HSNet's COCO-20i: class, query and supports from NumPy's global generator."""
    rng = np.random.default_rng(6)
    class_ids = [2, 6, 10, 14]
    of_class = {c: [int(i) for i in rng.permutation(60)[: 8 + c]] for c in class_ids}
    pairs = [(i, c) for c in class_ids for i in of_class[c]]
    expected = []
    np.random.seed(0)
    for _ in range(1000):
        label = np.random.choice(class_ids, 1, replace=False)[0]
        query = np.random.choice(of_class[label], 1, replace=False)[0]
        supports = []
        while True:
            support = np.random.choice(of_class[label], 1, replace=False)[0]
            if support != query:
                supports.append(support)
            if len(supports) == 1:
                break
        expected.append((label, query, tuple(supports)))
    sampler = HSNetClassSampler(pairs, shots=1)
    found = [sampler.episode(0, i) for i in range(1000)]
    assert expected == [(e.label, e.query, e.supports) for e in found]


def test_drawing_leaves_the_global_generator_alone(index):
    sampler, _ = build(index, 'hsnet_classes')
    np.random.seed(1)
    expected = np.random.rand()
    np.random.seed(1)
    sampler.episode(0, 10)
    assert np.random.rand() == expected


def test_images_left_out_are_nowhere(index):
    left_out = np.zeros(12, bool)
    left_out[[0, 4]] = True
    sampler, _ = build(index, 'images', left_out=left_out)
    seen = {
        i
        for k in range(200)
        for i in (sampler.episode(0, k).query, *sampler.episode(0, k).supports)
    }
    assert seen == set(range(12)) - {0, 4}


@pytest.mark.parametrize(('sampling', 'needed'), [('images', 3), ('hsnet_pairs', 2)])
def test_classes_with_too_few_images_are_named(sampling, needed):
    counts = [{1: 100}] * 4 + [{2: 100}] * (needed - 1)
    index = ClassIndex.from_counts(counts, num_classes=4)
    labels = {1: 1, 2: 2}
    with pytest.raises(ValueError, match=rf'dog \({needed - 1}\)'):
        build(index, sampling, labels)
    with pytest.warns(UserWarning, match='left out'):
        sampler, classes = build(index, sampling, labels, allow_missing=True)
    assert classes == [1]
    assert {sampler.episode(0, i).label for i in range(20)} == {1}


def test_unknown_sampling_is_refused(index):
    with pytest.raises(ValueError, match="sampling='mine'.*images"):
        build(index, 'mine')


def test_lists_are_for_hsnet_only(index):
    with pytest.raises(ValueError, match='split_file'):
        build(index, 'images', pairs=[(0, 1), (3, 1)])


def test_pairs_of_a_list_are_taken_in_its_order(index):
    pairs = [(9, 1), (0, 1), (7, 2), (1, 2), (3, 1)]
    sampler, classes = build(index, 'hsnet_pairs', {1: 1, 2: 2}, pairs=pairs)
    assert classes == [1, 2]
    queries = [sampler.episode(0, i).query for i in range(10)]
    assert queries == [9, 0, 7, 1, 3] * 2


def test_samplers_can_be_sent_to_workers(index):
    sampler, _ = build(index, 'hsnet_pairs')
    copy = pickle.loads(pickle.dumps(sampler))
    assert copy.episode(0, 30) == sampler.episode(0, 30)

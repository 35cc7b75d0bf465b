"""Which classes a fold holds."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmssp.datasets.folds import fold_classes, split_classes

NAMES = [f'class{i}' for i in range(1, 21)]


@pytest.mark.parametrize(
    ('classes', 'fold', 'order', 'first', 'last'),
    [
        (20, 0, 'contiguous', [1, 2], 5),
        (20, 3, 'contiguous', [16, 17], 20),
        (80, 1, 'contiguous', [21, 22], 40),
        (80, 0, 'interleaved', [1, 5], 77),
        (80, 3, 'interleaved', [4, 8], 80),
    ],
)
def test_published_folds(classes, fold, order, first, last):
    novel = fold_classes(classes, fold, 4, order)
    assert novel[:2] == first
    assert novel[-1] == last
    assert len(novel) == classes // 4


@given(
    st.integers(1, 6), st.integers(1, 6), st.sampled_from(['contiguous', 'interleaved'])
)
def test_folds_partition_the_classes(num_folds, size, order):
    folds = [
        fold_classes(num_folds * size, i, num_folds, order) for i in range(num_folds)
    ]
    assert sorted(sum(folds, [])) == list(range(1, num_folds * size + 1))


@pytest.mark.parametrize('fold', [-1, 4])
def test_fold_out_of_range_names_the_range(fold):
    with pytest.raises(ValueError, match=f'fold={fold}: expected 0 to 3'):
        fold_classes(20, fold)


def test_uneven_folds_are_refused():
    with pytest.raises(ValueError, match='20 classes do not divide'):
        fold_classes(20, 0, 3)


def test_unknown_order_is_refused():
    with pytest.raises(ValueError, match='contiguous'):
        fold_classes(20, 0, 4, 'zigzag')


def test_base_and_novel_are_complements():
    base = split_classes(NAMES, 'base', fold=1)
    novel = split_classes(NAMES, 'novel', fold=1)
    assert novel == [6, 7, 8, 9, 10]
    assert sorted(base + novel) == list(range(1, 21))


def test_classes_by_name():
    chosen = dict(novel_classes=['class3', 'class1'])
    assert split_classes(NAMES, 'novel', **chosen) == [1, 3]
    assert len(split_classes(NAMES, 'base', **chosen)) == 18


def test_classes_named_in_neither_split_are_in_none():
    chosen = dict(base_classes=['class1'], novel_classes=['class2'])
    assert split_classes(NAMES, 'base', **chosen) == [1]
    assert split_classes(NAMES, 'novel', **chosen) == [2]


def test_without_any_choice_all_classes_are_in_the_split():
    assert split_classes(NAMES, 'novel') == list(range(1, 21))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(fold=0, novel_classes=['class1']), 'not both'),
        (dict(novel_classes=['class1', 'unicorn']), r"\['unicorn'\] not among"),
        (dict(novel_classes='class1'), 'expected a list'),
        (
            dict(base_classes=['class1'], novel_classes=['class1']),
            r"both base and novel: \['class1'\]",
        ),
        (dict(base_classes=NAMES), 'has no class'),
    ],
)
def test_contradictions_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        split_classes(NAMES, 'novel', **arguments)


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match='base'):
        split_classes(NAMES, 'validation')


@pytest.mark.parametrize('argument', ['base_classes', 'novel_classes'])
def test_names_in_other_forms_of_unicode_are_the_same(argument):
    names = [unicodedata.normalize('NFC', name) for name in ('Käfer', 'Ameise')]
    written = [unicodedata.normalize('NFD', 'Käfer')]
    assert written[0] != names[0]
    split = argument.partition('_')[0]
    assert split_classes(names, split, **{argument: written}) == [1]
    with pytest.raises(ValueError, match='not among the classes'):
        split_classes(names, split, **{argument: ['Kaefer']})

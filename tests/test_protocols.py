"""Protocols: the table of docs/protocols.md, as options of the data set."""

import pytest

from mmssp import protocols
from mmssp.protocols import (
    OPTIONS,
    PROTOCOLS,
    add_benchmark,
    departures,
    get_protocol,
)

LOADING = ['LoadImage', 'LoadMask']


def options(name: str, benchmark: str, **kwargs) -> dict:
    return get_protocol(name).settings(benchmark, **kwargs)


def types(pipeline: list[dict]) -> list[str]:
    return [transform['type'] for transform in pipeline]


@pytest.mark.parametrize('benchmark', ['pascal5i', 'coco20i'])
def test_ssp_takes_images_as_they_are(benchmark):
    found = options('ssp', benchmark)
    assert types(found['pipeline']) == types(found['support_pipeline']) == LOADING
    assert found['seed'] == [0, 1, 2, 3, 4]
    assert found['sampling'] == 'images'


@pytest.mark.parametrize('benchmark', ['pascal5i', 'coco20i'])
def test_hsnet_squashes_and_scores_at_400(benchmark):
    found = options('hsnet', benchmark)
    squash = dict(type='ResizeSquashed', size=400)
    assert found['pipeline'][2:] == found['support_pipeline'][2:] == [squash]
    assert found['ignored_support'] == 'background'
    assert found['seed'] == [0]


def test_hsnet_can_score_at_the_original_size():
    found = options('hsnet', 'pascal5i', original_size=True)
    squash = dict(type='ResizeSquashed', size=400)
    assert found['pipeline'][2:] == [dict(squash, resize_mask=False)]
    assert found['support_pipeline'][2:] == [squash]
    assert len(departures(options('hsnet', 'pascal5i'), found)) == 1


@pytest.mark.parametrize('name', ['pfenet', 'bam'])
@pytest.mark.parametrize(('benchmark', 'size'), [('pascal5i', 473), ('coco20i', 641)])
def test_pfenet_and_bam_put_images_on_a_square(name, benchmark, size):
    found = options(name, benchmark)
    pad = dict(type='ResizePadded', size=size)
    assert found['support_pipeline'][2:] == [pad]
    assert found['pipeline'][2:] == [dict(pad, resize_mask=False)]
    assert found['sampling'] == 'in_order'


@pytest.mark.parametrize(
    ('name', 'episodes', 'seeds', 'coco_folds', 'undrawn', 'removed'),
    [
        ('ssp', (1000, 4000), 5, 'contiguous', False, False),
        ('hsnet', (1000, 1000), 1, 'interleaved', True, False),
        ('pfenet', (5000, 20000), 1, 'interleaved', True, False),
        ('bam', (1000, 1000), 5, 'interleaved', True, True),
    ],
)
def test_numbers_of_the_table(name, episodes, seeds, coco_folds, undrawn, removed):
    pascal, coco = options(name, 'pascal5i'), options(name, 'coco20i')
    assert (pascal['num_episodes'], coco['num_episodes']) == episodes
    assert len(pascal['seed']) == seeds
    assert pascal['fold_order'] == 'contiguous'
    assert coco['fold_order'] == coco_folds
    assert pascal['min_pixels'] == 2 * 32 * 32
    assert PROTOCOLS[name].undrawn_classes_count is undrawn
    assert PROTOCOLS[name].remove_novel_images is removed


def test_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match=r"'mine'.*'ssp'"):
        get_protocol('mine')


def test_a_protocol_does_not_depart_from_itself():
    for name in PROTOCOLS:
        assert departures(options(name, 'coco20i'), options(name, 'coco20i')) == []


def test_departures_are_told_in_words():
    expected = options('ssp', 'pascal5i')
    resize = dict(type='Resize', scale=(320, 320), keep_ratio=False)
    found = dict(expected, seed=[0], pipeline=[*expected['pipeline'], resize])
    assert departures(expected, found) == [
        'pipeline: LoadImage, LoadMask, Resize(scale=(320, 320), keep_ratio=False) '
        'instead of LoadImage, LoadMask',
        'seed: 0 instead of 0, 1, 2, 3, 4',
    ]


# ------------------------------------------------------------------------- benchmarks

MINE = dict(hsnet=dict(num_episodes=2400, min_pixels=1), pfenet=dict(image_size=224))


@pytest.fixture
def added(monkeypatch):
    """A benchmark of one's own, until the test ends."""
    monkeypatch.setattr(protocols, 'PROTOCOLS', dict(PROTOCOLS))
    add_benchmark('mine', MINE)


@pytest.mark.parametrize('name', sorted(PROTOCOLS))
def test_a_benchmark_that_is_not_known_is_run_as_pascal(name):
    assert options(name, 'other') == options(name, 'pascal5i')
    assert tuple(options(name, 'other')) == OPTIONS


def test_an_added_benchmark_has_values_of_its_own(added):
    assert options('hsnet', 'mine') == dict(
        options('hsnet', 'pascal5i'), num_episodes=2400, min_pixels=1
    )
    assert options('pfenet', 'mine')['pipeline'][2]['size'] == 224
    assert options('ssp', 'mine') == options('ssp', 'pascal5i')
    assert options('hsnet', 'coco20i')['sampling'] == 'hsnet_classes'


def test_adding_the_same_again_is_no_error(added):
    add_benchmark('mine', MINE)


@pytest.mark.parametrize(
    ('name', 'values', 'message'),
    [
        ('mine', dict(ssp=dict(min_pixels=3)), "'mine' is known already"),
        ('pascal5i', dict(ssp=dict(min_pixels=3)), "'pascal5i' is known already"),
        ('coco20i', {}, "'coco20i' is known already"),
        ('new', dict(mine=dict(min_pixels=3)), "protocol='mine'"),
        ('new', dict(ssp=dict(seeds=(1,))), r"\['seeds'\] cannot differ"),
        ('', {}, 'expected a name'),
    ],
)
def test_benchmarks_are_not_changed_by_the_way(added, name, values, message):
    with pytest.raises(ValueError, match=message):
        add_benchmark(name, values)

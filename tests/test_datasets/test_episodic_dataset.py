"""EpisodicDataset: sampling, purity, contracts, bad input."""

import random
import warnings
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmseg.registry import DATASETS
from PIL import Image
from tiny_data import write_voc
from torch.utils.data import DataLoader

from mmssp import protocols
from mmssp.datasets.collate import episode_collate
from mmssp.datasets.infinite_sampler import InfiniteEpisodeSampler
from mmssp.datasets.wrapped import benchmark_of

CLASSES = ('background', 'cat', 'dog', 'horse', 'cow')
LOADING = [dict(type='LoadImage'), dict(type='LoadMask')]
AUGMENTED = [
    *LOADING,
    dict(type='RandomCrop', crop_size=(24, 24)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
]
MIN_PIXELS = 40


def write_image(root: Path, name: str, areas: dict[int, int], size=(32, 40)) -> None:
    """An image whose mask has `areas` {label: pixels} in its first rows."""
    mask = np.zeros(size[0] * size[1], np.uint8)
    start = 0
    for label, pixels in areas.items():
        mask[start : start + pixels] = label
        start += pixels
    for folder in ('img', 'ann'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([start, *name.encode()])  # no photo comes twice
    cv2.imwrite(
        str(root / 'img' / f'{name}.jpg'),
        rng.integers(0, 256, (*size, 3), dtype=np.uint8),
    )
    Image.fromarray(mask.reshape(size)).save(root / 'ann' / f'{name}.png')


@pytest.fixture
def root(tmp_path) -> Path:
    """24 images: three large ones a class, cats small in dogs' images, and so on."""
    data = tmp_path / 'data'
    for i in range(24):
        label = i % 4 + 1
        areas = {label: 100 + i, label % 4 + 1: 10, 255: 30}
        write_image(data, f'{i:02d}', areas, size=(32 + i % 3, 40))
    write_image(data, '98_only_small', {1: MIN_PIXELS - 1})
    write_image(data, '99_empty', {})
    return data


def config(root: Path, **kwargs) -> dict:
    return dict(
        type='EpisodicDataset',
        dataset=dict(
            type='BaseSegDataset',
            data_root=str(root),
            data_prefix=dict(img_path='img', seg_map_path='ann'),
            metainfo=dict(classes=CLASSES),
        ),
        pipeline=LOADING,
        min_pixels=MIN_PIXELS,
        workers=1,
        **kwargs,
    )


def build(root: Path, **kwargs):
    return DATASETS.build({**config(root), **kwargs})


def same(a: dict, b: dict) -> bool:
    x, y = a['inputs'], b['inputs']
    return (
        torch.equal(x['query'], y['query'])
        and all(map(torch.equal, x['support'], y['support']))
        and all(map(torch.equal, x['support_mask'], y['support_mask']))
        and torch.equal(
            a['data_samples'].gt_sem_seg.data, b['data_samples'].gt_sem_seg.data
        )
        and a['data_samples'].metainfo == b['data_samples'].metainfo
    )


def test_item_keeps_the_contract(root):
    item = build(root, fold=0, num_folds=2, shots=2)[3]
    inputs, sample = item['inputs'], item['data_samples']
    assert inputs['query'].shape[0] == 3
    assert inputs['query'].dtype == torch.uint8
    assert len(inputs['support']) == len(inputs['support_mask']) == 2
    for image, mask in zip(inputs['support'], inputs['support_mask'], strict=True):
        assert image.dtype == mask.dtype == torch.uint8
        assert image.shape[1:] == mask.shape
        assert set(mask.unique().tolist()) <= {0, 1, 255}
    truth = sample.gt_sem_seg.data
    assert truth.shape == (1, *inputs['query'].shape[1:])
    assert set(truth.unique().tolist()) <= {0, 1, 255}
    assert sample.class_name == CLASSES[sample.class_id]
    assert sample.class_id in (1, 2)
    assert (sample.run, sample.episode) == (0, 3)
    assert Path(sample.img_path).is_file()
    assert all(Path(path).is_file() for path in sample.support_img_paths)


def test_masks_are_binary_and_keep_what_is_ignored(root):
    dataset = build(root, split='novel', novel_classes=['dog'])
    for i in range(5):
        sample = dataset[i]['data_samples']
        mask = np.array(Image.open(sample.seg_map_path))
        truth = sample.gt_sem_seg.data[0].numpy()
        assert ((truth == 1) == (mask == 2)).all()
        assert ((truth == 255) == (mask == 255)).all()


def test_sampling_follows_the_rule(root):
    """Query uniform over images, class uniform among those present, large supports."""
    dataset = build(root, fold=0, num_folds=2, shots=3, num_episodes=4000)
    queries, classes = Counter(), {}
    for i in range(len(dataset)):
        episode = dataset.episode(i)
        queries[episode.query] += 1
        classes.setdefault(episode.query, Counter())[episode.label] += 1
        assert len(set(episode.supports)) == 3
        assert episode.query not in episode.supports
        for support in episode.supports:
            assert dataset.index.pixels(support, episode.label) >= MIN_PIXELS
    large = {
        i for i in range(26) for c in (1, 2) if dataset.index.pixels(i, c) >= MIN_PIXELS
    }
    assert set(queries) == large
    expected = len(dataset) / len(large)
    assert all(0.8 * expected < n < 1.2 * expected for n in queries.values())
    for query, drawn in classes.items():
        present = set(dataset.index.classes_in(query)) & {1, 2}
        assert set(drawn) == present
        share = sum(drawn.values()) / len(present)
        assert all(0.75 * share < n < 1.25 * share for n in drawn.values())


def test_a_class_that_is_small_in_the_query_can_be_the_target(root):
    dataset = build(root, fold=0, num_folds=2)
    episodes = [dataset.episode(i) for i in range(300)]
    areas = [dataset.index.pixels(e.query, e.label) for e in episodes]
    assert min(areas) == 10


def test_base_and_novel_episodes_are_about_their_classes(root):
    for split, expected in (('base', {3, 4}), ('novel', {1, 2})):
        dataset = build(root, fold=0, num_folds=2, split=split)
        assert {dataset.episode(i).label for i in range(200)} == expected


def test_item_depends_on_seed_and_index_alone(root):
    dataset = build(root, pipeline=AUGMENTED, shots=2)
    expected = [dataset[i] for i in range(6)]
    other = build(root, pipeline=AUGMENTED, shots=2)
    for seed, i in enumerate([5, 3, 3, 0, 1, 4, 2]):
        np.random.seed(seed)
        random.seed(seed)
        torch.manual_seed(seed)
        assert same(other[i], expected[i])


def test_workers_change_nothing(root):
    dataset = build(root, pipeline=AUGMENTED, shots=2, num_episodes=6)
    alone = [dataset[i] for i in range(6)]
    loader = DataLoader(
        dataset, batch_size=2, num_workers=2, collate_fn=episode_collate
    )
    items = [
        dict(
            inputs={name: value[b] for name, value in batch['inputs'].items()},
            data_samples=batch['data_samples'][b],
        )
        for batch in loader
        for b in range(2)
    ]
    assert all(map(same, items, alone))


def test_loading_leaves_the_global_generators_alone(root):
    dataset = build(root, pipeline=AUGMENTED)
    np.random.seed(1)
    random.seed(1)
    torch.manual_seed(1)
    expected = np.random.rand(), random.random(), torch.rand(())
    np.random.seed(1)
    random.seed(1)
    torch.manual_seed(1)
    dataset[0]
    assert (np.random.rand(), random.random(), torch.rand(())) == expected


def test_images_of_an_episode_are_augmented_apart(root):
    flips = []
    dataset = build(root, pipeline=[*LOADING, dict(type='RandomFlip', prob=0.5)])
    plain = build(root)
    for i in range(20):
        a, b = dataset[i]['inputs'], plain[i]['inputs']
        flips.append(
            (
                not torch.equal(a['query'], b['query']),
                not torch.equal(a['support'][0], b['support'][0]),
            )
        )
    assert len(set(flips)) == 4


def test_seeds_give_different_episodes(root):
    first, second = build(root, seed=0), build(root, seed=1)
    assert [first.episode(i) for i in range(20)] != [
        second.episode(i) for i in range(20)
    ]


def test_several_seeds_are_the_runs_one_after_another(root):
    both = build(root, seed=[4, 7], num_episodes=5)
    assert len(both) == 10
    for run, seed in enumerate([4, 7]):
        alone = build(root, seed=seed, num_episodes=5)
        for i in range(5):
            assert both.episode(5 * run + i) == alone.episode(i)
    sample = both[7]['data_samples']
    assert (sample.run, sample.episode) == (1, 2)
    with pytest.raises(IndexError):
        both[10]


def test_training_goes_on_beyond_the_nominal_length(root):
    dataset = build(root, num_episodes=3, seed=0)
    assert same(dataset[10], build(root, num_episodes=100, seed=0)[10])
    with pytest.raises(IndexError):
        dataset[-1]
    assert len(list(dataset)) == 3


def test_sampler_never_repeats_an_episode(root):
    sampler = InfiniteEpisodeSampler(build(root, num_episodes=3))
    first = [i for i, _ in zip(sampler, range(10), strict=False)]
    assert first == list(range(10))
    sampler.skip(10)
    assert next(iter(sampler)) == 10


def test_ranks_share_the_episodes(root, monkeypatch):
    dataset = build(root)
    seen = []
    for rank in range(3):
        monkeypatch.setattr(
            'mmssp.datasets.infinite_sampler.get_dist_info', lambda r=rank: (r, 3)
        )
        sampler = InfiniteEpisodeSampler(dataset)
        seen += [i for i, _ in zip(sampler, range(4), strict=False)]
    assert sorted(seen) == list(range(12))


def test_metainfo_names_classes(root):
    meta = build(root, fold=1, num_folds=2, split='novel').metainfo
    assert meta['class_names'] == {3: 'horse', 4: 'cow'}


def test_data_set_without_background_class(root, tmp_path):
    """Labels count from 0 there, class ids from 1 all the same."""
    data = tmp_path / 'zero'
    for i in range(6):
        write_image(data, f'{i}', {0: 1280, 1: 0} if i % 2 else {1: 1280})
    dataset = config(data)
    dataset['dataset']['metainfo'] = dict(classes=('sky', 'sea'))
    dataset = DATASETS.build(dataset)
    for i in range(10):
        sample = dataset[i]['data_samples']
        assert sample.class_name == ('sky', 'sea')[sample.class_id - 1]
        assert dataset.episode(i).label == sample.class_id - 1
        assert sample.gt_sem_seg.data.all()


def test_support_pipeline_is_for_supports_alone(root):
    resize = dict(type='Resize', scale=(16, 16), keep_ratio=False)
    item = build(
        root,
        pipeline=[LOADING[0], resize, LOADING[1]],
        support_pipeline=[*LOADING, resize],
    )[0]
    assert item['inputs']['query'].shape == (3, 16, 16)
    assert item['inputs']['support_mask'][0].shape == (16, 16)
    sample = item['data_samples']
    assert sample.gt_sem_seg.shape == sample.ori_shape != (16, 16)


def test_wraps_data_sets_that_are_built_already(root):
    built = DATASETS.build(config(root)['dataset'])
    assert same(build(root, dataset=built)[0], build(root)[0])


def test_classes_with_too_few_images_are_named_with_counts(root):
    with pytest.raises(ValueError) as error:
        build(root, shots=6)
    assert 'cat (6)' in str(error.value)
    assert 'cow (6)' in str(error.value)
    assert 'fewer than 7 images' in str(error.value)


def test_missing_classes_can_be_left_out_with_one_warning(root):
    write_image(root, '50', {1: 200})
    with pytest.warns(
        UserWarning, match=r'dog \(6\), horse \(6\), cow \(6\)'
    ) as caught:
        dataset = build(root, shots=6, allow_missing_classes=True)
    assert len([w for w in caught if 'left out' in str(w.message)]) == 1
    assert dataset.metainfo['class_names'] == {1: 'cat'}
    assert {dataset.episode(i).label for i in range(50)} == {1}


def test_no_class_left_is_an_error_even_so(root):
    with pytest.raises(ValueError, match='no class is left'):
        build(root, shots=30, allow_missing_classes=True)


def test_exactly_one_more_image_than_shots_is_enough(root):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        dataset = build(root, shots=5)
    for i in range(20):
        assert len(dataset.episode(i).supports) == 5


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(shots=0), 'shots=0: expected an integer of 1 or more'),
        (dict(shots=1.5), 'shots=1.5'),
        (dict(num_episodes=0), 'num_episodes=0'),
        (dict(min_pixels=0), 'min_pixels=0'),
        (dict(seed=-1), 'seed=-1'),
        (dict(seed=[]), 'one for each run'),
        (dict(fold=4), 'fold=4: expected 0 to 3'),
        (dict(split='test'), 'split='),
        (dict(novel_classes=['bird']), r"\['bird'\] not among"),
        (dict(pipeline=[dict(type='LoadImage')]), 'LoadMask'),
    ],
)
def test_bad_arguments_are_explained(root, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(root, **arguments)


def test_packing_in_the_pipeline_is_explained(root):
    dataset = build(root, pipeline=[*LOADING, dict(type='PackSegInputs')])
    with pytest.raises(ValueError, match='leave packing'):
        dataset[0]


@pytest.mark.parametrize('missing', ['root', 'list', 'images'])
def test_what_is_missing_on_disk_is_named(root, missing):
    wrapped = dict(
        type='PascalVOCDataset',
        data_root=str(root),
        ann_file='train.txt',
        data_prefix=dict(img_path='img', seg_map_path='ann'),
    )
    (root / 'train.txt').write_text('00\n01\n')
    if missing == 'root':
        wrapped['data_root'] = str(root / 'nowhere')
    elif missing == 'list':
        wrapped['ann_file'] = 'nowhere'
    else:
        wrapped['data_prefix']['img_path'] = 'nowhere'
    with pytest.raises(FileNotFoundError, match='nowhere not found'):
        build(root, dataset=wrapped)


def test_dropping_classes_by_metainfo_is_explained(root):
    wrapped = dict(
        type='PascalVOCDataset',
        data_root=str(root),
        ann_file='train.txt',
        data_prefix=dict(img_path='img', seg_map_path='ann'),
        metainfo=dict(classes=('background', 'cat')),
    )
    (root / 'train.txt').write_text('00\n01\n')
    with pytest.raises(ValueError, match='base_classes and\\s+novel_classes'):
        build(root, dataset=wrapped)


def test_empty_data_set_is_an_error(tmp_path):
    for folder in ('img', 'ann'):
        (tmp_path / 'empty' / folder).mkdir(parents=True)
    with pytest.raises(ValueError, match='no image found'):
        build(tmp_path / 'empty')


def test_ignored_support_pixels_can_be_background(root):
    options = dict(novel_classes=['dog'], ignored_support='background')
    item = build(root, **options)[0]
    assert set(item['inputs']['support_mask'][0].unique().tolist()) == {0, 1}
    assert 255 in item['data_samples'].gt_sem_seg.data


def test_images_with_novel_classes_can_be_removed(root):
    options = dict(split='base', fold=0, num_folds=2, remove_novel_images=True)
    # every image of a cow shows a cat
    with pytest.warns(UserWarning, match=r'cow \(0\)'):
        dataset = build(root, allow_missing_classes=True, **options)
    novel = {
        i
        for i in range(dataset.index.num_images)
        if {1, 2} & set(dataset.index.classes_in(i))
    }
    seen = set()
    for i in range(100):
        episode = dataset.episode(i)
        seen |= {episode.query, *episode.supports}
    assert seen and not seen & novel
    assert dataset.metainfo['remove_novel_images']


@pytest.mark.parametrize('options', [dict(split='novel', fold=0), dict(split='base')])
def test_removing_needs_novel_classes_to_remove(root, options):
    with pytest.raises(ValueError, match='remove_novel_images'):
        build(root, num_folds=2, remove_novel_images=True, **options)


def test_split_file_names_queries_in_its_order(root, tmp_path):
    lines = ['09__02', '05__02', '00__01', '04__01', '01__02', '08__01']
    (tmp_path / 'fold0.txt').write_text('\n'.join(lines))
    dataset = build(
        root,
        protocol='hsnet',
        fold=0,
        num_folds=2,
        split_file=str(tmp_path / 'fold{fold}.txt'),
    )
    queries = [
        f'{Path(dataset.dataset.get_data_info(dataset.episode(i).query)["img_path"]).stem}'
        f'__{dataset.class_id(i):02d}'
        for i in range(12)
    ]
    assert queries == lines * 2


def test_split_file_of_another_fold_is_refused(root, tmp_path):
    (tmp_path / 'fold1.txt').write_text('09__03\n05__02')
    with pytest.raises(ValueError, match=r'lists the classes \[3\]'):
        build(
            root,
            protocol='hsnet',
            fold=0,
            num_folds=2,
            split_file=str(tmp_path / 'fold1.txt'),
        )


def test_options_not_given_are_the_protocols(root):
    dataset = build(
        root,
        dataset=named(root, 'pascal5i'),
        pipeline=None,
        protocol='pfenet',
        fold=0,
        num_folds=2,
    )
    assert dataset.seeds == [321]
    assert dataset.num_episodes == 5000
    assert dataset.departures == [f'min_pixels: {MIN_PIXELS} instead of 2048']
    item = dataset[0]
    assert item['inputs']['query'].shape == (3, 473, 473)
    assert item['inputs']['support_mask'][0].shape == (473, 473)
    assert 255 in item['inputs']['support_mask'][0][-1]
    sample = item['data_samples']
    assert sample.gt_sem_seg.data.shape[1:] == sample.ori_shape
    assert sample.canvas_shape == (max(sample.ori_shape),) * 2


def test_base_classes_have_one_endless_run(root):
    dataset = build(root, split='base', fold=0, num_folds=2)
    assert dataset.seeds == [0]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(protocol='mine'), "protocol='mine'"),
        (dict(ignored_support='no'), "ignored_support='no'"),
        (dict(sampling='no'), "sampling='no'"),
        (dict(split_file='list.txt'), 'list.txt'),
    ],
)
def test_options_out_of_range_are_named(root, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build(root, **options)


def test_empty_data_set_that_is_built_already_is_an_error(root):
    wrapped = dict(config(root)['dataset'], serialize_data=False, indices=0)
    built = DATASETS.build(wrapped)
    with pytest.raises(ValueError, match='no image found'):
        build(root, dataset=built)


def test_data_set_without_class_names_is_an_error(root):
    wrapped = {k: v for k, v in config(root)['dataset'].items() if k != 'metainfo'}
    with pytest.raises(ValueError, match='names no classes: set metainfo'):
        build(root, dataset=wrapped)


# ------------------------------------------------------------------------- benchmarks


def named(root: Path, benchmark: object) -> dict:
    """The wrapped data set, whose metainfo names a benchmark."""
    wrapped = config(root)['dataset']
    return dict(wrapped, metainfo=dict(wrapped['metainfo'], benchmark=benchmark))


def test_the_benchmark_that_metainfo_names_decides(root):
    options = dict(protocol='pfenet', num_episodes=None, fold=1, num_folds=2)
    pascal = build(root, dataset=named(root, 'pascal5i'), **options)
    coco = build(root, dataset=named(root, 'coco20i'), **options)
    other = build(root, dataset=named(root, 'other'), **options)
    assert (pascal.num_episodes, coco.num_episodes, other.num_episodes) == (
        5000,
        20000,
        5000,
    )
    assert pascal.metainfo['class_names'] == {3: 'horse', 4: 'cow'}
    assert coco.metainfo['class_names'] == {2: 'dog', 4: 'cow'}
    assert [d.metainfo['benchmark'] for d in (pascal, coco, other)] == [
        'pascal5i',
        'coco20i',
        'other',
    ]


def test_an_added_benchmark_departs_from_nothing(root, monkeypatch):
    monkeypatch.setattr(protocols, 'PROTOCOLS', dict(protocols.PROTOCOLS))
    protocols.add_benchmark('tiny', dict(hsnet=dict(min_pixels=MIN_PIXELS)))
    dataset = build(root, dataset=named(root, 'tiny'), protocol='hsnet', pipeline=None)
    assert dataset.departures == []
    assert dataset.min_pixels == MIN_PIXELS


def test_own_data_depart_from_nothing(root):
    own = build(root, num_episodes=7, seed=3)
    assert (own.benchmark, own.departures) == (None, [])
    # settings that are not given are as in PASCAL-5i
    as_pascal = build(root, dataset=named(root, 'pascal5i'), num_episodes=7, seed=3)
    assert own.min_pixels == as_pascal.min_pixels
    assert [own.episode(i) for i in range(7)] == [
        as_pascal.episode(i) for i in range(7)
    ]
    assert len(as_pascal.departures) > 1


def test_data_sets_in_voc_layout_are_pascal5i_by_their_classes(tmp_path):
    root = write_voc(tmp_path / 'voc', 8, 4)
    voc = dict(
        type='PascalVOCDataset',
        data_root=str(root),
        ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    )
    own = dict(voc, metainfo=dict(classes=CLASSES))
    assert benchmark_of(DATASETS.build(voc)) == 'pascal5i'
    assert benchmark_of(DATASETS.build(own)) is None
    shapes = dict(voc, type='Shapes5iDataset')
    assert benchmark_of(DATASETS.build(shapes)) == 'shapes5i'


def test_a_benchmark_without_a_name_is_refused(root):
    with pytest.raises(ValueError, match='benchmark=3; expected a name'):
        build(root, dataset=named(root, 3))

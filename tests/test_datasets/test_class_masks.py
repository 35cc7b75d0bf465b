"""Masks of one class: from index masks, or from a data set that reads them itself."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import DATASETS
from tiny_data import write_voc
from toy_datasets import FolderPerClass, Overlapping, write_folders, write_photos

from mmssp.datasets import class_index
from mmssp.datasets.class_index import ClassIndex
from mmssp.datasets.class_masks import LABEL
from mmssp.datasets.collate import episode_collate
from mmssp.datasets.transforms import LoadMask

LOADING = [dict(type='LoadImage'), dict(type='LoadMask')]
NUM_CLASSES = 301


@pytest.fixture(scope='module')
def folders(tmp_path_factory) -> Path:
    return write_folders(tmp_path_factory.mktemp('data') / 'folders', NUM_CLASSES)


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_photos(tmp_path / 'photos')


@pytest.fixture(scope='module')
def voc(tmp_path_factory) -> Path:
    return write_voc(tmp_path_factory.mktemp('data') / 'voc')


def build(kind: str, root: Path, wrapped: dict | None = None, **kwargs):
    dataset = dict(type=kind, data_root=str(root), **(wrapped or {}))
    return DATASETS.build(
        dict(
            type='EpisodicDataset',
            dataset=dataset,
            pipeline=kwargs.pop('pipeline', LOADING),
            min_pixels=1,
            num_episodes=40,
            seed=0,
            workers=1,
            **kwargs,
        )
    )


def build_voc(root: Path, **kwargs):
    lists = dict(
        ann_file='ImageSets/Segmentation/train.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    )
    return build('PascalVOCDataset', root, lists, **kwargs)


# ---------------------------------------------------------------------- many classes


def test_labels_need_not_fit_into_8_bits(folders):
    dataset = build('FolderPerClass', folders, shots=1, novel_classes=['0254', '0300'])
    assert dataset.metainfo['class_names'] == {255: '0254', 301: '0300'}
    for i in range(8):
        item = dataset[i]
        sample = item['data_samples']
        for path, mask in (
            (sample.img_path, sample.gt_sem_seg.data[0]),
            (sample.support_img_paths[0], item['inputs']['support_mask'][0]),
        ):
            stored = cv2.imread(path.replace('.png', '_mask.png'), cv2.IMREAD_GRAYSCALE)
            assert Path(path).parent.name == sample.class_name
            assert torch.equal(mask, torch.from_numpy((stored > 0).astype(np.uint8)))


def test_every_class_of_a_fold_is_drawn_from(folders):
    dataset = build(
        'FolderPerClass', folders, fold=6, num_folds=7, sampling='hsnet_classes'
    )
    assert len(dataset.class_ids) == 43
    assert {dataset.class_id(i) for i in range(2000)} == set(range(259, 302))


def test_episodes_of_many_classes_are_collated(folders):
    dataset = build('FolderPerClass', folders)
    batch = episode_collate([dataset[i] for i in range(3)])
    assert [len(masks) for masks in batch['inputs']['support_mask']] == [1, 1, 1]
    assert all(sample.class_id for sample in batch['data_samples'])


def test_index_masks_of_as_many_classes_are_refused_before_any_is_read(
    voc, monkeypatch
):
    monkeypatch.setattr(class_index, 'scan_masks', None)
    names = ('background', *(str(i) for i in range(1000)))
    with pytest.raises(
        ValueError, match='has 1001 classes, but index masks have 8 bit'
    ):
        build(
            'BaseSegDataset',
            voc,
            dict(
                metainfo=dict(classes=names),
                data_prefix=dict(
                    img_path='JPEGImages', seg_map_path='SegmentationClass'
                ),
            ),
        )


# ---------------------------------------------------------------- overlapping classes


def test_a_pixel_may_belong_to_several_classes(photos):
    shared = 0
    dataset = build('Overlapping', photos)
    for i in range(20):
        item, episode = dataset[i], dataset.episode(i)
        info, read = (
            dataset.dataset.get_data_info(episode.query),
            dataset.dataset.class_mask,
        )
        truth = item['data_samples'].gt_sem_seg.data[0].numpy()
        assert (truth == read(info, episode.label)).all()
        assert (truth == 1).sum() == dataset.index.pixels(episode.query, episode.label)
        others = [read(info, c) for c in set(info['boxes']) - {episode.label}]
        shared += sum(((truth == 1) & (other == 1)).sum() for other in others)
    assert shared > 0


def test_what_is_ignored_can_be_background_in_supports(photos):
    dataset = build('Overlapping', photos, ignored_support='background')
    item = dataset[0]
    assert item['inputs']['support_mask'][0].unique().tolist() == [0, 1]
    assert 255 in item['data_samples'].gt_sem_seg.data


def test_counts_of_classes_without_a_name_are_refused(photos):
    wrapped = dict(
        metainfo=dict(classes=('ant', 'bee', 'cow', 'dog', 'eel', 'fox')[:4])
    )
    with pytest.raises(ValueError, match='class_pixels of .*expected labels 0..3'):
        build('Overlapping', photos, wrapped)


# ------------------------------------------------------------------------- the counts


def test_counts_are_kept_and_not_asked_for_again(folders, tmp_path):
    log = tmp_path / 'log'
    first = build('FolderPerClass', folders, dict(log=str(log)))
    assert len(log.read_text().splitlines()) == 2 * NUM_CLASSES
    second = build('FolderPerClass', folders, dict(log=str(log)))
    assert len(log.read_text().splitlines()) == 2 * NUM_CLASSES
    counts = [first.index.classes_in(i) for i in range(2 * NUM_CLASSES)]
    assert counts == [second.index.classes_in(i) for i in range(2 * NUM_CLASSES)]
    assert counts[-2:] == [{301: 48}, {301: 56}]


def test_a_changed_file_is_counted_again(tmp_path):
    root = write_folders(tmp_path / 'few', 2)
    build('FolderPerClass', root)
    path = root / '0001' / '0_mask.png'
    mask = np.full((24, 24), 255, np.uint8)
    cv2.imwrite(str(path), mask)
    state = path.stat()
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert build('FolderPerClass', root).index.classes_in(2) == {2: 24 * 24}


def test_what_a_data_set_says_of_an_image_is_part_of_the_cache(photos, monkeypatch):
    build('Overlapping', photos)
    load = Overlapping.load_data_list

    def other(self) -> list[dict]:
        return [dict(info, pixels={5: 7}) for info in load(self)]

    monkeypatch.setattr(Overlapping, 'load_data_list', other)
    dataset = Overlapping(str(photos))
    assert ClassIndex.build(dataset, LoadMask()).classes_in(3) == {5: 7}


@pytest.mark.parametrize('workers', [1, 2])
def test_processes_count_as_one_does(folders, workers, tmp_path):
    index = ClassIndex.build(
        FolderPerClass(str(folders)), LoadMask(), workers=workers, cache_dir=tmp_path
    )
    assert index.num_images == 2 * NUM_CLASSES
    assert [index.classes_in(i) for i in (0, 601)] == [{1: 48}, {301: 56}]


def test_counts_alone_spare_reading_index_masks(voc, monkeypatch):
    known = build_voc(voc)
    dataset = known.dataset
    counts = {
        dataset.get_data_info(i)['img_path']: known.index.classes_in(i)
        for i in range(len(dataset))
    }
    dataset.class_pixels = lambda info: counts[info['img_path']]
    monkeypatch.setattr(class_index, 'scan_masks', None)
    index = ClassIndex.build(dataset, LoadMask(), workers=1)
    assert [index.classes_in(i) for i in range(40)] == list(counts.values())


@pytest.mark.parametrize(
    ('pixels', 'problem'),
    [
        ({6: 1}, r'\{6: 1\}; expected labels 0\.\.5'),
        ({-1: 1}, r'\{-1: 1\}'),
        ({0: -3}, r'\{0: -3\}'),
        ({0: 0.5}, r'\{0: 0\.5\}'),
        ({'ant': 3}, r"\{'ant': 3\}"),
    ],
)
def test_counts_that_cannot_be_are_named(photos, monkeypatch, pixels, problem):
    monkeypatch.setattr(Overlapping, 'class_pixels', lambda self, info: pixels)
    with pytest.raises(ValueError, match=f'16 problem(?s:.*)00.png: {problem}'):
        build('Overlapping', photos)


def test_an_image_that_is_missing_is_named(photos):
    dataset = Overlapping(str(photos))
    os.remove(photos / '03.png')
    with pytest.raises(FileNotFoundError, match=r'image .*03\.png does not exist'):
        ClassIndex.build(dataset, LoadMask(), workers=1)


def test_a_file_that_is_missing_when_counting_is_named(photos, monkeypatch):
    def lost(self, info: dict) -> dict:
        raise FileNotFoundError('its list does not exist')

    monkeypatch.setattr(Overlapping, 'class_pixels', lost)
    with pytest.raises(FileNotFoundError, match=r'00\.png: its list does not exist'):
        build('Overlapping', photos)


def test_masks_without_counts_are_refused(photos, monkeypatch):
    monkeypatch.setattr(Overlapping, 'class_pixels', None)
    with pytest.raises(ValueError, match='class_mask, but no class_pixels'):
        build('Overlapping', photos)


# -------------------------------------------------------------------------- the masks


@pytest.mark.parametrize(
    ('mask', 'found'),
    [
        (np.full((24, 24), 2, np.uint8), 'with the value 2'),
        (np.zeros((24, 24), np.int64), 'int64 of shape'),
        (np.zeros((1, 24, 24), np.uint8), r'uint8 of shape \(1, 24, 24\)'),
        ([[0, 1]], 'found list'),
    ],
)
def test_a_class_mask_that_is_none_is_explained(photos, monkeypatch, mask, found):
    monkeypatch.setattr(Overlapping, 'class_mask', lambda self, info, label: mask)
    with pytest.raises(ValueError, match=rf'class_mask of .*png, label \d: .*{found}'):
        build('Overlapping', photos)[0]


def test_a_class_mask_of_another_size_is_explained(photos, monkeypatch):
    monkeypatch.setattr(
        Overlapping, 'class_mask', lambda self, info, label: np.ones((5, 7), bool)
    )
    with pytest.raises(ValueError, match='mask of a class 7x5.*equal sizes'):
        build('Overlapping', photos)[0]


class Seen(BaseTransform):
    """Notes the values of masks where it stands in a pipeline."""

    def __init__(self, values: list) -> None:
        self.values = values

    def transform(self, results: dict) -> dict:
        assert results['gt_seg_map'].dtype == np.uint8
        self.values.append((results[LABEL], set(np.unique(results['gt_seg_map']))))
        return results


@pytest.mark.parametrize('loader', ['LoadMask', 'LoadAnnotations'])
def test_masks_are_binary_for_all_transforms_behind_the_loader(voc, loader):
    seen = []
    pipeline = [dict(type='LoadImage'), dict(type=loader), Seen(seen)]
    dataset = build_voc(voc, pipeline=pipeline)
    for i in range(5):
        dataset[i]
        assert seen == [(dataset.episode(i).label, {0, 1})] * 2
        seen.clear()


def test_a_support_pipeline_without_a_mask_is_explained(voc):
    with pytest.raises(
        ValueError, match='support_pipeline: no transform loads the mask'
    ):
        build_voc(voc, support_pipeline=[dict(type='LoadImage')])


def test_whatever_transforms_make_of_a_mask_it_stays_one(voc):
    pad = dict(type='Pad', size=(60, 60), pad_val=dict(img=0, seg=7))
    item = build_voc(voc, pipeline=[*LOADING, pad])[0]
    mask = item['inputs']['support_mask'][0]
    assert mask.shape == (60, 60)
    assert mask.dtype == torch.uint8
    assert mask.unique().tolist() == [0, 1]

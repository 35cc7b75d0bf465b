"""MMEngine's wrappers around data sets are the data sets that they stand for."""

import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from tiny_data import CONFIGS, write_voc
from toy_datasets import write_folders

import mmssp  # noqa: F401


@pytest.fixture
def roots(tmp_path):
    return [
        write_voc(tmp_path / name, num_images=n) for name, n in (('a', 40), ('b', 20))
    ]


def voc(root, **settings) -> dict:
    return dict(
        type='PascalVOCDataset',
        data_root=str(root),
        ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
        **settings,
    )


def episodes(dataset: dict):
    config = Config.fromfile(CONFIGS / 'ssp_r50_pascal5i_1shot.py')
    whole = dict(
        config.test_dataloader.dataset,
        dataset=dataset,
        num_episodes=8,
        seed=0,
        fold=0,
        min_pixels=16,
    )
    return DATASETS.build(whole)


def files(dataset) -> list[str]:
    inner = dataset.dataset
    return [inner.get_data_info(i)['img_path'] for i in range(len(inner))]


def test_concatenated_data_sets_are_one(roots):
    one, other = (files(episodes(voc(root))) for root in roots)
    both = episodes(dict(type='ConcatDataset', datasets=[voc(root) for root in roots]))
    assert files(both) == one + other
    sample = both[0]
    assert (
        sample['inputs']['query'].shape[-2:] == sample['data_samples'].gt_sem_seg.shape
    )
    paths = {
        path
        for i in range(8)
        for path in (
            both[i]['data_samples'].img_path,
            *both[i]['data_samples'].support_img_paths,
        )
    }
    assert any(str(roots[0]) in path for path in paths)


@pytest.mark.parametrize('scope', ['', 'mmengine.'])
def test_a_repeated_data_set_is_itself(roots, scope):
    inner = voc(roots[0])
    repeated = dict(type=f'{scope}RepeatDataset', times=3, dataset=inner)
    deep = dict(type=f'{scope}ConcatDataset', datasets=[repeated])
    assert files(episodes(repeated)) == files(episodes(deep)) == files(episodes(inner))


def test_data_sets_whose_masks_mean_different_things_are_refused(roots):
    parts = [voc(roots[0]), voc(roots[1], ignore_index=0)]
    with pytest.raises(ValueError, match='differ in ignore_index'):
        episodes(dict(type='ConcatDataset', datasets=parts))


def test_data_sets_that_read_masks_themselves_are_refused(tmp_path):
    write_folders(tmp_path / 'things', 3)
    part = dict(type='FolderPerClass', data_root=str(tmp_path / 'things'))
    with pytest.raises(ValueError, match='reads masks of classes itself'):
        episodes(dict(type='ConcatDataset', datasets=[part, part]))


def test_other_wrappers_are_refused(roots):
    balanced = dict(type='MultiImageMixDataset', dataset=voc(roots[0]), pipeline=[])
    with pytest.raises(ValueError, match='MultiImageMixDataset is no data set for'):
        episodes(balanced)


def test_what_is_missing_in_a_wrapper_is_named(roots, tmp_path):
    parts = [voc(roots[0]), voc(tmp_path / 'nowhere')]
    with pytest.raises(FileNotFoundError, match='nowhere not found'):
        episodes(dict(type='ConcatDataset', datasets=parts))

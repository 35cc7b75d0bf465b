"""A list that was written on Windows is read on other systems too."""

import os
from pathlib import Path

import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from tiny_data import CONFIGS, write_voc

import mmssp  # noqa: F401

pytestmark = pytest.mark.skipif(os.sep == '\\', reason='Windows reads its own paths')


def voc(root: Path, subfolder: str, separator: str) -> dict:
    """Files in a subfolder of images and of masks, listed with a separator."""
    for folder in ('JPEGImages', 'SegmentationClass'):
        (root / folder).rename(root / 'all')
        (root / folder).mkdir()
        (root / 'all').rename(root / folder / subfolder)
    path = root / 'ImageSets' / 'Segmentation' / 'val.txt'
    names = path.read_text().split()
    path.write_text(''.join(f'{subfolder}{separator}{name}\r\n' for name in names))
    return dict(
        type='PascalVOCDataset',
        data_root=str(root),
        ann_file='ImageSets/Segmentation/val.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
    )


def episodes(dataset: dict):
    config = Config.fromfile(CONFIGS / 'ssp_r50_pascal5i_1shot.py')
    settings = dict(num_episodes=4, seed=0, fold=0, min_pixels=16, workers=1)
    return DATASETS.build(
        dict(config.test_dataloader.dataset, dataset=dataset, **settings)
    )


@pytest.mark.parametrize('wrapper', [None, 'ConcatDataset'])
def test_episodes_are_those_of_a_list_with_slashes(tmp_path, wrapper):
    found = []
    for name, separator in (('windows', '\\'), ('here', '/')):
        root = write_voc(tmp_path / name)
        dataset = voc(root, 'sub', separator)
        if wrapper:
            dataset = dict(type=wrapper, datasets=[dataset, dataset])
        data = episodes(dataset)
        found.append(
            [
                os.path.relpath(path, root)
                for item in data
                for path in (
                    item['data_samples'].img_path,
                    *item['data_samples'].support_img_paths,
                )
            ]
        )
    assert found[0] == found[1]
    assert all(path.startswith(f'JPEGImages{os.sep}sub') for path in found[0])


def test_a_back_slash_in_a_name_stays_one(tmp_path):
    root = write_voc(tmp_path / 'voc')
    path = root / 'ImageSets' / 'Segmentation' / 'val.txt'
    names = path.read_text().split()
    for folder, suffix in (('JPEGImages', '.jpg'), ('SegmentationClass', '.png')):
        for name in names:
            file = root / folder / f'{name}{suffix}'
            file.rename(file.with_name(f'a\\{name}{suffix}'))
    path.write_text(''.join(f'a\\{name}\n' for name in names))
    data = episodes(
        dict(
            type='PascalVOCDataset',
            data_root=str(root),
            ann_file='ImageSets/Segmentation/val.txt',
            data_prefix=dict(
                img_path='JPEGImages', seg_map_path='SegmentationClassAug'
            ),
        )
    )
    assert '\\' in data[0]['data_samples'].img_path

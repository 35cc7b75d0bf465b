"""What the README says can be done as it says it."""

import re
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from tiny_data import draw

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()


def test_linked_files_exist():
    links = re.findall(r'\]\((?!http)([^)#]+)\)', README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_nothing_is_left_to_be_filled_in():
    assert '@@' not in README


def test_files_named_in_commands_exist():
    named = set(re.findall(r'\b(?:tools|configs|demo)/[\w./-]+\.(?:py|sh)', README))
    assert len(named) > 8
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


@pytest.fixture
def own_data_config(tmp_path) -> Config:
    blocks = re.findall(r'```python\n(.+?)```', README, re.DOTALL)
    (block,) = (block for block in blocks if '_base_' in block)
    path = tmp_path / 'own_data.py'
    path.write_text(block.replace("'./", f"'{ROOT / 'configs'}/"))
    return Config.fromfile(path)


def test_own_data_are_loaded_as_written(own_data_config, tmp_path):
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    for i, (image, mask) in enumerate(draw(8, 3)):
        cv2.imwrite(
            str(tmp_path / 'images' / f'{i}.jpg'), image.repeat(4, 0).repeat(4, 1)
        )
        large = mask.repeat(4, 0).repeat(4, 1)
        cv2.imwrite(str(tmp_path / 'masks' / f'{i}.png'), large)
    config = own_data_config.test_dataloader.dataset
    config.dataset.data_root = str(tmp_path)
    dataset = DATASETS.build(config)
    assert len(dataset) == 5000
    assert set(dataset.metainfo['class_names'].values()) == {'nut', 'washer'}
    assert dataset[0]['data_samples'].class_name in ('nut', 'washer')


def test_segmenting_own_images_works_as_written(tmp_path, monkeypatch):
    pytest.importorskip('efficientnet_lite_pytorch')
    blocks = re.findall(r'```python\n(.+?)```', README, re.DOTALL)
    (block,) = (block for block in blocks if 'FewShotInferencer' in block)
    pairs = draw(3, 3)
    for name, (image, mask) in zip(('a', 'b', 'query'), pairs, strict=True):
        cv2.imwrite(str(tmp_path / f'{name}.jpg'), image.repeat(4, 0).repeat(4, 1))
        object_mask = (mask == 1).astype('uint8').repeat(4, 0).repeat(4, 1)
        cv2.imwrite(str(tmp_path / f'{name}.png'), object_mask)
    monkeypatch.chdir(tmp_path)
    names = {}
    block = block.replace('adapt(seconds=60)', 'adapt(seconds=1, progress=False)')
    exec(compile(block, 'README.md', 'exec'), names)
    assert names['result'].mask.shape == (192, 192)
    assert set(names['result'].scores) == {'screw'}

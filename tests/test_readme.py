"""What the README says can be done as it says it."""

import re
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS
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
def configs(tmp_path) -> dict[str, Config]:
    """The README's configs, by what they are about."""
    found = {}
    for i, block in enumerate(re.findall(r'```python\n(.+?)```', README, re.DOTALL)):
        if '_base_' not in block:
            continue
        path = tmp_path / f'block{i}.py'
        path.write_text(block.replace("'./", f"'{ROOT / 'configs'}/"))
        name = 'own data' if 'data/mine' in block else 'backbone'
        found[name] = Config.fromfile(path)
    return found


def test_another_backbone_is_built_as_written(configs):
    MODELS.build(configs['backbone'].model)


def test_own_data_are_loaded_as_written(configs, tmp_path):
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    for i, (image, mask) in enumerate(draw(8, 3)):
        cv2.imwrite(
            str(tmp_path / 'images' / f'{i}.jpg'), image.repeat(4, 0).repeat(4, 1)
        )
        large = mask.repeat(4, 0).repeat(4, 1)
        cv2.imwrite(str(tmp_path / 'masks' / f'{i}.png'), large)
    config = configs['own data'].test_dataloader.dataset
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
    exec(compile(block, 'README.md', 'exec'), names)
    assert names['result'].mask.shape == (192, 192)
    assert set(names['result'].scores) == {'screw'}

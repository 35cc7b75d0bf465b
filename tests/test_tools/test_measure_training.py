"""tools/analysis_tools/measure_training.py, on a tiny data set."""

import json
from importlib import import_module
from pathlib import Path

import pytest
from commands import exit_code
from tiny_data import CONFIGS, write_coco

ANALYSIS = Path(__file__).parents[2] / 'tools' / 'analysis_tools'
# an image shows four classes in a row, which are those of a fold by their names
NAMES = [f'part {k}{fold}' for fold in range(3) for k in range(4)]
CONFIG = f"""
_base_ = '{CONFIGS}/ssp_efficientnet-lite0_own-data_1shot.py'
model = dict(
    backbone=dict(
        _delete_=True, type='ResNet', depth=18, num_stages=2, strides=(1, 2),
        dilations=(1, 1), out_indices=(1,), norm_eval=True,
    ),
    decode_head=dict(in_channels=128),
)
train_dataloader = dict(batch_size=2, dataset=dict(fold=1))
train_cfg = dict(max_iters=2)
"""


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ANALYSIS))
    return import_module('measuring.training')


@pytest.fixture
def root(tmp_path) -> Path:
    return write_coco(tmp_path / 'coco', NAMES, num_images=42)


def test_photos_to_train_on_show_no_novel_class(tool, root):
    content = json.loads((root / 'annotations/instances_train2017.json').read_text())
    shown = {}
    for annotation in content['annotations']:
        name = NAMES[annotation['category_id'] - 1]
        shown.setdefault(annotation['image_id'], set()).add(name)
    folds = [tool.split(content, fold, 3, 12, 16) for fold in range(3)]
    for own in folds:
        assert len(own.train) == 12
        assert sorted([*own.train, *own.test]) == list(range(42))
        assert not any(shown[i] & {*own.novel} for i in own.train)
    assert [name for own in folds for name in own.novel] == NAMES
    held = [tool.split(content, f, 3, 12, 16, NAMES[:1]).novel for f in range(3)]
    assert {name for novel in held for name in novel} == {*NAMES[1:]}


def test_untrained_and_trained_are_scored_alike(tool, root, tmp_path, capsys):
    config = tmp_path / 'recipe.py'
    config.write_text(CONFIG)
    code = exit_code(
        ANALYSIS / 'measure_training.py',
        *(config, '--data-root', root, '--img-path', 'train2017'),
        *('--ann-file', 'annotations/instances_train2017.json'),
        *('--num-folds', '3', '--folds', '0', '--photos', '12'),
        *('--episodes', '4', '--shots', '1'),
        *('--size', '64', '--min-pixels', '16'),
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    lines = printed.out.splitlines()
    assert lines[0] == f'fold 0: 12 photos, without {", ".join(NAMES[:4])}'
    assert [line.split(':')[0] for line in lines[1:3]] == ['  untrained', '  recipe']
    assert sum('| untrained' in line or '| recipe' in line for line in lines) == 2

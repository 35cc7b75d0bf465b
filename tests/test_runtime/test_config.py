"""Changing configs by what experiments differ in."""

import pytest
import torch
from mmengine.config import Config

from mmssp.datasets import EpisodicDataset
from mmssp.evaluation import FewShotIoUMetric
from mmssp.models import SSPHead
from mmssp.runtime.config import (
    episodic_datasets,
    few_shot_metric,
    load_config,
    set_amp,
    set_episodes,
    set_protocol,
    set_runs,
    show_episodes,
)


def config(**dataset) -> Config:
    """A test of episodes, by the options given."""
    return Config(
        dict(
            test_dataloader=dict(dataset=dict(type='EpisodicDataset', **dataset)),
            test_evaluator=dict(type='FewShotIoUMetric'),
            default_hooks=dict(visualization=dict(type='FewShotVisualizationHook')),
            visualizer=dict(type='SegLocalVisualizer'),
            optim_wrapper=dict(type='OptimWrapper'),
        )
    )


def other() -> Config:
    """A config without anything of few-shot segmentation."""
    return Config(
        dict(
            test_dataloader=dict(dataset=dict(type='PascalVOCDataset')),
            test_evaluator=[dict(type='IoUMetric')],
            default_hooks=dict(),
        )
    )


def seeds(cfg: Config) -> list[int]:
    return cfg.test_dataloader.dataset.seed


def test_missing_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.py not found'):
        load_config(str(tmp_path / 'nowhere.py'))


def test_configs_of_mmssp_are_bases_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = 'ssp_r50_pascal5i_1shot.py'
    path = tmp_path / 'mine.py'
    path.write_text(
        f"_base_ = ['mmssp::{name}']\nmodel = dict(decode_head=dict(refine=True))\n"
    )
    cfg = load_config(str(path))
    assert cfg.model.type == 'FewShotEncoderDecoder'
    assert '_scope_' not in cfg.model
    assert cfg.model.decode_head.refine is True
    # by itself, and a part of one
    assert load_config(f'mmssp::{name}').test_dataloader == cfg.test_dataloader
    path.write_text("_base_ = 'mmssp::_base_/models/ssp_r50.py'\n")
    assert load_config(str(path)).model.decode_head.type == 'SSPHead'
    # other packages' are MMEngine's affair, as before
    path.write_text("_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'\n")
    with pytest.raises(ValueError, match='mmdet is not installed'):
        load_config(str(path))


@pytest.mark.parametrize('way', ['base', 'itself'])
def test_a_config_that_mmssp_has_not_is_named_with_the_closest(tmp_path, way):
    path = 'mmssp::ssp_r5_pascal5i_1shot.py'
    if way == 'base':
        (tmp_path / 'mine.py').write_text(f"_base_ = '{path}'\n")
        path = str(tmp_path / 'mine.py')
    with pytest.raises((FileNotFoundError, ValueError)) as error:
        load_config(path)
    assert 'no config ssp_r5_pascal5i_1shot.py' in str(error.value)
    assert 'ssp_r50_pascal5i_1shot.py' in str(error.value)


def test_options_override_the_file(tmp_path):
    path = tmp_path / 'some.py'
    path.write_text('model = dict(depth=50)\n')
    assert load_config(str(path), {'model.depth': 101}).model.depth == 101


def test_wrapped_episodic_data_sets_are_found():
    inner = dict(type='EpisodicDataset', shots=5)
    cfg = Config(dict(train_dataloader=dict(dataset=dict(type='Rep', dataset=inner))))
    (found,) = episodic_datasets(cfg)
    assert found.shots == 5


@pytest.mark.parametrize(
    ('dataset', 'metric'),
    [
        ('EpisodicDataset', 'FewShotIoUMetric'),
        ('mmseg.EpisodicDataset', 'mmssp.FewShotIoUMetric'),
        (EpisodicDataset, FewShotIoUMetric),
    ],
)
def test_types_may_have_a_scope_or_be_classes(dataset, metric):
    cfg = config()
    cfg.test_dataloader.dataset.type = dataset
    cfg.test_evaluator.type = metric
    set_episodes(cfg, 'test_dataloader', num_episodes=3)
    assert cfg.test_dataloader.dataset.num_episodes == 3
    assert few_shot_metric(cfg) is cfg.test_evaluator


def test_a_config_in_python_style_is_read(tmp_path):
    path = tmp_path / 'lazy.py'
    path.write_text(
        'from mmengine.config import read_base\n'
        'from mmssp.datasets import EpisodicDataset\n'
        'with read_base():\n'
        '    from .part import test_evaluator\n'
        'test_dataloader = dict(dataset=dict(type=EpisodicDataset, shots=1))\n'
    )
    (tmp_path / 'part.py').write_text(
        'from mmssp.evaluation import FewShotIoUMetric\n'
        'test_evaluator = dict(type=FewShotIoUMetric)\n'
    )
    cfg = load_config(str(path))
    set_episodes(cfg, 'test_dataloader', num_episodes=3, shots=5)
    assert cfg.test_dataloader.dataset.shots == 5
    assert few_shot_metric(cfg).type is FewShotIoUMetric


def test_a_tilde_is_the_home_in_the_file_and_in_options(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    path = tmp_path / 'some.py'
    path.write_text(
        "root = '~/data'\n"
        "test_dataloader = dict(dataset=dict(data_root='~/data', note='a ~ b'))\n"
        "parts = [dict(ann_file='~/a.txt'), ('~', '~~')]\n"
    )
    cfg = load_config(str(path), {'load_from': '~/iter_1.pth', 'x': '~not/'})
    home = str(tmp_path)
    assert cfg.test_dataloader.dataset.data_root == f'{home}/data'
    assert cfg.test_dataloader.dataset.note == 'a ~ b'
    assert cfg.parts[0].ann_file == f'{home}/a.txt'
    assert list(cfg.parts[1]) == [home, '~~']
    assert cfg.load_from == f'{home}/iter_1.pth'
    # there is nobody of that name
    assert cfg.x == '~not/'


def test_options_that_nothing_takes_are_an_error():
    with pytest.raises(ValueError, match='no EpisodicDataset in .*fold cannot be set'):
        set_episodes(other(), fold=1)


def test_a_fold_replaces_classes_by_name():
    cfg = config(novel_classes=['cat'], base_classes=['dog'])
    set_episodes(cfg, fold=2, shots=None)
    dataset = cfg.test_dataloader.dataset
    assert dataset.fold == 2
    assert {'novel_classes', 'base_classes', 'shots'}.isdisjoint(dataset)


def test_metric_is_found_among_others():
    cfg = config()
    cfg.test_evaluator = [dict(type='IoUMetric'), dict(type='FewShotIoUMetric', a=1)]
    assert few_shot_metric(cfg).a == 1


def test_missing_metric_is_an_error():
    with pytest.raises(ValueError, match='no FewShotIoUMetric in test_evaluator'):
        few_shot_metric(other())


@pytest.mark.parametrize(
    ('given', 'runs', 'expected'),
    [
        (dict(seed=[3, 1, 2]), 2, [3, 1]),
        (dict(seed=[3, 1]), 4, [3, 1, 4, 5]),
        (dict(seed=7), 3, [7, 8, 9]),
        (dict(protocol='hsnet'), 2, [0, 1]),
    ],
)
def test_runs_take_the_first_seeds_then_further_ones(given, runs, expected):
    cfg = config(**given)
    set_runs(cfg, runs)
    assert seeds(cfg) == expected


def test_without_a_number_of_runs_seeds_stay():
    cfg = config(seed=[3, 1])
    set_runs(cfg, None)
    assert seeds(cfg) == [3, 1]


def test_less_than_one_run_is_an_error():
    with pytest.raises(ValueError, match='--runs 0: expected 1 or more'):
        set_runs(config(), 0)


def test_a_protocol_takes_back_what_the_config_departs_by():
    cfg = config(num_episodes=7, original_size=True, shots=5)
    set_protocol(cfg, 'hsnet', original_size=False)
    dataset = cfg.test_dataloader.dataset
    assert dataset.protocol == 'hsnet'
    assert dataset.shots == 5
    assert {'num_episodes', 'original_size'}.isdisjoint(dataset)


def test_original_size_is_a_switch_of_any_protocol():
    cfg = config()
    set_protocol(cfg, None, original_size=True)
    assert cfg.test_dataloader.dataset.original_size
    assert 'protocol' not in cfg.test_dataloader.dataset


def test_mixed_precision_asks_for_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='--amp: mixed precision needs a GPU'):
        set_amp(config())


def test_mixed_precision_scales_losses_by_itself(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = config()
    set_amp(cfg)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', loss_scale='dynamic')


def test_mixed_precision_keeps_a_given_scale(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = config()
    cfg.optim_wrapper.loss_scale = 512.0
    set_amp(cfg)
    assert cfg.optim_wrapper.loss_scale == 512.0


def test_episodes_are_shown_in_a_folder():
    cfg = config()
    show_episodes(cfg, 'shown', 3)
    hook = cfg.default_hooks.visualization
    assert (hook.draw, hook.interval) == (True, 3)
    assert cfg.visualizer.save_dir == 'shown'


def test_without_a_folder_nothing_is_drawn():
    cfg = config()
    cfg.default_hooks.visualization.draw = True
    show_episodes(cfg, None, 1)
    assert not cfg.default_hooks.visualization.draw
    show_episodes(other(), None, 1)  # and no hook is needed for that


def test_a_folder_without_a_hook_is_an_error():
    with pytest.raises(ValueError, match='no default_hooks.visualization'):
        show_episodes(other(), 'shown', 1)


MINE = """
from mmengine.config import read_base

with read_base():
    from .whole import *

from mmssp.models import SSPHead

model.update(decode_head=dict(type=SSPHead, refine=False))
train_dataloader.update(batch_size=2)
"""


def test_a_python_style_config_takes_one_that_was_written_out_whole(tmp_path):
    name = 'mmssp::ssp_r50_pascal5i_1shot.py'
    load_config(name).dump(tmp_path / 'whole.py')
    (tmp_path / 'mine.py').write_text(MINE)
    mine, theirs = load_config(str(tmp_path / 'mine.py')), load_config(name)
    assert mine.model.decode_head.type is SSPHead
    assert mine.model.decode_head.refine is False
    assert mine.train_dataloader.batch_size == 2
    assert mine.test_dataloader == theirs.test_dataloader
    assert mine.model.backbone == theirs.model.backbone


def test_configs_as_modules_are_answered_with_the_way_there_is(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(MINE.replace('.whole', 'mmssp.configs.ssp_r50_pascal5i_1shot'))
    with pytest.raises(ValueError, match="_base_ = 'mmssp::NAME.py' takes one"):
        load_config(str(path))

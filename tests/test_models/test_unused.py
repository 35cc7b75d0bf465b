"""Every parameter that is trained has a gradient, whatever the backbone builds."""

import logging
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mmssp.models.unused import freeze_unused, summary

CONFIGS = sorted((Path(__file__).parents[2] / 'configs').glob('*.py'))
# two stages are matched, the third is built, and norm0 of Swin serves nobody
RESNET = dict(
    type='ResNet', depth=18, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1),
    out_indices=(1, 2), norm_eval=True,
)  # fmt: skip
SWIN = dict(
    type='SwinTransformer', embed_dims=24, depths=(2, 2, 2), num_heads=(1, 2, 4),
    strides=(4, 2, 2), out_indices=(0, 1, 2),
)  # fmt: skip
MIT = dict(
    type='MixVisionTransformer', embed_dims=32, num_layers=[2, 2, 2, 2],
    num_heads=[1, 2, 5, 8], out_indices=(0, 1, 2),
)  # fmt: skip


def build(backbone: dict, in_channels: int, in_index: int) -> nn.Module:
    head = dict(type='SSPHead', in_channels=in_channels, in_index=in_index)
    return MODELS.build(
        dict(type='FewShotEncoderDecoder', backbone=backbone, decode_head=head)
    )


def without_gradient(model: nn.Module, size: int = 65) -> list[str]:
    """Trained parameters that a step on one episode of noise gives no gradient."""
    torch.manual_seed(0)
    mask = torch.zeros(1, size, size, dtype=torch.long)
    mask[:, : size // 2] = 1
    sample = SegDataSample(gt_sem_seg=PixelData(data=mask))
    inputs = dict(
        query=torch.randn(1, 3, size, size),
        support=torch.randn(1, 1, 3, size, size),
        support_mask=mask[None],
    )
    model.train()
    sum(model(inputs, [sample], mode='loss').values()).backward()
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    assert trained
    return [name for name, p in trained if p.grad is None]


@pytest.mark.parametrize(
    'path',
    [
        # large ones take as many seconds as parameters
        pytest.param(path, marks=pytest.mark.slow) if '-l_' in path.stem else path
        for path in CONFIGS
        if not path.stem.endswith('_frozen') and '-b_' not in path.stem
    ],
    ids=lambda path: path.stem,
)
def test_every_trained_parameter_of_a_config_has_a_gradient(path):
    model = Config.fromfile(path).model
    if 'efficientnet' in path.stem:
        pytest.importorskip('efficientnet_lite_pytorch')
        model.backbone.pretrained = False
    elif model.backbone.type == 'HFBackbone':
        pytest.importorskip('transformers')
        model.backbone.weights = None
    else:
        model.backbone.init_cfg = None
    assert 'find_unused_parameters' not in path.read_text()
    assert without_gradient(MODELS.build(model)) == []


@pytest.mark.parametrize(
    ('backbone', 'in_channels', 'frozen'),
    [
        (RESNET, 128, {'layer3'}),
        (dict(RESNET, with_cp=True), 128, {'layer3'}),
        (MIT, 64, {'layers.2', 'layers.3'}),
        (SWIN, 48, {'stages.1.downsample', 'stages.2', 'norm0', 'norm2'}),
    ],
    ids=['ResNet', 'checkpointed', 'MiT', 'Swin'],
)
def test_what_is_behind_the_matched_features_is_frozen(backbone, in_channels, frozen):
    model = build(
        backbone, in_channels, in_index=0 if backbone['type'] == 'ResNet' else 1
    )
    expected = {
        name
        for name, _ in model.backbone.named_parameters()
        if any(name.startswith(f'{module}.') for module in frozen)
    }
    assert {n for n, p in model.backbone.named_parameters() if not p.requires_grad} == (
        expected
    )
    assert without_gradient(model) == []


def test_nothing_else_changes():
    """Neither weights, statistics, modes, gradients nor chance."""
    torch.manual_seed(0)
    backbone = MODELS.build(dict(RESNET, norm_eval=False))
    backbone.layer1.eval()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    modes = [module.training for module in backbone.modules()]
    state = torch.get_rng_state()
    holder = nn.ModuleDict(dict(backbone=backbone))
    assert freeze_unused(holder, lambda x: backbone(x)[0], ['backbone'])
    assert all(torch.equal(before[n], v) for n, v in backbone.state_dict().items())
    assert [module.training for module in backbone.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in backbone.parameters())


def test_backbone_that_refuses_the_image_keeps_its_parameters(monkeypatch):
    """And a distributed job is told what to do."""
    backbone = MODELS.build(dict(type='PatchBackbone'))
    holder = nn.ModuleDict(dict(backbone=backbone))
    lines = []

    def refuse(image: torch.Tensor) -> torch.Tensor:
        raise RuntimeError('expected 224 pixels')

    monkeypatch.setattr('mmssp.models.unused.is_distributed', lambda: True)
    monkeypatch.setattr('mmssp.models.unused.print_log', lambda *a: lines.append(a))
    assert freeze_unused(holder, refuse, ['backbone']) == []
    assert all(p.requires_grad for p in backbone.parameters())
    ((text, _, level),) = lines
    assert level == logging.WARNING
    assert 'expected 224 pixels' in text
    assert 'find_unused_parameters=True' in text


def test_summary_names_each_module_once():
    names = ['backbone.layer3.0.conv1.weight', 'backbone.layer3.0.conv1.bias', 'neck.w']
    assert summary(names, depth=2) == 'backbone.layer3, neck'

"""SSPResNetV1c: what the ReLU switch changes, and what it must leave alone."""

import pytest
import torch
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from mmseg.models.backbones import ResNetV1c
from mmseg.registry import MODELS
from torch.testing import assert_close

from mmssp.models.backbones import SSPResNetV1c

PUBLISHED = {
    'depth': 50,
    'stem_channels': 128,
    'num_stages': 3,
    'strides': (1, 2, 1),
    'dilations': (1, 1, 2),
    'contract_dilation': True,
    'out_indices': (2,),
    'frozen_stages': 1,
    'norm_eval': True,
    'norm_cfg': {'type': 'BN', 'requires_grad': False},
}


def build(**changes):
    return SSPResNetV1c(**{**PUBLISHED, 'last_relu': False, **changes})


def randomise(model):
    """Give every BatchNorm values that tell it from an identity."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            for tensor, low, high in (
                (module.weight, 0.2, 0.8),
                (module.bias, -0.3, 0.3),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
            ):
                tensor.data.uniform_(low, high, generator=generator)
    return model


def pair(**changes):
    """The same weights without and with the last ReLU."""
    without = randomise(build(**changes))
    with_relu = build(**changes, last_relu=True)
    with_relu.load_state_dict(without.state_dict())
    without.eval(), with_relu.eval()
    return without, with_relu


@pytest.fixture(scope='module')
def published():
    torch.manual_seed(0)
    return randomise(build())


def test_is_built_by_name_from_mmsegs_registry():
    model = MODELS.build({'type': 'SSPResNetV1c', 'last_relu': False, **PUBLISHED})
    assert type(model) is SSPResNetV1c


def test_resnet50_has_the_270_tensors_of_resnetv1c_in_the_same_order(published):
    reference = ResNetV1c(**PUBLISHED).state_dict()
    state_dict = published.state_dict()
    assert len(state_dict) == 270
    assert list(state_dict) == list(reference)
    assert all(state_dict[k].shape == reference[k].shape for k in reference)


@pytest.mark.parametrize('size', [(64, 64), (65, 97), (57, 72)])
def test_output_is_one_map_of_1024_channels_at_stride_8_rounded_up(published, size):
    with torch.no_grad():
        outputs = published(torch.randn(1, 3, *size))
    assert [tuple(o.shape) for o in outputs] == [
        (1, 1024, -(-size[0] // 8), -(-size[1] // 8))
    ]


def test_a_473_pixel_image_gives_a_60_by_60_map(published):
    with torch.no_grad():
        assert published(torch.randn(1, 3, 473, 473))[0].shape == (1, 1024, 60, 60)


@pytest.mark.parametrize('depth', [18, 34, 50, 101, 152])
def test_only_the_last_relu_differs(depth):
    torch.manual_seed(0)
    without, with_relu = pair(depth=depth)
    x = torch.randn(2, 3, 40, 56)
    with torch.no_grad():
        (signed,), (rectified,) = without(x), with_relu(x)
    assert (signed < 0).float().mean() > 0.05
    assert (rectified > 0).float().mean() > 0.05
    assert_close(signed.relu(), rectified, rtol=1e-5, atol=1e-5)


def test_outputs_of_earlier_stages_keep_their_relu():
    model = build(depth=18, out_indices=(0, 1, 2)).eval()
    with torch.no_grad():
        outputs = model(torch.randn(1, 3, 40, 40))
    assert [bool((o < 0).any()) for o in outputs] == [False, False, True]


def test_last_relu_true_is_resnetv1c():
    torch.manual_seed(0)
    ours = randomise(build(depth=18, last_relu=True)).eval()
    theirs = ResNetV1c(**{**PUBLISHED, 'depth': 18})
    theirs.load_state_dict(ours.state_dict())
    theirs.eval()
    x = torch.randn(1, 3, 40, 40)
    with torch.no_grad():
        assert torch.equal(ours(x)[0], theirs(x)[0])


@pytest.mark.parametrize('depth', [18, 50])
def test_checkpointing_changes_neither_outputs_nor_gradients(depth):
    torch.manual_seed(0)
    plain = randomise(build(depth=depth))
    saving = build(depth=depth, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(1, 3, 33, 33)
    outputs, gradients = [], []
    for model in (plain, saving):
        model.train()
        output = model(x)[0]
        output.square().mean().backward()
        outputs.append(output.detach())
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    assert_close(*outputs)
    assert_close(*gradients)


@pytest.mark.parametrize('position', ['after_conv1', 'after_conv2', 'after_conv3'])
def test_plugins_of_the_last_block_still_run(position):
    torch.manual_seed(0)
    plugin = {
        'cfg': {'type': 'ContextBlock', 'ratio': 1 / 16},
        'stages': (False, False, True),
        'position': position,
    }
    without, with_relu = pair(plugins=[plugin])
    for name, parameter in without.layer3[-1].named_parameters():
        if 'context_block' in name:
            parameter.data.normal_()
    with_relu.load_state_dict(without.state_dict())
    x = torch.randn(1, 3, 40, 40)
    with torch.no_grad():
        assert_close(without(x)[0].relu(), with_relu(x)[0])


def test_gradients_reach_stages_2_and_3_but_no_stem_stage_1_or_batch_norm():
    model = randomise(build())
    model.train()
    model(torch.randn(1, 3, 33, 33))[0].mean().backward()
    touched = {name for name, p in model.named_parameters() if p.grad is not None}
    convs = {
        name
        for name, p in model.named_parameters()
        if name.startswith(('layer2', 'layer3')) and p.dim() == 4
    }
    assert touched == convs


def test_train_and_eval_return_the_model():
    model = build(depth=18)
    assert model.train() is model
    assert model.eval() is model


@pytest.mark.parametrize('fresh', [True, False])
def test_training_mode_leaves_every_batch_norm_in_eval_mode(fresh):
    model = randomise(build(depth=18))
    before = {k: v.clone() for k, v in model.named_buffers()}
    if not fresh:
        model.eval()
        model.train()
    model(torch.randn(2, 3, 33, 33))
    assert model.training and model.layer3.training
    assert not any(m.training for m in model.modules() if isinstance(m, _BatchNorm))
    assert_close(dict(model.named_buffers()), before, rtol=0, atol=0)


@pytest.mark.parametrize(('depth', 'norm'), [(18, 'norm2'), (50, 'norm3')])
def test_mmsegs_initialisation_reaches_the_last_block(depth, norm):
    model = build(depth=depth)
    model.init_weights()
    last = model.layer3[-1]
    assert not getattr(last, norm).weight.any()  # zero_init_residual
    assert last.norm1.weight.eq(1).all()

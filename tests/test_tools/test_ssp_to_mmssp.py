"""The converter of published weights: same features, full reports, safe refusals."""

import errno
import importlib.util
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from commands import exit_code
from mmengine.runner import load_checkpoint
from torch import nn
from torch.testing import assert_close

from mmssp.models.backbones import SSPResNetV1c
from mmssp.version import __version__

TOOL = Path(__file__).parents[2] / 'tools' / 'model_converters' / 'ssp_to_mmssp.py'
_spec = importlib.util.spec_from_file_location('ssp_to_mmssp', TOOL)
converter = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(converter)


class PlainBlock(nn.Module):
    """A bottleneck in the names of the published files."""

    def __init__(self, inputs, width, stride, dilation, project, last_relu):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        if project:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False),
                nn.BatchNorm2d(4 * width),
            )
        self.project, self.last_relu = project, last_relu

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y)) + (self.downsample(x) if self.project else x)
        return torch.relu(y) if self.last_relu else y


class PlainResNet(nn.Module):
    """The published network in plain PyTorch; written independently of mmseg's."""

    def __init__(self, blocks=(3, 4, 6)):
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2, 1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1, 1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, 1, 1, bias=False),
        )
        self.bn1 = nn.BatchNorm2d(128)
        self.pool = nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.layer1 = self.stage(128, 64, blocks[0], 1)
        self.layer2 = self.stage(256, 128, blocks[1], 2)
        self.layer3 = self.stage(512, 256, blocks[2], 1, dilation=2, last_relu=False)
        # the real ones are larger, but dropped all the same
        self.layer4 = self.stage(1024, 16, 1, 1)
        self.fc = nn.Linear(64, 10)

    @staticmethod
    def stage(inputs, width, count, stride, dilation=1, last_relu=True):
        blocks = [PlainBlock(inputs, width, stride, 1, True, True)]
        for i in range(1, count):
            relu = last_relu or i < count - 1
            blocks.append(PlainBlock(4 * width, width, 1, dilation, False, relu))
        return nn.Sequential(*blocks)

    def forward(self, x):
        x = self.pool(self.bn1(self.conv1(x)))
        return self.layer3(self.layer2(self.layer1(x)))

    def trained_layout(self):
        """The state dict of the whole published model after training."""
        return nn.ModuleDict(
            {
                'layer0': nn.Sequential(self.conv1, self.bn1, self.pool),
                'layer1': self.layer1,
                'layer2': self.layer2,
                'layer3': self.layer3,
            }
        ).state_dict()


@pytest.fixture(scope='module')
def plain():
    torch.manual_seed(0)
    model = PlainResNet()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.4, 1.2)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.1, 0.5)
            module.num_batches_tracked.fill_(7)
    return model.eval()


def small_tensors(state_dict):
    """The same names and shapes, but next to nothing on disk."""
    return OrderedDict(
        (k, torch.zeros(()).expand(v.shape)) for k, v in state_dict.items()
    )


@pytest.fixture
def initial(plain):
    return small_tensors(plain.state_dict())


@pytest.fixture
def trained(plain):
    return small_tensors(plain.trained_layout())


def build():
    return SSPResNetV1c(
        depth=50,
        stem_channels=128,
        num_stages=3,
        strides=(1, 2, 1),
        dilations=(1, 1, 2),
        contract_dilation=True,
        out_indices=(2,),
        last_relu=False,
    )


def command(*arguments: object) -> int:
    return exit_code(
        lambda: converter.run(converter.main, converter.parse_args), *arguments
    )


def run(tmp_path, content, *options, name='dst.pth'):
    """Save ``content``, convert it in this process; the exit code and DST."""
    source, target = tmp_path / 'src.pth', tmp_path / name
    torch.save(content, source)
    return command(source, target, *options), target


def assert_refused(capsys, code, target):
    """Exit code 1, one line on stderr, no DST nor any remains of it."""
    captured = capsys.readouterr()
    assert code == 1
    assert captured.out == ''
    assert captured.err.startswith('error: ') and captured.err.count('\n') == 1
    assert not target.exists()
    assert not list(target.parent.glob('.*'))
    return captured.err


def assert_same_features(plain, backbone):
    x = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        expected, (found,) = plain(x), backbone.eval()(x)
    assert expected.shape == (2, 1024, 9, 13)
    assert 0.1 < expected.std() < 100 and expected.min() < -0.1
    assert_close(found, expected, rtol=0, atol=1e-5)


def test_initial_weights_converted_on_the_command_line_give_the_same_features(
    tmp_path, plain
):
    source, target = tmp_path / 'resnet50_v2.pth', tmp_path / 'new' / 'backbone.pth'
    torch.save(plain.state_dict(), source)
    done = subprocess.run(
        [sys.executable, str(TOOL), str(source), str(target)],
        capture_output=True,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )
    assert done.returncode == 0, done.stderr

    checkpoint = torch.load(target, weights_only=True)
    backbone = build()
    assert list(checkpoint['state_dict']) == list(backbone.state_dict())
    backbone.load_state_dict(checkpoint['state_dict'], strict=True)
    assert_same_features(plain, backbone)
    assert checkpoint['meta'] == {
        'source': 'initial weights',
        'depth': 50,
        'mmssp_version': __version__,
    }


def test_trained_model_gives_the_same_features_below_backbone(tmp_path, plain):
    code, target = run(tmp_path, plain.trained_layout())
    assert code == 0
    model = nn.ModuleDict({'backbone': build()})
    load_checkpoint(model, str(target), strict=True)
    assert_same_features(plain, model['backbone'])
    assert torch.load(target, weights_only=True)['meta']['source'] == 'trained model'


def test_initial_weights_serve_as_pretrained_init_cfg(tmp_path, plain):
    code, target = run(tmp_path, plain.state_dict())
    assert code == 0
    backbone = build()
    backbone.init_cfg = {'type': 'Pretrained', 'checkpoint': str(target)}
    backbone.init_weights()
    assert_same_features(plain, backbone)


def test_both_layouts_have_the_270_tensors_of_the_backbone_in_order(initial, trained):
    names = list(build().state_dict())
    kind, converted, dropped = converter.convert_keys(initial)
    assert kind == 'initial weights'
    assert len(names) == 270 and list(converted) == names
    assert dropped == [k for k in initial if k.startswith(('layer4', 'fc'))]
    kind, converted, dropped = converter.convert_keys(trained)
    assert kind == 'trained model'
    assert list(converted) == [f'backbone.{name}' for name in names]
    assert dropped == []


def test_dropped_and_missing_names_are_all_reported(tmp_path, initial, capsys):
    del initial['layer2.1.bn2.running_var'], initial['conv1.3.weight']
    code, target = run(tmp_path, initial)
    assert code == 0 and target.exists()
    lines = capsys.readouterr().out.splitlines()
    assert {'  layer2.1.bn2.running_var', '  stem.3.weight'} < set(lines)
    dropped = [k for k in initial if k.startswith(('layer4', 'fc'))]
    assert {f'  {name}' for name in dropped} < set(lines)
    assert len([line for line in lines if line[:2] == '  ']) == 2 + len(dropped)


def test_resnet101_is_recognised_by_its_23_blocks():
    with torch.device('meta'):
        state_dict = PlainResNet((3, 4, 23)).trained_layout()
    _, converted, _ = converter.convert_keys(state_dict)
    assert converter.detect_depth(list(converted)) == 101
    assert converter.find_missing(converted, 101, 'backbone.') == []


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('wrapper', [None, 'state_dict', 'model'])
@pytest.mark.parametrize('zipped', [True, False])
def test_wrappers_prefixes_and_the_old_format_are_read(
    tmp_path, prefix, wrapper, zipped
):
    tensors = {'layer0.0.0.weight': torch.ones(2), 'layer1.0.bn1.bias': torch.ones(1)}
    content = {prefix + k: v for k, v in tensors.items()}
    if wrapper:
        content = {'epoch': 3, wrapper: content, 'optimizer': {'lr': 0.1}}
    path = tmp_path / 'src.pth'
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert_close(converter.load_state_dict(path), tensors)


def test_a_whole_file_of_the_old_format_is_converted(tmp_path, initial):
    source, target = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    torch.save(initial, source, _use_new_zipfile_serialization=False)
    assert command(source, target) == 0
    assert len(torch.load(target, weights_only=True)['state_dict']) == 270


def test_an_existing_target_is_replaced_only_with_force(tmp_path, trained, capsys):
    target = tmp_path / 'dst.pth'
    target.write_text('precious')
    code, _ = run(tmp_path, trained)
    assert code == 1 and '--force' in capsys.readouterr().err
    assert target.read_text() == 'precious'
    code, _ = run(tmp_path, trained, '--force')
    assert code == 0
    assert len(torch.load(target, weights_only=True)['state_dict']) == 270


def test_a_failed_write_leaves_the_old_target(tmp_path, trained, monkeypatch, capsys):
    source, target = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    torch.save(trained, source)
    target.write_text('precious')

    def fill_disk(content, path):
        Path(path).write_bytes(b'half')
        raise OSError(errno.ENOSPC, 'No space left on device', str(path))

    monkeypatch.setattr(torch, 'save', fill_disk)
    assert command(source, target, '--force') == 1
    assert 'No space left' in capsys.readouterr().err
    assert target.read_text() == 'precious'
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == ['dst.pth', 'src.pth']
    assert not list(tmp_path.glob('.dst*'))


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize('zipped', [True, False])
def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path, capsys, zipped):
    source, target = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    marker = tmp_path / 'code_has_run'
    content = {'state_dict': {'conv1.0.weight': torch.ones(1)}, 'x': Payload(marker)}
    torch.save(content, source, _use_new_zipfile_serialization=zipped)
    code = command(source, target)
    assert 'mkdir' in assert_refused(capsys, code, target)
    assert not marker.exists()
    torch.load(source, weights_only=False)  # it is a live one
    assert marker.exists()


@pytest.mark.parametrize('part', [0.1, 0.5, 0.99])
@pytest.mark.parametrize('zipped', [True, False])
def test_a_truncated_file_is_refused(tmp_path, trained, capsys, zipped, part):
    source, target = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    torch.save(trained, source, _use_new_zipfile_serialization=zipped)
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * part)])
    code = command(source, target)
    assert 'whole PyTorch file' in assert_refused(capsys, code, target)


@pytest.mark.parametrize('content', [b'', b'hello\n', b'PK\x03\x04', bytes(range(256))])
def test_a_file_that_is_not_pytorchs_is_refused(tmp_path, capsys, content):
    source, target = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    source.write_bytes(content)
    code = command(source, target)
    assert str(source) in assert_refused(capsys, code, target)


def test_a_missing_source_is_refused(tmp_path, capsys):
    code = command(tmp_path / 'absent.pth', tmp_path / 'dst.pth')
    assert 'absent.pth' in assert_refused(capsys, code, tmp_path / 'dst.pth')


@pytest.mark.parametrize(
    ('content', 'found'),
    [
        ([torch.ones(1)], 'list'),
        ({}, 'dict'),
        ({'epoch': 3}, 'int'),
        ({'state_dict': {'conv1.0.weight': 3.0}}, 'float'),
        ({'module.conv1.0.weight': torch.ones(1), 'fc': torch.ones(1)}, 'module.'),
        ({'features.0.weight': torch.ones(1)}, 'features.0.weight'),
        ({'conv1.weight': torch.ones(1), 'bn1.weight': torch.ones(1)}, '7x7'),
        ({'stem.0.weight': torch.ones(1)}, 'mmssp checkpoint'),
        ({'backbone.stem.0.weight': torch.ones(1)}, 'mmssp checkpoint'),
        ({'conv1.0.weight': torch.ones(1)}, '0 blocks'),
    ],
)
def test_other_content_is_refused_by_what_it_is(tmp_path, capsys, content, found):
    assert found in assert_refused(capsys, *run(tmp_path, content))


def test_a_mixture_of_both_layouts_is_refused(tmp_path, initial, trained, capsys):
    error = assert_refused(capsys, *run(tmp_path, {**initial, **trained}))
    assert 'initial weights and trained model' in error


def test_a_wrong_shape_is_refused_by_name(tmp_path, initial, capsys):
    initial['layer3.2.conv2.weight'] = torch.ones(256, 128, 3, 3)
    error = assert_refused(capsys, *run(tmp_path, initial))
    assert 'layer3.2.conv2.weight (256, 128, 3, 3)' in error
    assert '(256, 256, 3, 3)' in error


def test_a_tensor_that_the_stages_have_no_place_for_is_refused(
    tmp_path, trained, capsys
):
    trained['layer2.0.se.weight'] = torch.ones(4)
    error = assert_refused(capsys, *run(tmp_path, trained))
    assert 'backbone.layer2.0.se.weight' in error


def test_another_depth_is_refused_by_its_blocks(tmp_path, initial, capsys):
    for name in [k for k in initial if k.startswith('layer3.5.')]:
        del initial[name]
    assert '5 blocks' in assert_refused(capsys, *run(tmp_path, initial))


def test_resnet34_is_not_taken_for_resnet50(tmp_path, initial, capsys):
    for name in [k for k in initial if 'conv3' in k or 'bn3' in k]:
        del initial[name]
    assert 'conv3' in assert_refused(capsys, *run(tmp_path, initial))


def test_help_names_both_kinds_of_file_and_every_option(capsys):
    assert command('--help') == 0
    text = capsys.readouterr().out
    for word in ('SRC', 'DST', '--force', 'initial weights', 'trained models'):
        assert word in text

"""What stands beside a score, in words."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmssp.evaluation import departures
from mmssp.evaluation.departures import (
    add_departures,
    model_departures,
    rounding_departures,
    training_departures,
)

CPU, GPU = torch.device('cpu'), torch.device('cuda')
TESTED = dict(class_names={1: 'cat', 2: 'dog'}, protocol='ssp')


def test_classes_that_were_trained_on_are_named():
    trained = dict(split='base', class_names={7: 'dog', 8: 'cow'})
    (found,) = training_departures(trained, TESTED)
    assert found.startswith('trained on 1 of the 2 tested classes (dog)')


@pytest.mark.parametrize('trained', [{}, dict(split='base', class_names={3: 'cow'})])
def test_weights_selected_on_tested_classes_are_named(trained):
    selected = dict(split='novel', class_names={1: 'cat', 2: 'dog'})
    (found,) = training_departures(dict(trained, selected_on=selected), TESTED)
    assert 'by validation on 2 of the 2 tested classes' in found
    assert 'release of SSP' in found


@pytest.mark.parametrize(
    'selected',
    [
        dict(split='base', class_names={3: 'cow'}),
        dict(split='novel', class_names={5: 'bus'}),
        {},
    ],
)
def test_weights_selected_otherwise_depart_from_nothing(selected):
    trained = dict(split='base', class_names={3: 'cow'}, selected_on=selected)
    assert training_departures(trained, TESTED) == []


def test_exact_features_on_a_cpu_depart_from_nothing():
    assert rounding_departures(CPU) == []
    # as is always done there
    assert rounding_departures(CPU, 'float32', channels_last=True) == []


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(dtype='bfloat16'), 'features in bfloat16'),
        (dict(compiled=True), 'features by torch.compile'),
    ],
)
def test_other_rounding_is_named_on_any_device(options, expected):
    assert rounding_departures(CPU, **options) == [expected]


def test_other_rounding_of_a_gpu_is_named(monkeypatch):
    monkeypatch.setattr(departures, 'in_tf32', list)
    assert rounding_departures(GPU) == []
    assert 'channels_last' in rounding_departures(GPU, channels_last=True)[0]
    monkeypatch.setattr(departures, 'in_tf32', lambda: ['products'])
    assert rounding_departures(GPU) == ['products in TF32, as PyTorch is set']


@pytest.mark.parametrize('how', ['old', 'new'])
def test_tf32_is_found_however_it_was_set(how):
    """In a process of its own: PyTorch refuses to mix both ways to set it."""
    if how == 'new' and not hasattr(torch.backends.cudnn, 'conv'):
        pytest.skip('before PyTorch 2.9')
    code = ['import torch', 'from mmssp.evaluation import departures']
    for wanted in (True, False):
        if how == 'old':
            name, value = 'allow_tf32', wanted
            convolutions = 'torch.backends.cudnn'
        else:
            name, value = 'fp32_precision', 'tf32' if wanted else 'ieee'
            convolutions = 'torch.backends.cudnn.conv'
        code += [
            f'{convolutions}.{name} = {value!r}',
            f'torch.backends.cuda.matmul.{name} = {value!r}',
            'print(departures.in_tf32())',
        ]
    done = subprocess.run(
        [sys.executable, '-c', '; '.join(code)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split('\n')[:2] == [str(['convolutions', 'products']), '[]']


class Part:
    def __repr__(self) -> str:
        return 'Part(3)'


def test_what_a_model_does_beside_matching_is_named():
    model = nn.Identity()
    assert model_departures(model) == []
    model.adapter, model.refiner = Part(), Part()
    assert model_departures(model) == [
        'adapted to the supports of each episode (Part(3))',
        'masks refined by the image (Part(3))',
    ]


def test_metrics_name_each_departure_once():
    metric, other = SimpleNamespace(departures=['a']), SimpleNamespace()
    for _ in range(2):
        add_departures([metric, other], ['a', 'b'])
    assert metric.departures == ['a', 'b']
    assert not hasattr(other, 'departures')

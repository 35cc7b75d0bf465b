"""The published numbers: logits, losses and the gradient of the reference arrays."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

OWN = Path(__file__).parents[1] / 'data'
SHARED = Path(__file__).parents[3] / 'shared' / 'golden'


def load(name: str) -> dict:
    for folder in (OWN, SHARED):
        if (folder / f'{name}.npz').exists():
            with np.load(folder / f'{name}.npz') as arrays:
                return {key: torch.from_numpy(arrays[key]) for key in arrays}
    pytest.skip(f'{name}.npz is not at hand')


def episode(golden: dict, build_segmentor) -> tuple:
    model = build_segmentor(channels=1024, refine='stage1' in golden)
    model.backbone.conv.weight.data.copy_(golden['weight'])
    model.backbone.conv.bias.data.copy_(golden['bias'])
    inputs = {name: golden[name] for name in ('query', 'support', 'support_mask')}
    samples = []
    for mask in golden['query_mask']:
        samples.append(SegDataSample(metainfo=dict(ori_shape=mask.shape)))
        samples[-1].gt_sem_seg = PixelData(data=mask[None])
    return model, inputs, samples


EVAL = ['eval_1shot', 'eval_1shot_refine_unconfident', 'eval_5shot_refine']
TRAIN = ['train_1shot', 'train_2shot_refine']


@pytest.mark.parametrize('name', EVAL + TRAIN)
def test_logits_match(name, build_segmentor):
    golden = load(name)
    model, inputs, _ = episode(golden, build_segmentor)
    with torch.no_grad():
        logits = model(inputs, mode='tensor')
    torch.testing.assert_close(logits, golden['final'], rtol=0, atol=1e-4)


@pytest.mark.parametrize('name', [name for name in EVAL + TRAIN if 'refine' in name])
def test_stage1_matches(name, build_segmentor):
    golden = load(name)
    model, inputs, _ = episode(golden, build_segmentor)
    with torch.no_grad():
        query, support = model.encode_episodes(inputs['query'], inputs['support'])
        stage1 = model.decode_head.match(query, support, inputs['support_mask'])
    upsampled = model.decode_head.upsample(stage1['stage1'], (64, 64))
    torch.testing.assert_close(upsampled, golden['stage1'], rtol=0, atol=1e-4)


@pytest.mark.parametrize('name', TRAIN)
def test_losses_and_gradient_match(name, build_segmentor):
    golden = load(name)
    model, inputs, samples = episode(golden, build_segmentor)
    losses = model(inputs, samples, mode='loss')
    names = ['loss_final', 'loss_query_self', 'loss_support_self']
    if 'stage1' in golden:
        names.insert(1, 'loss_stage1')
    assert sorted(losses) == sorted(names)
    terms = torch.stack([losses[name] for name in names]).double()
    torch.testing.assert_close(terms, golden['loss_terms'], rtol=1e-4, atol=0)
    total = sum(losses.values())
    torch.testing.assert_close(total.double(), golden['loss'], rtol=1e-4, atol=0)
    total.backward()
    found, expected = model.backbone.conv.weight.grad, golden['grad_weight']
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()

"""FewShotDataPreProcessor: exact normalisation, no padding, no permuted shots."""

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmssp.datasets.collate import episode_collate

MEAN, STD = [10.0, 20.0, 30.0], [2.0, 4.0, 5.0]


def preprocessor():
    return MODELS.build(
        dict(type='FewShotDataPreProcessor', mean=MEAN, std=STD, bgr_to_rgb=True)
    )


def item(value: int, shots: int = 3, size=(4, 5), shot_sizes=None) -> dict:
    """An episode whose every image is of one value, to tell them apart."""
    sizes = shot_sizes or [size] * shots
    return dict(
        inputs=dict(
            query=torch.full((3, *size), value, dtype=torch.uint8),
            support=[
                torch.full((3, *s), value + k, dtype=torch.uint8)
                for k, s in enumerate(sizes, start=1)
            ],
            support_mask=[torch.ones(s, dtype=torch.uint8) for s in sizes],
        ),
        data_samples=SegDataSample(),
    )


def normalised(value: int, channel: int) -> float:
    return (value - MEAN[channel]) / STD[channel]


@pytest.mark.parametrize('shots', [1, 2, 3, 5])
def test_each_shot_stays_in_its_place(shots):
    out = preprocessor()(episode_collate([item(50, shots), item(100, shots)]))['inputs']
    assert out['query'].shape == (2, 3, 4, 5)
    assert out['support'].shape == (2, shots, 3, 4, 5)
    assert out['support_mask'].shape == (2, shots, 4, 5)
    for b, value in enumerate((50, 100)):
        for k in range(shots):
            for channel in range(3):
                expected = normalised(value + k + 1, channel)
                found = out['support'][b, k, channel]
                torch.testing.assert_close(found, torch.full((4, 5), expected))


def test_channels_are_reversed_before_normalising():
    batch = episode_collate([item(0)])
    batch['inputs']['query'][0] = torch.tensor([1, 2, 3], dtype=torch.uint8)[
        :, None, None
    ].expand(3, 4, 5)
    query = preprocessor()(batch)['inputs']['query'][0, :, 0, 0]
    expected = [normalised(v, c) for c, v in enumerate((3, 2, 1))]
    torch.testing.assert_close(query, torch.tensor(expected))


def test_supports_of_different_size_are_not_padded():
    sizes = [(4, 5), (7, 3)]
    out = preprocessor()(episode_collate([item(0, shot_sizes=sizes)]))['inputs']
    assert [tuple(s.shape) for s in out['support'][0]] == [(3, 4, 5), (3, 7, 3)]
    assert [tuple(m.shape) for m in out['support_mask'][0]] == sizes


def test_queries_of_different_size_stay_a_list():
    out = preprocessor()(episode_collate([item(0), item(0, size=(6, 6))]))['inputs']
    assert [tuple(q.shape) for q in out['query']] == [(3, 4, 5), (3, 6, 6)]


@pytest.mark.parametrize('shots', [1, 2, 3])
def test_default_collation_is_refused(shots):
    batch = pseudo_collate([item(0, shots), item(1, shots)])
    with pytest.raises(ValueError, match='episode_collate'):
        preprocessor()(batch)


def test_inputs_of_an_ordinary_data_set_are_refused():
    batch = dict(inputs=[torch.zeros(3, 4, 4)], data_samples=[SegDataSample()])
    with pytest.raises(ValueError, match='EpisodicDataset'):
        preprocessor()(batch)

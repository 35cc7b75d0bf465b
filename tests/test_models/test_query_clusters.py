"""QueryClusters: cells that look alike are decided together."""

import pytest
import torch
from mmseg.registry import MODELS

from mmssp.models import BaselineHead, QueryClusters
from mmssp.models.prototypes import unit

AXES = torch.eye(4)


def test_cells_of_a_cluster_have_its_mean():
    query = AXES[[0, 1, 0, 1]].T[None, :, None]
    grouping = QueryClusters(clusters=2)
    maps = torch.tensor([[[[1.0, 2.0, 3.0, 6.0]]]])
    found = grouping.averaged(maps, grouping.members(query))
    assert found.flatten().tolist() == [2, 4, 2, 4]


def test_weight_mixes_a_cells_own_logits_in():
    query = AXES[[0, 1, 0, 1]].T[None, :, None]
    grouping = QueryClusters(clusters=2, weight=0.5)
    maps = torch.tensor([[[[1.0, 2.0, 3.0, 6.0]]]])
    found = grouping.averaged(maps, grouping.members(query))
    assert found.flatten().tolist() == [1.5, 3, 2.5, 5]


@pytest.mark.parametrize('kind', ['BaselineHead', 'SSPHead'])
def test_a_cluster_for_each_cell_or_no_weight_changes_nothing(kind):
    rng = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 3, 4, generator=rng)
    support = torch.randn(1, 2, 4, 3, 4, generator=rng)
    masks = torch.randint(0, 2, (1, 2, 24, 32), generator=rng)
    plain = MODELS.build(dict(type=kind, in_channels=4)).match(query, support, masks)
    for options in (dict(clusters=12), dict(weight=0.0)):
        grouping = dict(options, type='QueryClusters')
        head = MODELS.build(dict(type=kind, in_channels=4, grouping=grouping))
        for name, logits in head.match(query, support, masks).items():
            torch.testing.assert_close(logits, plain[name])


def test_a_lonely_wrong_cell_follows_its_kind():
    rng = torch.Generator().manual_seed(0)
    colours = AXES[[0] * 6 + [1] * 6].T[None].unflatten(2, (3, 4))
    query = colours + 0.05 * torch.randn(colours.shape, generator=rng)
    state = dict(foreground=AXES[1:2], background=AXES[0:1])
    # more like the background, but of the object by all other channels
    query[0, :, 2, 3] = torch.tensor([0.8, 0.7, 0, 0])
    head = BaselineHead(4, grouping=dict(type='QueryClusters', clusters=2))
    members = head.grouping.members(unit(query)).argmax(1)[0]
    found = head.match_state(query, state)['final'].argmax(1).flatten()
    assert torch.equal(found == found[0], members == members[0])


@pytest.mark.parametrize('wrong', [dict(clusters=0), dict(weight=2), dict(rounds=-1)])
def test_numbers_out_of_range_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        QueryClusters(**wrong)

"""What any matching head promises; a new one gets these tests by its line in HEADS."""

import pytest
import torch
import toy_models  # noqa: F401  registers TokenHead and ScaledHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmssp.models import MatchingHead
from mmssp.models.positional_debiasing import Encoder

CHANNELS = 6
HEADS = {
    'SSP': dict(type='SSPHead'),
    'SSP, refined': dict(type='SSPHead', refine=True),
    'SSP, dense': dict(type='SSPHead', refine=True, affinity='dense'),
    'baseline': dict(type='BaselineHead'),
    'SSP, presence': dict(
        type='SSPHead', presence_background=0.25, presence_offset=0.18
    ),
    'adaptive foreground': dict(
        type='SSPHead', refine=True, adaptive_foreground_weight=0.5
    ),
    'background of the support': dict(
        type='SSPHead', refine=True, background_support_weight=0.5
    ),
    'foreground alone': dict(type='SSPHead', background_support_weight=1.0),
    'parts': dict(type='BaselineHead', memory=dict(type='PartPrototypes', parts=3)),
    'parts and self-support': dict(
        type='SSPHead',
        refine=True,
        memory=dict(type='PartPrototypes', parts=3, background_parts=1, whole=0.8),
    ),
    'each shot, softly': dict(
        type='SSPHead',
        memory=dict(
            type='PartPrototypes', parts=1, background_parts=1, temperature=5.0
        ),
    ),
    'pixels': dict(
        type='SSPHead', similarity_scale=20.0, memory=dict(type='PixelPrototypes')
    ),
    'whitened': dict(
        type='SSPHead', refine=True, memory=dict(type='WhitenedPrototypes')
    ),
    'tokens': dict(type='BaselineHead', memory=dict(type='SupportTokens')),
    'reverse check': dict(
        type='SSPHead',
        refine=True,
        memory=dict(type='SupportTokens', compared='mean', reverse_check=True),
    ),
    'grouped': dict(type='BaselineHead', grouping=dict(type='QueryClusters')),
    'SSP, grouped': dict(
        type='SSPHead', grouping=dict(type='QueryClusters', clusters=4, weight=0.5)
    ),
    'debiased': dict(
        type='BaselineHead', debiasing=dict(type='PositionalDebiasing', directions=2)
    ),
    'SSP, debiased': dict(
        type='SSPHead',
        refine=True,
        debiasing=dict(type='PositionalDebiasing', directions=2),
        grouping=dict(type='QueryClusters', clusters=4),
    ),
    'of varying size': dict(type='TokenHead'),
    'learned': dict(type='ScaledHead'),
}
STAGES = {'final', 'stage1', 'baseline'}


@pytest.fixture(params=HEADS)
def head(request) -> MatchingHead:
    return build(request.param)


def build(name: str) -> MatchingHead:
    """A head that is told of the place by features of its own."""
    head = MODELS.build(dict(HEADS[name], in_channels=CHANNELS))
    head.attach(Encoder(placed, lambda: ()))
    return head


def placed(size: tuple[int, int]) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(1, CHANNELS, *size, generator=rng)


def batch(episodes=2, shots=3, size=(5, 6), dtype=torch.float32) -> tuple[Tensor, ...]:
    """Query features, support features, query masks, support masks."""
    rng = torch.Generator().manual_seed(0)
    big = (8 * size[0], 8 * size[1])

    def labels(*shape: int) -> Tensor:
        values = torch.tensor([0, 1, 1, 255], dtype=torch.uint8)
        return values[torch.randint(0, 4, (*shape, *big), generator=rng)]

    query = torch.randn(episodes, CHANNELS, *size, generator=rng).to(dtype)
    support = torch.randn(episodes, shots, CHANNELS, *size, generator=rng).to(dtype)
    return query, support, labels(episodes), labels(episodes, shots)


def test_matching_is_its_four_steps(head):
    query, support, _, masks = batch(episodes=1)
    shots = [head.shot_state(support[:, k], masks[:, k]) for k in range(3)]
    found = head.match_state(head.prepare(query), head.combine(shots))
    expected = head.match(query, support, masks)
    assert found.keys() == expected.keys() == STAGES
    for stage in STAGES:
        assert found[stage].shape == (1, 2, 5, 6)
        torch.testing.assert_close(found[stage], expected[stage])


def test_presence_is_told_of_each_cell(head):
    query, support, _, masks = batch()
    first_guess = head.match(query, support, masks)['baseline']
    told = head.presence_margins(first_guess, 3)
    assert told.shape == (2, 5, 6)
    assert told.isfinite().all()
    # what is more like the class is not less sure of it
    surer = first_guess + torch.tensor([0.0, 1.0])[:, None, None]
    assert (head.presence_margins(surer, 3) > told).all()


def test_features_do_in_the_place_of_prepared_ones(head):
    query, support, _, masks = batch()
    state = head.support_state(support, masks)
    found, expected = (head.match_state(q, state) for q in (query, head.prepare(query)))
    for stage in STAGES:
        torch.testing.assert_close(found[stage], expected[stage])


def test_a_batch_is_its_episodes(head):
    query, support, _, masks = batch()
    together = head.match(query, support, masks)
    prepared = head.match_state(head.prepare(query), head.support_state(support, masks))
    for i in range(2):
        alone = head.match(query[i : i + 1], support[i : i + 1], masks[i : i + 1])
        for stage in STAGES:
            for found in (together, prepared):
                torch.testing.assert_close(found[stage][i : i + 1], alone[stage])


def test_one_query_is_matched_with_several_supports_at_once(head):
    query, support, _, masks = batch(episodes=3)
    several = head.expand(head.prepare(query[:1]), 3)
    if several is None:
        # it has a query of its own kind, or sums over pixels that differ
        options = getattr(head, 'options', None)
        assert options is None or options.affinity == 'auto'
        return
    found = head.match_state(several, head.support_state(support, masks))
    for i in range(3):
        alone = head.match(query[:1], support[i : i + 1], masks[i : i + 1])
        for stage in STAGES:
            torch.testing.assert_close(found[stage][i : i + 1], alone[stage])


def test_lists_give_what_tensors_give(head):
    query, support, truth, masks = batch()
    lists = [[list(episode) for episode in x] for x in (support, masks)]
    found, expected = head.match(query, *lists), head.match(query, support, masks)
    for stage in STAGES:
        torch.testing.assert_close(found[stage], expected[stage])
    listed = head.loss(query, lists[0], truth, lists[1])
    stacked = head.loss(query, support, truth, masks)
    assert listed.keys() == stacked.keys()
    for name, value in stacked.items():
        torch.testing.assert_close(listed[name], value)


def test_one_shot_is_its_own_state(head):
    _, support, _, masks = batch(episodes=1, shots=1)
    shot = head.shot_state(support[:, 0], masks[:, 0])
    for name, value in head.combine([shot]).items():
        assert torch.equal(value, shot[name])


def test_everything_learns(head):
    query, support, truth, masks = batch()
    query.requires_grad_()
    support.requires_grad_()
    losses = head.loss(query, support, truth, masks)
    assert 'loss_final' in losses
    assert all(name.startswith('loss_') for name in losses)
    sum(losses.values()).backward()
    for leaf in (query, support, *head.parameters()):
        assert torch.isfinite(leaf.grad).all()
        assert leaf.grad.abs().sum() > 0


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_matched_in_float32(dtype, head):
    query, support, _, masks = batch(dtype=dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = head.match(query, support, masks)
        prepared = head.prepare(query)
        by_steps = head.match_state(prepared, head.support_state(support, masks))
    expected = head.match(query.float(), support.float(), masks)
    for stage in STAGES:
        assert found[stage].dtype == by_steps[stage].dtype == torch.float32
        torch.testing.assert_close(found[stage], expected[stage])
        torch.testing.assert_close(by_steps[stage], expected[stage])


@pytest.mark.parametrize('content', [0, 1, 255])
def test_masks_of_one_value_give_numbers(content, head):
    query, support, truth, masks = batch()
    query.requires_grad_()
    losses = head.loss(
        query, support, torch.full_like(truth, content), torch.full_like(masks, content)
    )
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(query.grad).all()


def test_features_of_zeros_give_numbers(head):
    query, support, truth, masks = batch()
    query = torch.zeros_like(query).requires_grad_()
    sum(head.loss(query, support, truth, masks).values()).backward()
    assert torch.isfinite(query.grad).all()


def test_double_precision_stays(head):
    query, support, _, masks = batch(dtype=torch.float64)
    head.double()
    assert head.match(query, support, masks)['final'].dtype == torch.float64


def test_its_own_state_is_accepted_and_another_refused(head):
    for size, shots in (((5, 6), 3), ((1, 1), 1), ((9, 2), 2)):
        _, support, _, masks = batch(episodes=1, shots=shots, size=size)
        state = head.support_state(support, masks)
        head.check_state(state)
        name = sorted(state)[0]
        for wrong in (
            {k: v for k, v in state.items() if k != name},
            {**state, 'other': state[name]},
            {**state, name: state[name][..., None]},
            {**state, name: state[name].double()},
            {**state, name: torch.cat([state[name]] * 2)},
        ):
            with pytest.raises(ValueError, match='expected one like'):
                head.check_state(wrong)


def test_the_state_of_a_model_loads(head):
    other = MODELS.build(dict(type=type(head).__name__, in_channels=CHANNELS))
    other.load_state_dict(head.state_dict())


def test_a_head_without_its_two_steps_cannot_be_made():
    with pytest.raises(TypeError, match='match_state'):
        type('Half', (MatchingHead,), dict(shot_state=lambda *_: {}))(CHANNELS)


@pytest.mark.parametrize(
    'name',
    ['SSP, dense', 'baseline', 'of varying size', 'learned']
    + ['parts', 'tokens', 'grouped', 'debiased'],
)
def test_an_exporter_can_take_it(name):
    class Match(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = build(name)

        def forward(self, query, support, masks):
            return self.head.match(query, support, masks)['final']

    query, support, _, masks = batch()
    model = Match().eval()
    with torch.no_grad():
        expected = model(query, support, masks)
        exported = torch.export.export(model, (query, support, masks)).module()
        found = exported(query, support, masks)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)

"""SSPHead against an independent slow implementation, and its edges."""

import numpy as np
import pytest
import ssp_oracle
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mmseg.registry import MODELS

from mmssp.models import SSPHead
from mmssp.models.decode_heads import ssp_head

CONTENTS = ('random', 'no foreground', 'no background', 'all ignored', 'one pixel')


def make_mask(rng: np.random.Generator, content: str, size: tuple) -> np.ndarray:
    mask = rng.choice([0, 0, 1, 1, 255], size)
    if content == 'no foreground':
        mask[mask == 1] = 0
    elif content == 'no background':
        mask[mask == 0] = 1
    elif content == 'all ignored':
        mask[:] = 255
    elif content == 'one pixel':
        mask[mask == 1] = 0
        mask[0, 0] = 1
    return mask.astype(np.uint8)


@st.composite
def batches(draw) -> dict:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    episodes, shots = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    channels = draw(st.integers(1, 9))
    h, w = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    big = (draw(st.integers(1, 20)), draw(st.integers(1, 20)))
    content = draw(st.sampled_from(CONTENTS))
    # a common direction makes some pixels confident and some not
    spread = draw(st.sampled_from([0.05, 0.5, 3.0]))
    base = rng.normal(size=(channels, 1, 1))

    def features() -> np.ndarray:
        return base + spread * rng.normal(size=(channels, h, w))

    return dict(
        refine=draw(st.booleans()),
        episodes=[
            (
                features(),
                make_mask(rng, draw(st.sampled_from(CONTENTS)), big),
                [features() for _ in range(shots)],
                [make_mask(rng, content, big) for _ in range(shots)],
            )
            for _ in range(episodes)
        ],
    )


def head(**kwargs):
    return MODELS.build(dict(type='SSPHead', in_channels=1, **kwargs))


def tensors(batch: dict, dtype: torch.dtype) -> dict:
    queries, truths, supports, masks = zip(*batch['episodes'], strict=True)
    return dict(
        query_features=torch.tensor(np.stack(queries), dtype=dtype),
        support_features=torch.tensor(np.stack(supports), dtype=dtype),
        query_mask=torch.tensor(np.stack(truths)),
        support_mask=torch.tensor(np.stack(masks)),
    )


def thresholds_are_clear(batch: dict, margin: float) -> bool:
    """Whether no choice of confident pixels hangs on rounding."""
    for query, _, supports, masks in batch['episodes']:
        matched = ssp_oracle.match(query, supports, masks)
        for stage in ('baseline', 'stage1'):
            probability = ssp_oracle.softmax(matched[stage])
            for p, threshold in ((probability[1], 0.7), (probability[0], 0.6)):
                flat = np.sort(p.ravel())[::-1]
                if (abs(flat - threshold) < margin).any():
                    return False
                none_above = (flat <= threshold).all() and len(flat) > 12
                if none_above and flat[11] - flat[12] < margin:
                    return False
    return True


@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float64, 1e-9), (torch.float32, 2e-4)]
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(batch=batches())
def test_agrees_with_the_slow_oracle(dtype, tolerance, batch):
    assume(thresholds_are_clear(batch, 1e-10 if dtype == torch.float64 else 1e-4))
    inputs = tensors(batch, dtype)
    truth = inputs.pop('query_mask')
    model = head(refine=batch['refine'])
    model.channels = inputs['query_features'].shape[1]
    found = model.match(**inputs)
    for i, (query, _, supports, masks) in enumerate(batch['episodes']):
        expected = ssp_oracle.match(query, supports, masks)
        expected['final'] = expected['refined' if batch['refine'] else 'stage1']
        for stage in ('baseline', 'stage1', 'final'):
            np.testing.assert_allclose(
                found[stage][i].numpy(), expected[stage], rtol=0, atol=tolerance
            )
    losses = model.loss(query_mask=truth, **inputs)
    expected = ssp_oracle.losses(batch['episodes'], batch['refine'])
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, abs=tolerance, rel=1e-4)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(batch=batches())
def test_supports_in_lists_give_what_stacked_ones_give(batch):
    inputs = tensors(batch, torch.float64)
    model = head(refine=batch['refine'])
    stacked = model.loss(**inputs)
    for name in ('support_features', 'support_mask'):
        inputs[name] = [list(episode) for episode in inputs[name]]
    listed = model.loss(**inputs)
    for name, value in stacked.items():
        torch.testing.assert_close(listed[name], value, rtol=1e-6, atol=1e-9)


def test_supports_of_different_sizes_match_the_oracle():
    rng = np.random.default_rng(0)
    sizes = [(3, 5), (4, 2)]
    query = rng.normal(size=(6, 4, 4))
    supports = [rng.normal(size=(6, *size)) for size in sizes]
    masks = [make_mask(rng, 'random', (8 * h, 8 * w)) for h, w in sizes]
    truth = make_mask(rng, 'random', (32, 32))
    losses = head(refine=True).loss(
        torch.tensor(query)[None],
        [[torch.tensor(support) for support in supports]],
        torch.tensor(truth)[None],
        [[torch.tensor(mask) for mask in masks]],
    )
    expected = ssp_oracle.losses([(query, truth, supports, masks)], refine=True)
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-6)


def test_an_adaptive_foreground_agrees_with_the_slow_one():
    rng = np.random.default_rng(0)
    query = rng.normal(size=(6, 4, 4))
    support, mask = rng.normal(size=(6, 3, 5)), make_mask(rng, 'random', (24, 40))
    model = head(adaptive_foreground_weight=0.4)
    model.channels = 6
    found = model.match(
        *(torch.tensor(x)[None] for x in (query, support[None], mask[None]))
    )
    matched = ssp_oracle.match(query, [support], [mask])
    guess = matched['baseline']
    ssfp, ssbp, asbp = ssp_oracle.self_support(query, guess)
    # the background of exchanged logits, and of the threshold that is foreground's
    pixels = query.reshape(6, -1).T
    chosen = pixels[ssp_oracle.chosen(ssp_oracle.softmax(guess)[1], 0.7)]
    asfp = np.zeros_like(pixels)
    for i, pixel in enumerate(pixels):
        cosines = np.array([2 * ssp_oracle.cosine(pixel, other) for other in chosen])
        asfp[i] = ssp_oracle.softmax(cosines) @ chosen
    own = 0.6 * ssfp[:, None, None] + 0.4 * asfp.T.reshape(6, 4, 4)
    p_f = 0.5 * ssp_oracle.pool(support, mask == 1)[:, None, None] + 0.5 * own
    p_b = 0.3 * ssbp[:, None, None] + 0.7 * asbp
    for side, prototypes in enumerate((p_b, p_f)):
        expected = [
            [
                10 * ssp_oracle.cosine(query[:, y, x], prototypes[:, y, x])
                for x in range(4)
            ]
            for y in range(4)
        ]
        np.testing.assert_allclose(found['stage1'][0, side], expected, atol=1e-9)


@pytest.mark.parametrize('refine', [False, True])
def test_self_support_of_the_foreground_alone_leaves_the_background(refine):
    inputs = random_batch()
    inputs.pop('query_mask')
    found = head(background_support_weight=1.0, refine=refine).match(**inputs)
    logits = found['stage1'][:, 0]
    torch.testing.assert_close(logits, found['baseline'][:, 0])
    assert not torch.allclose(found['stage1'][:, 1], found['baseline'][:, 1])


def test_nothing_of_the_query_is_the_baseline():
    inputs = random_batch()
    inputs.pop('query_mask')
    options = dict(support_weight=1.0, background_support_weight=1.0)
    found = head(**options, refine=True).match(**inputs)
    for stage in ('stage1', 'final'):
        torch.testing.assert_close(found[stage], found['baseline'])


def test_one_background_prototype_needs_no_affinity(monkeypatch):
    def refuse(*_):
        raise AssertionError('affinity was asked for')

    for kind in ('SparseAffinity', 'DenseAffinity'):
        monkeypatch.setattr(f'mmssp.models.affinity.{kind}.sums', refuse)
    inputs = random_batch()
    inputs.pop('query_mask')
    head(global_background_weight=1.0, refine=True).match(**inputs)
    with pytest.raises(AssertionError, match='asked for'):
        head(global_background_weight=0.9).match(**inputs)


def random_batch(shots: int = 2, size: int = 6) -> dict:
    torch.manual_seed(0)
    return dict(
        query_features=torch.randn(2, 5, size, size, requires_grad=True),
        support_features=torch.randn(2, shots, 5, size, size, requires_grad=True),
        query_mask=torch.randint(0, 2, (2, 24, 24)),
        support_mask=torch.randint(0, 2, (2, shots, 24, 24)),
    )


def test_head_has_no_parameters():
    assert list(head().parameters()) == []
    assert head().state_dict() == {}


def test_baseline_returns_the_first_guess_for_every_stage():
    inputs = random_batch()
    inputs.pop('query_mask')
    found = head(method='baseline', refine=True).match(**inputs)
    expected = head(method='ssp').match(**inputs)['baseline']
    for stage in ('final', 'stage1', 'baseline'):
        torch.testing.assert_close(found[stage], expected)


def test_losses_that_are_not_configured_are_left_out():
    losses = head(loss_query_self=None, loss_support_self=None).loss(**random_batch())
    assert list(losses) == ['loss_final']


def test_another_loss_can_be_put_in():
    ce = dict(type='CrossEntropyLoss', avg_non_ignore=True)
    dice = dict(type='DiceLoss', loss_weight=0.5)
    both = head(loss_decode=[ce, dice]).loss(**random_batch())['loss_final']
    separate = [
        head(loss_decode=loss).loss(**random_batch())['loss_final']
        for loss in (ce, dice)
    ]
    torch.testing.assert_close(both, sum(separate))


def test_binary_cross_entropy_is_mmsegs():
    loss = dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True)
    model, batch = head(loss_decode=loss), random_batch()
    matched = model.match(
        batch['query_features'], batch['support_features'], batch['support_mask']
    )
    logits = model.upsample(matched['final'], batch['query_mask'].shape[-2:])
    expected = MODELS.build(loss)(logits, batch['query_mask'].long())
    torch.testing.assert_close(model.loss(**batch)['loss_final'], expected)


@pytest.mark.parametrize('content', [0, 1, 255])
def test_masks_without_a_target_give_finite_losses_and_gradients(content):
    inputs = random_batch()
    inputs['support_mask'].fill_(content)
    inputs['query_mask'].fill_(content)
    total = sum(head(refine=True).loss(**inputs).values())
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(inputs['query_features'].grad).all()
    assert torch.isfinite(inputs['support_features'].grad).all()


def test_ignored_truth_contributes_no_loss():
    inputs = random_batch()
    inputs['query_mask'].fill_(255)
    losses = head(refine=True, loss_support_self=None).loss(**inputs)
    assert all(value == 0 for value in losses.values())


def test_zero_features_give_finite_logits_and_gradients():
    inputs = random_batch()
    inputs['query_features'] = torch.zeros(2, 5, 6, 6, requires_grad=True)
    total = sum(head(refine=True).loss(**inputs).values())
    total.backward()
    assert torch.isfinite(inputs['query_features'].grad).all()


def test_gradient_reaches_support_and_query():
    inputs = random_batch()
    head(loss_query_self=None, loss_support_self=None).loss(**inputs)[
        'loss_final'
    ].backward()
    assert inputs['query_features'].grad.abs().sum() > 0
    assert inputs['support_features'].grad.abs().sum() > 0


def test_gradient_equals_finite_differences():
    torch.manual_seed(0)
    query = torch.randn(1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    support = torch.randn(1, 2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    truth = torch.randint(0, 2, (1, 5, 5))
    masks = torch.randint(0, 2, (1, 2, 5, 5))
    model = head(refine=True)

    def total(query, support):
        return sum(model.loss(query, support, truth, masks).values())

    # mmseg's loss divides by a count plus a float32 epsilon: far below the tolerance
    assert torch.autograd.gradcheck(total, (query, support), atol=1e-5)


def test_half_precision_features_are_matched_in_float32():
    inputs = random_batch()
    inputs.pop('query_mask')
    half = {
        name: x.bfloat16() if x.is_floating_point() else x for name, x in inputs.items()
    }
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = head(refine=True).match(**half)['final']
    single = {
        name: x.float() if x.is_floating_point() else x for name, x in half.items()
    }
    expected = head(refine=True).match(**single)['final']
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="'magic'.*baseline"):
        head(method='magic')


def test_wrong_channel_count_is_named():
    with pytest.raises(ValueError, match='in_channels=1.*has 5 channels'):
        head().select_features((torch.zeros(1, 5, 2, 2),))


def test_feature_map_that_is_not_there_is_named():
    with pytest.raises(ValueError, match='in_index=3'):
        head(in_index=3).select_features((torch.zeros(1, 1, 2, 2),))


def test_feature_maps_can_be_joined():
    model = MODELS.build(
        dict(
            type='SSPHead',
            in_channels=[2, 3],
            in_index=[0, 1],
            input_transform='resize_concat',
        )
    )
    maps = (torch.zeros(1, 2, 8, 8), torch.zeros(1, 3, 4, 4))
    assert model.select_features(maps).shape == (1, 5, 8, 8)


def test_several_maps_are_no_input():
    with pytest.raises(ValueError, match='matches one feature map'):
        head(input_transform='multiple_select')


def test_self_matching_can_have_several_losses():
    loss = dict(type='CrossEntropyLoss', avg_non_ignore=True)
    one = head(loss_query_self=loss).loss(**random_batch())
    two = head(loss_query_self=[loss, loss]).loss(**random_batch())
    torch.testing.assert_close(two['loss_query_self'], 2 * one['loss_query_self'])


def test_a_sampler_chooses_the_pixels_of_the_loss():
    model = head(sampler=dict(type='OHEMPixelSampler', thresh=0.4, min_kept=2))
    batch = random_batch()
    truth = batch['query_mask']
    matched = model.match(
        batch['query_features'], batch['support_features'], batch['support_mask']
    )
    logits = model.upsample(matched['final'], truth.shape[-2:])
    each = torch.nn.functional.cross_entropy(logits, truth, reduction='none')
    hard = torch.exp(-each) < 0.4
    assert hard.any()
    assert not hard.all()
    expected = each[hard].sum() / truth.numel()
    torch.testing.assert_close(model.loss(**batch)['loss_final'], expected)


def test_the_baseline_has_nothing_to_explain():
    model = head(method='baseline')
    arguments = random_batch()
    state = model.support_state(
        arguments['support_features'][:1], arguments['support_mask'][:1]
    )
    with pytest.raises(ValueError, match='no self-support to explain'):
        model.explain(arguments['query_features'][:1], state)


def test_calling_the_head_is_matching():
    model = head(refine=True)
    arguments = random_batch()
    del arguments['query_mask']
    expected, found = model.match(**arguments), model(**arguments)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize('affinity', ['sparse', 'dense'])
def test_several_queries_prepared_at_once_are_matched_as_each_alone(affinity):
    model = head(refine=True, affinity=affinity)
    inputs = random_batch()
    queries = inputs['query_features']
    state = model.support_state(inputs['support_features'], inputs['support_mask'])
    together = model.match_state(model.prepare(queries), state)
    for i in range(2):
        own = {name: value[i : i + 1] for name, value in state.items()}
        alone = model.match_state(model.prepare(queries[i : i + 1]), own)
        for stage, logits in alone.items():
            torch.testing.assert_close(together[stage][i : i + 1], logits)


def test_the_baseline_by_its_name_of_0_1_is_the_baseline_and_says_so(monkeypatch):
    said = []
    monkeypatch.setattr(ssp_head, 'print_log', lambda text, *_: said.append(text))
    inputs = random_batch()
    inputs.pop('query_mask')
    found = head(method='baseline').match(**inputs)
    assert 'BaselineHead now' in ''.join(said)
    expected = MODELS.build(dict(type='BaselineHead', in_channels=1)).match(**inputs)
    for stage, logits in expected.items():
        assert torch.equal(found[stage], logits)


def test_methods_by_their_names_of_0_1_work():
    model, inputs = head(refine=True), random_batch()
    state = model.prototypes(inputs['support_features'], inputs['support_mask'])
    expected = model.support_state(inputs['support_features'], inputs['support_mask'])
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    found = model.match_prototypes(inputs['query_features'], state)['final']
    assert torch.equal(
        found, model.match_state(inputs['query_features'], state)['final']
    )


def test_a_head_that_overrides_what_is_renamed_is_told_the_new_name():
    with pytest.raises(TypeError, match='match_prototypes.. is called match_state'):
        type('OldHead', (SSPHead,), dict(match_prototypes=lambda *_: None))

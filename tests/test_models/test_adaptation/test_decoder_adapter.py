"""DecoderAdapter learns what a few labelled images show, and what it does not know."""

import numpy as np
import pytest
import torch
import toy_models  # noqa: F401  registers TwoLevels
from mmseg.registry import MODELS

from mmssp.models import Budget, DecoderAdapter, Shot
from mmssp.models.adaptation import adapt, matched
from mmssp.models.decision import margins

SIZE = (64, 96)
QUICK = dict(crops=dict(size=64), batch_size=2, lr=0.01, backbone_lr=1e-3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    built = MODELS.build(
        dict(
            type='FewShotEncoderDecoder',
            data_preprocessor=dict(type='FewShotDataPreProcessor'),
            backbone=dict(type='TwoLevels'),
            decode_head=dict(type='SSPHead', in_channels=16, in_index=1),
            test_cfg=dict(mode='whole'),
        )
    )
    return built.eval()


def scene(seed: int, colour: int = 0) -> Shot:
    """A square that is brighter in one channel, on noise."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.3, (3, *SIZE)).astype(np.float32)
    mask = np.zeros(SIZE, np.uint8)
    y, x = rng.integers(0, SIZE[0] - 24), rng.integers(0, SIZE[1] - 24)
    mask[y : y + 24, x : x + 24] = 1
    image[colour][mask == 1] += 2
    return Shot(torch.from_numpy(image), torch.from_numpy(mask))


def support_of(model, adapter, state, shots):
    """What the head makes of the shots in tuned features."""
    return model.decode_head.combine(
        [
            model.shot_state(
                matched(adapter.encode(model, s.image[None], state)), s.mask[None]
            )
            for s in shots
            if (s.mask == 1).any()
        ]
    )


def iou(model, adapter, state, shots, query: Shot) -> float:
    support = support_of(model, adapter, state, shots)
    with torch.no_grad():
        features = adapter.encode(model, query.image[None], state)
        logits = adapter.match(model, features, support, state)['final']
        found = margins(model.logits_at(logits, SIZE))[0] > 0
    truth = query.mask == 1
    return float((found & truth).sum() / (found | truth).sum())


def test_it_finds_what_five_images_show(model):
    adapter = DecoderAdapter(**QUICK)
    shots = [scene(i) for i in range(5)]
    state = adapt(adapter, model, dict(red=shots), Budget(iterations=200))['red']
    assert iou(model, adapter, state, shots, scene(9)) > 0.8
    told = adapter.described(state)
    assert 0.5 < told['expected_iou'] <= 1
    assert told['choice'].startswith('decoder')


@pytest.mark.parametrize(('iterations', 'judged'), [(130, True), (110, False)])
def test_a_smaller_budget_is_judged_for_a_larger_part_of_it(model, iterations, judged):
    adapter, parts = DecoderAdapter(**QUICK), []
    budget = Budget(
        iterations=iterations, report=lambda share, what: parts.append(what)
    )
    state = adapt(adapter, model, dict(red=[scene(i) for i in range(3)]), budget)
    assert (adapter.described(state['red'])['expected_iou'] is not None) is judged
    assert parts.count('judging') == (72 if judged else 44)
    assert len(parts) == iterations


class Slow(Budget):
    """A second an iteration."""

    @property
    def elapsed(self) -> float:
        return float(self.iterations_done)


def test_a_machine_too_slow_to_judge_on_learns_instead(model):
    adapter, parts = DecoderAdapter(**QUICK), []
    budget = Slow(seconds=60, report=lambda share, what: parts.append(what))
    state = adapt(adapter, model, dict(red=[scene(i) for i in range(3)]), budget)
    assert adapter.described(state['red'])['expected_iou'] is None
    # 24 where it went on to the latest end all the same
    assert parts.count('learning') >= 34


def test_what_was_judged_better_as_it_was_stays_where_judging_is_hopeless(model):
    shots = dict(red=[scene(i) for i in range(3)])
    budget = Budget(iterations=60)
    assert adapt(DecoderAdapter(**QUICK), model, shots, budget, dict(red={})) == dict(
        red={}
    )


def test_the_first_guess_is_that_of_matching_in_tuned_features(model):
    """By which presence is judged."""
    adapter, shots, query = DecoderAdapter(**QUICK), [scene(0), scene(1)], scene(9)
    state = adapt(adapter, model, dict(red=shots), Budget(iterations=40))['red']
    head = model.decode_head
    with torch.no_grad():
        support = support_of(model, adapter, state, shots)
        features = adapter.encode(model, query.image[None], state)
        found = adapter.match(model, features, support, state)
        matched_logits = head.match_state(head.prepare(features[0]), support)
    size = found['final'].shape[-2:]
    expected = head.upsample(matched_logits['baseline'], size)
    torch.testing.assert_close(found['baseline'], expected)


def thin(seed: int) -> Shot:
    """A green line, thinner than the cells that are matched, of stride 16."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.3, (3, *SIZE)).astype(np.float32)
    mask = np.zeros(SIZE, np.uint8)
    y = 4 * rng.integers(0, SIZE[0] // 4)
    mask[y : y + 4, 8:88] = 1
    image[1][mask == 1] += 2
    return Shot(torch.from_numpy(image), torch.from_numpy(mask))


def test_one_image_is_enough_and_nothing_is_expected_of_it(model):
    adapter = DecoderAdapter(**QUICK)
    shots = [thin(0)]
    state = adapt(adapter, model, dict(thin=shots), Budget(iterations=200))['thin']
    assert iou(model, adapter, state, shots, thin(9)) > 0.5
    assert adapter.described(state)['expected_iou'] is None


def test_one_image_that_finds_itself_is_matched_as_it_is_at_once(model):
    budget = Budget(iterations=200)
    adapter = DecoderAdapter(**QUICK)
    assert adapt(adapter, model, dict(red=[scene(0)]), budget) == dict(red={})
    assert not budget.iterations_done
    assert adapter.described({})['choice'] == 'matching as it is'


def test_of_several_classes_one_may_find_itself(model):
    """Others are learned beside it, and in whatever order they come."""
    adapter = DecoderAdapter(**QUICK)
    shots = dict(red=[scene(0)], thin=[thin(1)])
    states = adapt(adapter, model, shots, Budget(iterations=200))
    assert states['red'] == {}
    assert iou(model, adapter, states['thin'], shots['thin'], thin(9)) > 0.45
    # a class that comes later
    first = dict(thin=shots['thin'])
    before = adapt(adapter, model, first, Budget(iterations=100))
    budget = Budget(iterations=20)
    later = adapt(adapter, model, first | shots, budget, before)
    assert later['red'] == {} != later['thin']
    # and one that was known to need nothing beside one that turns out so
    budget = Budget(iterations=20)
    both = dict(red=[scene(0)], green=[scene(3, 1)])
    known = adapt(adapter, model, both, budget, before=dict(red={}))
    assert known == dict(red={}, green={})
    assert not budget.iterations_done


def test_one_image_that_finds_itself_in_others_without_it_is_learned(model):
    """What looks like the object, and is not, is told by images without it."""
    adapter, budget = DecoderAdapter(**QUICK), Budget(iterations=30)
    without = [Shot(scene(i).image, 0 * scene(i).mask) for i in range(1, 4)]
    adapt(adapter, model, dict(red=[scene(0), *without]), budget)
    assert budget.iterations_done == 30


def test_iterations_give_the_same_again_and_another_seed_does_not(model):
    shots = dict(red=[scene(i) for i in range(3)])

    def learned(seed: int):
        return adapt(
            DecoderAdapter(**QUICK, seed=seed), model, shots, Budget(iterations=50)
        )

    first, again, other = learned(0)['red'], learned(0)['red'], learned(1)['red']
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first['classifier.weight'], other['classifier.weight'])


def test_only_the_later_part_of_the_backbone_is_tuned(model):
    state = adapt(
        DecoderAdapter(**QUICK),
        model,
        dict(red=[scene(0), scene(1)]),
        Budget(iterations=50),
    )['red']
    tuned = {name for name in state if name.startswith('backbone.')}
    assert tuned == {'backbone.late.weight', 'backbone.late.bias'}
    assert not torch.equal(state['backbone.late.weight'], model.backbone.late.weight)
    untouched = adapt(
        DecoderAdapter(**dict(QUICK, backbone_lr=0)),
        model,
        dict(red=[scene(0), scene(1)]),
        Budget(iterations=50),
    )['red']
    assert not any(name.startswith('backbone.') for name in untouched)


def test_classes_learned_together_share_all_but_their_classifiers(model):
    adapter = DecoderAdapter(**QUICK)
    shots = dict(
        red=[scene(i, 0) for i in range(3)], green=[scene(i + 9, 1) for i in range(3)]
    )
    states = adapt(adapter, model, shots, Budget(iterations=200))
    red, green = (adapter.space(states[name]) for name in shots)
    assert red and all(red[name] is green[name] for name in red)
    # one class is no place of the other
    assert iou(model, adapter, states['red'], shots['red'], scene(20, 0)) > 0.7
    assert iou(model, adapter, states['red'], shots['red'], scene(20, 1)) < 0.2
    assert iou(model, adapter, states['green'], shots['green'], scene(20, 1)) > 0.7


def test_an_image_without_the_object_is_learned_from(model):
    """Green squares are in no image that shows a red one."""
    adapter = DecoderAdapter(**QUICK)
    green = scene(5, 1)
    red = [scene(i) for i in range(3)]
    without = Shot(green.image, torch.zeros_like(green.mask))
    state = adapt(adapter, model, dict(red=[*red, without]), Budget(iterations=200))[
        'red'
    ]
    assert iou(model, adapter, state, red, scene(9)) > 0.8
    assert iou(model, adapter, state, red, scene(30, 1)) < 0.1


def test_pixels_that_are_not_marked_count_for_nothing(model):
    """Of a wrong part of the masks that is ignored nothing is learned."""
    shots = []
    for i in range(4):
        shot = scene(i)
        mask = shot.mask.clone()
        mask[:, ::2] = 255
        mask[::2] = 255
        shots.append(Shot(shot.image, mask))
    adapter = DecoderAdapter(**QUICK)
    state = adapt(adapter, model, dict(red=shots), Budget(iterations=200))['red']
    assert iou(model, adapter, state, [scene(i) for i in range(4)], scene(9)) > 0.7


def test_it_goes_on_from_what_was_learned(model):
    adapter = DecoderAdapter(**QUICK)
    shots = [scene(i) for i in range(4)]
    before = adapt(adapter, model, dict(red=shots), Budget(iterations=200))
    more = [*shots, scene(7)]
    after = adapt(adapter, model, dict(red=more), Budget(iterations=4), before)['red']
    assert iou(model, adapter, after, more, scene(9)) > 0.8
    anew = adapt(adapter, model, dict(red=more), Budget(iterations=4))['red']
    assert iou(model, adapter, anew, more, scene(9)) < 0.8
    # what judged the first time still holds
    assert torch.equal(after['mixture'], before['red']['mixture'])


def test_what_was_judged_better_as_it_was_stays_where_nothing_is_judged(model):
    adapter = DecoderAdapter(**QUICK)
    shots = dict(
        red=[scene(i) for i in range(4)], green=[scene(i, 1) for i in range(4)]
    )
    both = adapt(adapter, model, shots, Budget(iterations=200))
    assert both['red'] and both['green']
    budget = Budget(iterations=40)
    assert adapt(adapter, model, shots, budget, dict(red={}, green={})) == dict(
        red={}, green={}
    )
    assert budget.iterations_done == 0
    # beside a class that is learned on
    found = adapt(adapter, model, shots, Budget(iterations=4), dict(both, red={}))
    assert found['red'] == {}
    assert found['green']
    # with time to judge, it is judged anew
    again = adapt(adapter, model, shots, Budget(iterations=200), dict(red={}, green={}))
    assert again['red']


def test_learning_that_diverges_falls_back(model):
    adapter = DecoderAdapter(**QUICK)
    image = scene(0).image.clone()
    image[0, 0, 0] = torch.inf
    budget = Budget(iterations=40)
    shots = [Shot(image, scene(0).mask), scene(1)]
    states = adapt(adapter, model, dict(red=shots), budget)
    assert states == dict(red={})
    assert budget.iterations_done
    assert adapter.described({})['choice'] == 'matching as it is'


def test_a_stopped_budget_keeps_what_there_is(model):
    adapter = DecoderAdapter(**QUICK)
    seen = []

    def stop_soon(share: float, what: str) -> None:
        seen.append(what)
        budget.stopped = len(seen) >= 5

    budget = Budget(iterations=10_000, report=stop_soon)
    shots = [scene(i) for i in range(3)]
    state = adapt(adapter, model, dict(red=shots), budget)['red']
    assert set(adapter.space(state))
    # every part does one iteration at least
    assert budget.iterations_done < 12


def test_another_neck_of_mmseg_can_be_named(model):
    neck = dict(type='FPN', out_channels=8, num_outs=2)
    adapter = DecoderAdapter(neck=neck, **QUICK)
    shots = [scene(i) for i in range(3)]
    state = adapt(adapter, model, dict(red=shots), Budget(iterations=200))['red']
    assert iou(model, adapter, state, shots, scene(9)) > 0.7


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(batch_size=0), 'batch_size=0: expected an integer of 1 or more'),
        (dict(lr=-1), 'lr=-1: expected a number of 0 to 1'),
        (dict(iterations=0), 'iterations=0'),
        (dict(crops=dict(size=8)), 'size=8: expected an integer of 32 or more'),
        (dict(crops=dict(scale=(2, 1))), 'expected the smaller number first'),
    ],
)
def test_arguments_out_of_range_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        DecoderAdapter(**wrong)

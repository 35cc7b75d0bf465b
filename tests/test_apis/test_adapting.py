"""FewShotInferencer learns from labelled images, keeps it, and goes on from there."""

import os
import signal

import numpy as np
import pytest
import torch
import toy_models  # noqa: F401  registers TwoLevels

from mmssp.apis import Box, FewShotInferencer, Points
from mmssp.models import DecoderAdapter

CONFIG = """
model = dict(
    type='FewShotEncoderDecoder',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor', mean=[127.] * 3, std=[64.] * 3, bgr_to_rgb=True,
    ),
    backbone=dict(type='TwoLevels'),
    decode_head=dict(type='SSPHead', in_channels=16, in_index=1),
    adapter=dict(
        type='DecoderAdapter', crops=dict(size=64), batch_size=2, lr=0.01, backbone_lr=1e-3,
    ),
)
"""
SIZE = (97, 131)
COLOURS = dict(red=(220, 30, 30), blue=(30, 30, 220))


@pytest.fixture
def inferencer(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(CONFIG)
    torch.manual_seed(0)
    return FewShotInferencer(path, device='cpu', image_size=96, presence_threshold=0)


def scene(seed: int, colour: str = 'red', side: int = 40):
    """A grey image with a square of a colour, and its mask."""
    rng = np.random.default_rng(seed)
    image, mask = rng.normal(128, 12, (*SIZE, 3)), np.zeros(SIZE, np.uint8)
    y, x = rng.integers(0, SIZE[0] - side), rng.integers(0, SIZE[1] - side)
    mask[y : y + side, x : x + side] = 1
    image[mask == 1] = COLOURS[colour]
    return image.clip(0, 255).astype(np.uint8), mask


def show(inferencer, name='red', shots=3, start=0) -> None:
    images, masks = zip(*(scene(start + i, name) for i in range(shots)), strict=True)
    inferencer.set_support(list(images), list(masks), name)


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def test_learning_makes_masks_better_and_leaves_the_model_as_it_is(inferencer):
    show(inferencer)
    image, truth = scene(9)
    before = {k: v.clone() for k, v in inferencer.model.state_dict().items()}
    unadapted = iou(inferencer.predict(image).mask == 1, truth == 1)
    learned = inferencer.adapt(iterations=200, progress=False)['red']
    adapted = iou(inferencer.predict(image).mask == 1, truth == 1)
    assert adapted > max(0.85, unadapted)
    assert learned.iterations == 200
    assert learned.seconds > 0
    assert 0.5 < learned.expected_iou <= 1
    after = inferencer.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    # another one with the same model has learned nothing
    assert not inferencer.fork().names


def test_a_model_without_an_adapter_has_the_usual_one():
    assert isinstance(FewShotInferencer(device='cpu').adapter, DecoderAdapter)


def test_seconds_are_kept(inferencer):
    show(inferencer)
    learned = inferencer.adapt(0.5, progress=False)['red']
    assert 0.5 <= learned.seconds < 5


def test_several_classes_learn_at_once(inferencer, tmp_path):
    show(inferencer, 'red')
    show(inferencer, 'blue', start=50)
    inferencer.adapt(iterations=200, progress=False)
    for number, name in enumerate(('red', 'blue'), start=1):
        image, truth = scene(90, name)
        found = inferencer.predict(image).mask
        assert iou(found == number, truth == 1) > 0.8
        assert not (found == 3 - number).any()
    # what both share is written once
    inferencer.save_support(tmp_path / 'both.bank')
    inferencer.remove_support('blue')
    inferencer.save_support(tmp_path / 'one.bank')
    sizes = [(tmp_path / f'{n}.bank').stat().st_size for n in ('both', 'one')]
    assert sizes[0] < 1.5 * sizes[1]


def test_what_was_learned_is_kept_in_a_file(inferencer, tmp_path):
    show(inferencer, 'red')
    show(inferencer, 'blue', start=50)
    inferencer.adapt(iterations=60, progress=False)
    assert all(s.adapted for s in inferencer._supports.values())
    image, _ = scene(9)
    expected = inferencer.predict(image)
    inferencer.save_support(tmp_path / 'a.bank')
    other = inferencer.fork()
    other.load_support(tmp_path / 'a.bank')
    found = other.predict(image)
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert found.scores == expected.scores
    # and again, from there
    other.save_support(tmp_path / 'b.bank')
    assert (tmp_path / 'a.bank').read_bytes() == (tmp_path / 'b.bank').read_bytes()
    with pytest.raises(ValueError, match='images of red are not at hand'):
        other.adapt()
    with pytest.raises(ValueError, match='red: its support was loaded from a file'):
        other.add_support(*scene(3), 'red')


def test_what_was_learned_is_gone_on_with_from_a_file(inferencer, tmp_path):
    image, _ = scene(9)
    show(inferencer)
    inferencer.adapt(iterations=60, progress=False)
    expected = inferencer.predict(image)
    inferencer.save_support(tmp_path / 'learned.bank')
    other = inferencer.fork()
    show(other, shots=3)
    assert other.load_learned(tmp_path / 'learned.bank') == ('red',)
    assert np.array_equal(other.predict(image).probabilities, expected.probabilities)
    # unlike after load_support, the images are at hand
    other.add_support(*scene(5), 'red')
    assert other.num_shots == {'red': 4}
    other.adapt(iterations=2, progress=False)
    # nothing of it is about another class
    show(another := inferencer.fork(), 'blue')
    before = another.predict(image).probabilities
    assert another.load_learned(tmp_path / 'learned.bank') == ()
    assert np.array_equal(another.predict(image).probabilities, before)


def test_one_image_that_is_found_well_leaves_all_open(inferencer, tmp_path):
    """Nothing was judged, so that more images are learned from, in a short time too."""
    show(inferencer, shots=1)
    image, truth = scene(9)
    as_it_is = inferencer.predict(image).probabilities
    assert iou(inferencer.predict(scene(0)[0]).mask == 1, scene(0)[1] == 1) > 0.4
    learned = inferencer.adapt(iterations=200, progress=False)['red']
    assert (learned.iterations, learned.decided) == (0, 'by matching as it is')
    assert np.array_equal(inferencer.predict(image).probabilities, as_it_is)
    inferencer.save_support(tmp_path / 'red.bank')
    show(other := inferencer.fork(), shots=2)
    assert other.load_learned(tmp_path / 'red.bank') == ()
    inferencer.add_support(*scene(1), 'red')
    learned = inferencer.adapt(iterations=50, progress=False)['red']
    assert learned.iterations == 50
    assert iou(inferencer.predict(image).mask == 1, truth == 1) > 0.7


def test_a_class_that_is_better_as_it_was_is_not_touched_by_a_short_time(
    inferencer, tmp_path, monkeypatch
):
    """Ten seconds cannot judge; a minute found that nothing of use is learned."""
    show(inferencer)
    image, _ = scene(9)
    plain = inferencer.predict(image).probabilities
    with monkeypatch.context() as patch:
        patch.setattr(DecoderAdapter, 'adapt', lambda *args: dict(red={}))
        inferencer.adapt(iterations=200, progress=False)
    for step in ('at once', 'from a file'):
        if step == 'from a file':
            inferencer.save_support(tmp_path / 'red.bank')
            show(inferencer)
            inferencer.load_learned(tmp_path / 'red.bank')
        told = inferencer.adapt(iterations=40, progress=False)['red']
        assert told.choice == 'matching as it is'
        assert np.array_equal(inferencer.predict(image).probabilities, plain)
    # a short time by itself says nothing
    show(inferencer)
    with monkeypatch.context() as patch:
        patch.setattr(DecoderAdapter, 'adapt', lambda *args: dict(red={}))
        inferencer.adapt(iterations=3, progress=False)
    inferencer.adapt(iterations=40, progress=False)
    assert not np.array_equal(inferencer.predict(image).probabilities, plain)


def test_images_are_added_and_removed_and_learning_goes_on(inferencer):
    show(inferencer)
    inferencer.adapt(iterations=200, progress=False)
    image, truth = scene(9)
    before = inferencer.predict(image).probabilities
    inferencer.add_support(*scene(20), 'red')
    assert inferencer.num_shots == dict(red=4)
    # what was learned is still there
    assert iou(inferencer.predict(image).mask == 1, truth == 1) > 0.8
    inferencer.remove_support('red', 3)
    assert np.allclose(inferencer.predict(image).probabilities, before, atol=1e-5)
    inferencer.add_support(*scene(20), 'red')
    inferencer.adapt(iterations=3, progress=False)
    assert iou(inferencer.predict(image).mask == 1, truth == 1) > 0.8
    with pytest.raises(ValueError, match='index=4: red has 4 support images'):
        inferencer.remove_support('red', 4)


def test_setting_a_support_anew_forgets_what_was_learned(inferencer):
    show(inferencer)
    image, _ = scene(9)
    before = inferencer.predict(image).probabilities
    inferencer.adapt(iterations=50, progress=False)
    show(inferencer)
    assert np.array_equal(inferencer.predict(image).probabilities, before)


def test_an_image_without_the_object_is_a_statement(inferencer):
    show(inferencer)
    image, truth = scene(9)
    before = inferencer.predict(image).probabilities
    inferencer.add_support(scene(60, 'blue')[0], None, 'red')
    # matching has nothing of it
    assert np.array_equal(inferencer.predict(image).probabilities, before)
    assert len(inferencer.check_support('red')['iou']) == 3
    inferencer.adapt(iterations=200, progress=False)
    assert iou(inferencer.predict(image).mask == 1, truth == 1) > 0.8
    assert not inferencer.predict(scene(61, 'blue')[0]).mask.any()


def test_a_class_that_no_image_shows_is_refused(inferencer):
    image, _ = scene(0)
    with pytest.raises(ValueError, match='red: no support image shows it'):
        inferencer.set_support([image], [None], 'red')
    with pytest.raises(ValueError, match='red: the first support images'):
        inferencer.add_support([image], [None], 'red')
    show(inferencer, shots=1)
    inferencer.add_support(image, None, 'red')
    with pytest.raises(ValueError, match='no other support image shows it'):
        inferencer.remove_support('red', 0)
    assert inferencer.num_shots == dict(red=2)


def test_a_correction_holds_for_its_image_and_does_not_harm_the_others(inferencer):
    """Bars of nearly its colour are taken for the object, until a person says no."""
    show(inferencer)
    inferencer.adapt(iterations=200, progress=False)
    queries = [scene(70 + i) for i in range(4)]
    for image, _ in queries:
        image[40:52] = (220, 90, 30)
    truth = queries[0][1]
    for _, mask in queries:
        mask[40:52] = 0

    def ious():
        return [iou(inferencer.predict(i).mask == 1, t == 1) for i, t in queries]

    before = ious()
    result = inferencer.predict(queries[0][0])
    fixed = result.corrected(truth)
    assert np.array_equal(fixed.mask, truth)
    assert fixed.present == dict(red=True)
    inferencer.add_support(fixed.image, fixed.mask, 'red')
    inferencer.adapt(iterations=200, progress=False)
    after = ious()
    assert after[0] > max(0.8, before[0])
    assert np.mean(after[1:]) >= np.mean(before[1:])


def test_a_corrected_result_is_exactly_what_was_given(inferencer):
    show(inferencer, 'red')
    show(inferencer, 'blue', start=50)
    result = inferencer.predict(scene(9)[0])
    labels = np.zeros(SIZE, np.uint8)
    labels[:5, :7] = 2
    fixed = result.corrected(labels)
    assert np.array_equal(fixed.mask, labels)
    assert fixed.present == dict(red=False, blue=True)
    assert fixed.areas == dict(red=0, blue=35)
    assert np.array_equal(fixed.with_threshold(0.9).mask, labels)
    assert [a['category'] for a in fixed.to_coco()] == ['blue']
    # the first stays what it was
    assert not np.array_equal(result.mask, labels)
    for wrong in (labels[1:], labels.astype(float), labels + 1):
        with pytest.raises(ValueError, match='expected'):
            result.corrected(wrong)


def test_the_image_that_is_unlike_the_support_is_suggested_first(inferencer):
    show(inferencer)
    inferencer.adapt(iterations=200, progress=False)
    clear = [scene(80 + i)[0] for i in range(3)]
    # nearly grey: is that red?
    odd, mask = scene(90)
    odd[mask == 1] = (150, 110, 110)
    order = inferencer.suggest([clear[0], clear[1], odd, clear[2]])
    assert order[0][0] == 2
    assert sorted(i for i, _ in order) == [0, 1, 2, 3]
    assert all(0 <= doubt <= 1 for _, doubt in order)
    assert [d for _, d in order] == sorted((d for _, d in order), reverse=True)


def test_progress_is_told(inferencer):
    show(inferencer)
    told = []
    inferencer.adapt(
        iterations=60, progress=lambda share, what: told.append((share, what))
    )
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert {what for _, what in told} == {'judging', 'learning'}


def test_interrupting_keeps_what_there_is(inferencer):
    show(inferencer)
    before = signal.getsignal(signal.SIGINT)

    def interrupt(share: float, what: str) -> None:
        if share > 0.5:
            os.kill(os.getpid(), signal.SIGINT)

    learned = inferencer.adapt(iterations=40, progress=interrupt)['red']
    assert 20 <= learned.iterations < 40
    assert signal.getsignal(signal.SIGINT) is before
    image, truth = scene(9)
    assert iou(inferencer.predict(image).mask == 1, truth == 1) > 0.5


def test_learned_features_may_be_made_in_half_precision(inferencer):
    show(inferencer)
    inferencer.adapt(iterations=200, progress=False)
    image, truth = scene(9)
    expected = inferencer.predict(image).mask
    inferencer.dtype = torch.bfloat16
    found = inferencer.predict(image).mask
    assert iou(found == 1, truth == 1) > 0.8
    assert iou(found == 1, expected == 1) > 0.9


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(seconds=-1), 'seconds=-1: expected a number above 0'),
        (dict(seconds=None), 'expected one of them'),
        (dict(iterations=-3), 'iterations=-3'),
    ],
)
def test_budgets_that_are_none_are_refused(inferencer, wrong, message):
    show(inferencer)
    with pytest.raises(ValueError, match=message):
        inferencer.adapt(**wrong)


def test_adapting_without_support_is_refused(inferencer):
    with pytest.raises(ValueError, match='no support yet'):
        inferencer.adapt()


def test_boxes_and_points_are_learned_from(inferencer):
    """What they leave open counts for nothing."""
    images, marks = [], []
    for i in range(3):
        image, mask = scene(i)
        ys, xs = np.nonzero(mask)
        images.append(image)
        inside = [(int(x), int(y)) for x, y in zip(xs[::97], ys[::97], strict=True)]
        outside = [(x, y) for x in range(3, 130, 16) for y in range(3, 96, 16)]
        outside = [(x, y) for x, y in outside if not mask[y, x]]
        marks.append(Points(inside, outside))
    image, mask = scene(3)
    ys, xs = np.nonzero(mask)
    images.append(image)
    marks.append(Box(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    inferencer.set_support(images, marks, 'red')
    inferencer.adapt(iterations=150, progress=False)
    image, truth = scene(9)
    assert iou(inferencer.predict(image).mask == 1, truth == 1) > 0.7


def test_large_images_are_learned_from_in_tiles(tmp_path):
    """Their own resolution is kept, and tiles of learned features fit together."""
    path = tmp_path / 'config.py'
    path.write_text(CONFIG)
    torch.manual_seed(0)
    inferencer = FewShotInferencer(
        path, device='cpu', tile=64, image_size=64, presence_threshold=0
    )
    show(inferencer)
    inferencer.adapt(iterations=200, progress=False)
    image, truth = scene(9)
    assert iou(inferencer.predict(image).mask == 1, truth == 1) > 0.8


def test_small_objects_are_learned(inferencer):
    """A thousandth of the image."""
    shots = [scene(i, side=4) for i in range(4)]
    inferencer.set_support([i for i, _ in shots], [m for _, m in shots], 'red')
    inferencer.adapt(iterations=800, progress=False)
    image, truth = scene(9, side=4)
    assert iou(inferencer.predict(image).mask == 1, truth == 1) > 0.3

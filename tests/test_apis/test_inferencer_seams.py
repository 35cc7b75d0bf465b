"""FewShotInferencer with any head, sizes that are padded, and adapters."""

import numpy as np
import pytest
import torch
import toy_models  # noqa: F401  registers heads, backbones and an adapter
from mmseg.structures import SegDataSample

from mmssp.apis import FewShotInferencer
from mmssp.apis.encoding import raw_pixels

CONFIG = """
model = dict(
    type='FewShotEncoderDecoder',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor', mean=[127.] * 3, std=[64.] * 3, bgr_to_rgb=True,
    ),
    backbone=dict({backbone}, channels=24),
    decode_head=dict({head}, in_channels=24),
    {more}
)
"""
PLAIN, PATCH = "type='PatchBackbone'", "type='PatchBackbone14'"
HEADS = {
    'SSP': "type='SSPHead', refine=True",
    'SSP, dense': "type='SSPHead', affinity='dense'",
    'baseline': "type='BaselineHead'",
    'of varying size': "type='TokenHead'",
    'learned': "type='ScaledHead'",
}


@pytest.fixture
def build(tmp_path):
    """An inferencer of a config made of these parts."""

    def build(
        head=HEADS['SSP'], backbone=PLAIN, more='', **options
    ) -> FewShotInferencer:
        path = tmp_path / 'config.py'
        path.write_text(CONFIG.format(head=head, backbone=backbone, more=more))
        torch.manual_seed(0)
        options = dict(
            dict(device='cpu', image_size=None, presence_threshold=0), **options
        )
        return FewShotInferencer(path, **options)

    return build


def scene(seed: int, size=(97, 131)) -> tuple[np.ndarray, np.ndarray]:
    """A grey image with a red rectangle, and its mask."""
    rng = np.random.default_rng(seed)
    image, mask = rng.normal(128, 12, (*size, 3)), np.zeros(size, np.uint8)
    y, x = rng.integers(0, size[0] - 40), rng.integers(0, size[1] - 50)
    mask[y : y + 40, x : x + 50] = 1
    image[mask == 1] = (220, 30, 30)
    return image.clip(0, 255).astype(np.uint8), mask


def set_red(inferencer: FewShotInferencer, shots: int = 2) -> None:
    scenes = [scene(i) for i in range(shots)]
    inferencer.set_support([i for i, _ in scenes], [m for _, m in scenes], 'red')


def as_tested(
    inferencer: FewShotInferencer, shots: int, query: np.ndarray
) -> np.ndarray:
    """The mask that the segmentor's test step gives."""
    scenes = [scene(i) for i in range(shots)]
    batch = dict(
        query=[raw_pixels(query)],
        support=[[raw_pixels(image) for image, _ in scenes]],
        support_mask=[[torch.from_numpy(mask) for _, mask in scenes]],
    )
    sample = SegDataSample(metainfo=dict(class_name='red'))
    with torch.no_grad():
        (sample,) = inferencer.model.test_step(
            dict(inputs=batch, data_samples=[sample])
        )
    return sample.pred_sem_seg.data[0].numpy()


@pytest.mark.parametrize('name', HEADS)
def test_any_head_predicts_as_in_testing(name, build):
    inferencer = build(HEADS[name])
    set_red(inferencer)
    image, _ = scene(9)
    found = inferencer.predict(image).mask
    assert 0 < found.mean() < 1
    assert np.array_equal(found, as_tested(inferencer, 2, image))


@pytest.mark.parametrize('name', HEADS)
def test_support_of_any_head_is_kept_in_a_file(name, build, tmp_path):
    inferencer = build(HEADS[name])
    set_red(inferencer)
    image, _ = scene(9)
    expected = inferencer.predict(image)
    inferencer.save_support(tmp_path / 'red.bank')
    other = inferencer.fork()
    other.load_support(tmp_path / 'red.bank')
    found = other.predict(image)
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert found.scores == expected.scores
    for support in other._supports.values():
        assert not any(value.requires_grad for value in support.state.values())


@pytest.mark.parametrize('name', HEADS)
def test_supports_of_any_head_are_checked(name, build):
    inferencer = build(HEADS[name])
    set_red(inferencer, shots=3)
    found = inferencer.check_support('red')
    assert len(found['iou']) == 3
    assert all(0 <= iou <= 1 for iou in found['iou'])


def test_a_file_of_another_head_is_refused(build, tmp_path):
    inferencer = build(HEADS['SSP'])
    set_red(inferencer)
    inferencer.save_support(tmp_path / 'red.bank')
    with pytest.raises(
        ValueError, match='made with SSPHead, and this model has TokenHead'
    ):
        build(HEADS['of varying size']).load_support(tmp_path / 'red.bank')


def test_a_head_without_self_support_cannot_be_explained(build):
    inferencer = build(HEADS['of varying size'])
    set_red(inferencer)
    with pytest.raises(ValueError, match='TokenHead has no self-support to explain'):
        inferencer.predict(scene(9)[0]).explain()


SIZED = 'size_divisor=14,'


@pytest.mark.parametrize('size', [(97, 131), (98, 140), (15, 29)])
def test_patches_of_14_pixels_predict_as_in_testing(size, build):
    inferencer = build(backbone=PATCH, more=SIZED)
    set_red(inferencer)
    image = (
        scene(9)[0][: size[0], : size[1]] if size != (98, 140) else scene(9, size)[0]
    )
    found = inferencer.predict(image).mask
    assert found.shape == size
    assert np.array_equal(found, as_tested(inferencer, 2, image))


@pytest.mark.parametrize('size', [(97, 131), (210, 333)])
def test_tiles_of_patches_fit_together(size, build):
    """A patch sees itself alone, so tiles of whole patches give what the whole gives."""
    inferencer = build(backbone=PATCH, more=SIZED)
    set_red(inferencer)
    image, _ = scene(9, size)
    whole = inferencer.predict(image).probabilities
    inferencer.tile = 60
    tiled = inferencer.predict(image).probabilities
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_resized_images_of_patches_are_not_stretched(build):
    """A red half stays a half, whatever is padded."""
    inferencer = build(backbone=PATCH, more=SIZED, image_size=100)
    image = np.full((200, 300, 3), 128, np.uint8)
    image[:, :150] = (220, 30, 30)
    mask = (np.arange(300) < 150).astype(np.uint8)[None].repeat(200, 0)
    inferencer.set_support(image, mask, 'red')
    found = inferencer.predict(image).mask
    borders = (found == 1).sum(1)
    assert (abs(borders - 150) <= 14 * 300 / 122 / 2 + 1).all()
    explained = inferencer.predict(image).explain().similarity_support
    assert explained[:, :100].mean() > explained[:, 200:].mean() + 0.5


def test_an_object_of_one_pixel_is_seen_by_a_patch(build):
    inferencer = build(backbone=PATCH, more=SIZED)
    image, _ = scene(0)
    for place in ((0, 0), (96, 130), (50, 71)):
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[place] = 1
        inferencer.set_support(image, mask, 'dot')
        (support,) = inferencer._supports.values()
        assert support.state['foreground'].abs().sum() > 0


ADAPTING = "adapter=dict(type='ChannelAdapter', steps=4),"


@pytest.fixture
def adapted(build) -> FewShotInferencer:
    inferencer = build(more=ADAPTING)
    set_red(inferencer)
    inferencer.adapt(progress=False)
    return inferencer


def test_adapted_masks_are_those_of_testing(adapted):
    image, _ = scene(9)
    assert np.array_equal(adapted.predict(image).mask, as_tested(adapted, 2, image))


def test_adapting_changes_predictions_and_not_the_model(build):
    inferencer = build(more=ADAPTING)
    before = {k: v.clone() for k, v in inferencer.model.state_dict().items()}
    set_red(inferencer)
    image, _ = scene(9)
    unadapted = inferencer.predict(image).probabilities
    inferencer.adapt(progress=False)
    assert not np.allclose(inferencer.predict(image).probabilities, unadapted)
    for name, value in inferencer.model.state_dict().items():
        assert torch.equal(value, before[name])
    # what was learned belonged to the supports
    set_red(inferencer)
    assert np.array_equal(inferencer.predict(image).probabilities, unadapted)


def test_adapted_support_is_kept_in_a_file(adapted, tmp_path):
    image, _ = scene(9)
    expected = adapted.predict(image).probabilities
    adapted.save_support(tmp_path / 'red.bank')
    other = adapted.fork()
    other.load_support(tmp_path / 'red.bank')
    assert np.array_equal(other.predict(image).probabilities, expected)
    with pytest.raises(ValueError, match='images of red are not at hand'):
        other.adapt()


def test_classes_learn_by_themselves(build):
    """One that is added later, or was not adapted, changes nothing of another."""
    inferencer = build(more=ADAPTING)
    set_red(inferencer)
    inferencer.adapt(progress=False)
    image, _ = scene(9)
    alone = inferencer.predict(image).probability('red')
    inferencer.set_support(*scene(5), name='other')
    result = inferencer.predict(image)
    assert np.array_equal(result.probability('red'), alone)
    inferencer.adapt(progress=False)
    both = inferencer.predict(image)
    assert np.array_equal(both.probability('red'), alone)
    assert not np.array_equal(both.probability('other'), result.probability('other'))


@pytest.mark.parametrize('kind', ['RedRefiner', 'GuidedFilterRefiner'])
def test_refined_masks_are_those_of_testing(kind, build):
    if kind == 'GuidedFilterRefiner':
        pytest.importorskip('kornia')
    inferencer = build(more=f"refiner=dict(type='{kind}'),")
    set_red(inferencer)
    image, _ = scene(9)
    found = inferencer.predict(image)
    assert np.array_equal(found.mask, as_tested(inferencer, 2, image))
    plain = build()
    set_red(plain)
    assert not np.allclose(found.probabilities, plain.predict(image).probabilities)
    assert found.probabilities.min() >= 0 and found.probabilities.max() <= 1


@pytest.mark.parametrize(
    'tta', ['dict(flip=True)', 'dict(flip=True, scales=[0.5, 1, 1.5])']
)
@pytest.mark.parametrize('name', HEADS)
def test_masks_by_views_are_those_of_testing(tta, name, build):
    inferencer = build(HEADS[name], more=f'tta={tta},')
    set_red(inferencer)
    image, _ = scene(9)
    found = inferencer.predict(image)
    assert np.array_equal(found.mask, as_tested(inferencer, 2, image))
    plain = build(HEADS[name])
    set_red(plain)
    assert not np.allclose(found.probabilities, plain.predict(image).probabilities)


def test_a_flipped_image_has_the_flipped_mask_by_both_views(build):
    inferencer = build(more='tta=dict(flip=True),')
    set_red(inferencer)
    image, _ = scene(9, size=(96, 128))
    found = inferencer.predict(image).probabilities
    turned = inferencer.predict(image[:, ::-1]).probabilities
    assert np.allclose(found, turned[..., ::-1], atol=1e-5)


def test_what_was_learned_sees_the_views_too(build):
    inferencer = build(more='tta=dict(flip=True),')
    set_red(inferencer)
    inferencer.adapt(iterations=20, progress=False)
    assert inferencer._supports['red'].adapted
    image, _ = scene(9, size=(96, 128))
    found = inferencer.predict(image).probabilities
    turned = inferencer.predict(image[:, ::-1]).probabilities
    assert np.allclose(found, turned[..., ::-1], atol=1e-4)


def test_an_image_in_tiles_is_seen_as_it_is(build):
    image, _ = scene(9, size=(160, 200))
    found = []
    for more in ('tta=dict(flip=True, scales=[1, 2]),', ''):
        inferencer = build(more=more, tile=96)
        set_red(inferencer)
        found.append(inferencer.predict(image).probabilities)
    assert np.array_equal(*found)


@pytest.mark.parametrize('gives', ['another shape', 'NaN'])
def test_what_is_no_probability_is_refused(gives, build):
    inferencer = build(more=f"refiner=dict(type='RedRefiner', gives='{gives}'),")
    set_red(inferencer)
    with pytest.raises(ValueError, match='RedRefiner gave .*expected finite ones'):
        _ = inferencer.predict(scene(9)[0]).mask

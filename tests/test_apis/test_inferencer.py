"""FewShotInferencer: support once, predict many; files, checks, bad input."""

import gc
import pickle
import tracemalloc
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmseg.structures import SegDataSample
from PIL import Image
from pycocotools import mask as coco_mask

from mmssp.apis import Box, FewShotInferencer
from mmssp.apis.encoding import raw_pixels, resized
from mmssp.apis.models import first_fingerprint

CONFIG = """
model = dict(
    type='FewShotEncoderDecoder',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor', mean=[127.] * 3, std=[64.] * 3, bgr_to_rgb=True,
    ),
    backbone=dict(type='PatchBackbone', channels=24),
    decode_head=dict(type='SSPHead', in_channels=24, refine=True),
)
"""
COLOURS = {'red': (220, 30, 30), 'blue': (20, 40, 230), 'green': (30, 200, 40)}


def scene(*objects: str, seed: int = 0, size=(96, 128)) -> tuple[np.ndarray, dict]:
    """A grey image with a square of each colour, and the squares' masks by name."""
    rng = np.random.default_rng(seed)
    image = rng.normal(128, 12, (*size, 3))
    masks, places = {}, rng.permutation(6)
    for place, name in zip(places, objects, strict=False):
        y, x = divmod(int(place), 3)
        mask = np.zeros(size, np.uint8)
        mask[y * 48 + 4 : y * 48 + 44, x * 42 + 2 : x * 42 + 40] = 1
        image[mask == 1] = np.array(COLOURS[name]) + rng.normal(0, 8, 3)
        masks[name] = mask
    return image.clip(0, 255).astype(np.uint8), masks


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('inferencer') / 'tiny.py'
    path.write_text(CONFIG)
    return path


@pytest.fixture
def inferencer(config) -> FewShotInferencer:
    torch.manual_seed(0)
    return FewShotInferencer(config, device='cpu', image_size=96, presence_threshold=0)


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return (found & truth).sum() / (found | truth).sum()


def set_red(inferencer, shots: int = 1) -> None:
    scenes = [scene('red', 'blue', seed=i) for i in range(shots)]
    inferencer.set_support(
        [image for image, _ in scenes], [masks['red'] for _, masks in scenes], 'red'
    )


def test_object_is_found(inferencer):
    set_red(inferencer)
    image, masks = scene('green', 'red', seed=9)
    result = inferencer.predict(image)
    assert result.mask.shape == image.shape[:2]
    assert result.mask.dtype == np.uint8
    assert iou(result.mask == 1, masks['red'] == 1) > 0.5
    assert result.probabilities.shape == (1, *image.shape[:2])
    assert 0 <= result.scores['red'] <= 1


def test_a_result_knows_the_file_of_its_image(inferencer, tmp_path):
    set_red(inferencer)
    path = tmp_path / 'q.png'
    image, _ = scene('red')
    Image.fromarray(image).save(path)
    assert inferencer.predict(str(path)).source == path
    assert inferencer.predict(image).source is None


def test_several_classes_share_one_label_map(inferencer):
    image, masks = scene('red', 'blue', seed=1)
    for name in ('red', 'blue'):
        inferencer.set_support(image, masks[name], name)
    assert inferencer.names == ('red', 'blue')
    image, masks = scene('blue', 'red', seed=5)
    result = inferencer.predict(image)
    for label, name in enumerate(result.names, start=1):
        assert iou(result.mask == label, masks[name] == 1) > 0.4
    assert sum(result.areas.values()) == (result.mask > 0).sum()


def test_names_of_each_image_set_several_classes_at_once(inferencer):
    image, masks = scene('red', 'blue')
    inferencer.set_support(
        [image, image], [masks['red'], masks['blue']], names=['red', 'blue']
    )
    assert inferencer.num_shots == {'red': 1, 'blue': 1}


def test_one_image_may_have_several_boxes(inferencer):
    image, _ = scene('red', 'blue')
    inferencer.set_support(image, [Box(4, 4, 30, 30), Box(60, 4, 90, 30)])
    inferencer.set_support([image], [[Box(4, 4, 30, 30), Box(60, 4, 90, 30)]], 'listed')
    assert inferencer.num_shots == {'object': 1, 'listed': 1}


@pytest.mark.parametrize('place', [(0, 0), (50, 61), (95, 127)])
def test_an_object_of_one_pixel_is_seen(place, inferencer):
    image, masks = scene('red')
    mask = np.zeros_like(masks['red'])
    mask[place] = 1
    inferencer.set_support(image, mask, 'dot')
    (support,) = inferencer._supports.values()
    assert support.state['foreground'].abs().sum() > 0


def test_setting_a_class_again_replaces_it(inferencer):
    set_red(inferencer, shots=3)
    assert inferencer.num_shots == {'red': 3}
    set_red(inferencer, shots=1)
    assert inferencer.num_shots == {'red': 1}
    inferencer.remove_support('red')
    assert inferencer.names == ()


def test_batch_is_one_by_one(inferencer):
    set_red(inferencer)
    images = [scene('red', seed=i, size=(96, 128 - 8 * i))[0] for i in range(3)]
    for image, result in zip(images, inferencer.predict_batch(images), strict=True):
        assert np.array_equal(result.mask, inferencer.predict(image).mask)


def test_array_channel_order_is_said(inferencer):
    set_red(inferencer)
    image, _ = scene('red', seed=3)
    expected = inferencer.predict(image).probabilities
    bgr = np.ascontiguousarray(image[..., ::-1])
    assert np.array_equal(
        inferencer.predict(bgr, channel_order='bgr').probabilities, expected
    )


def test_threshold_needs_no_new_pass(inferencer):
    set_red(inferencer)
    result = inferencer.predict(scene('red', seed=3)[0])
    strict = result.with_threshold(0.9)
    assert strict.areas['red'] < result.areas['red']
    assert (strict.probabilities[0][strict.mask == 1] > 0.9).all()
    assert result.with_threshold(1.0).areas['red'] == 0
    with pytest.raises(ValueError, match='threshold=2'):
        result.with_threshold(2)


def test_absent_class_has_no_pixel(inferencer):
    set_red(inferencer)
    inferencer.presence_threshold = 1.0
    result = inferencer.predict(scene('blue', seed=4)[0])
    assert not result.present['red']
    assert not result.mask.any()
    assert result.to_coco() == []


def test_presence_tells_there_from_not_there(inferencer):
    set_red(inferencer, shots=3)
    there = inferencer.predict(scene('red', 'green', seed=7)[0]).scores['red']
    absent = inferencer.predict(scene('blue', 'green', seed=7)[0]).scores['red']
    assert there > absent


def test_images_without_the_object_are_no_shots_to_judge_presence_by(
    inferencer, tmp_path
):
    inferencer.model.decode_head.presence_offset = 0.3
    set_red(inferencer)
    image = scene('red', seed=7)[0]
    score = inferencer.predict(image).scores['red']
    inferencer.add_support(scene('blue', seed=8)[0], None, 'red')
    assert inferencer.predict(image).scores['red'] == score
    inferencer.save_support(tmp_path / 'red.bank')
    inferencer.load_support(tmp_path / 'red.bank')
    assert inferencer.predict(image).scores['red'] == score
    # what shows it is one, and the same twice has the same prototype
    again, masks = scene('red', 'blue')
    inferencer.set_support([again] * 2, [masks['red']] * 2, 'red')
    assert inferencer.predict(image).scores['red'] < score


def test_coco_annotations_hold_the_mask(inferencer):
    set_red(inferencer)
    result = inferencer.predict(scene('red', seed=3)[0])
    (found,) = result.to_coco(image_id=7, file_name='a.jpg')
    assert np.array_equal(coco_mask.decode(found['segmentation']), result.mask == 1)
    assert found['area'] == result.areas['red']
    assert (found['image_id'], found['category_id']) == (7, 1)
    x, y, width, height = found['bbox']
    ys, xs = np.nonzero(result.mask)
    assert (x, y) == (xs.min(), ys.min())
    assert (x + width, y + height) == (xs.max() + 1, ys.max() + 1)


def test_drawing_tints_the_mask_only(inferencer):
    set_red(inferencer)
    image, _ = scene('red', seed=3)
    result = inferencer.predict(image)
    drawn = result.draw()
    assert drawn.shape == image.shape
    changed = (drawn != image).any(-1)
    assert not changed[result.mask == 0].any()
    assert changed[result.mask == 1].mean() > 0.9


def test_explanation_has_maps_of_the_images_size(inferencer):
    set_red(inferencer)
    image, masks = scene('red', seed=3)
    result = inferencer.predict(image)
    maps = result.explain().maps()
    assert all(m.shape == image.shape[:2] for m in maps.values())
    np.testing.assert_allclose(maps['final'], result.probabilities[0], atol=1e-6)
    red = masks['red'] == 1
    similar = maps['similarity_self']
    assert similar[red].mean() > similar[~red].mean()
    assert maps['confident_foreground'].dtype == bool
    with pytest.raises(ValueError, match="name='blue'"):
        result.explain('blue')


def test_explanation_outlives_a_change_of_support(inferencer):
    set_red(inferencer)
    result = inferencer.predict(scene('red', seed=3)[0])
    expected = result.explain('red').similarity_support
    inferencer.remove_support('red')
    assert np.array_equal(result.explain('red').similarity_support, expected)


def test_a_wrong_support_image_is_named(inferencer):
    scenes = [scene('red', 'blue', seed=i) for i in range(4)]
    masks = [masks['red'] for _, masks in scenes]
    masks[2] = scenes[2][1]['blue']
    inferencer.set_support([image for image, _ in scenes], masks, 'red')
    found = inferencer.check_support('red')
    assert len(found['iou']) == 4
    assert min(found['iou']) == found['iou'][2]
    assert any('support image 2' in text for text in found['warnings'])


def test_one_support_image_cannot_be_checked(inferencer):
    set_red(inferencer)
    with pytest.raises(ValueError, match='two or more'):
        inferencer.check_support('red')


def test_saved_support_predicts_the_same(inferencer, tmp_path):
    set_red(inferencer, shots=2)
    image = scene('red', seed=3)[0]
    expected = inferencer.predict(image)
    inferencer.save_support(tmp_path / 'red.bank')
    other = inferencer.fork()
    assert other.names == ()
    other.load_support(tmp_path / 'red.bank')
    found = other.predict(image)
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert found.scores == expected.scores
    assert other.num_shots == {'red': 2}
    assert (tmp_path / 'red.bank').stat().st_size < 10_000


def test_bank_of_another_model_is_refused(inferencer, config, tmp_path):
    set_red(inferencer)
    inferencer.save_support(tmp_path / 'red.bank')
    torch.manual_seed(1)
    other = FewShotInferencer(config, device='cpu')
    with pytest.raises(ValueError, match='another model'):
        other.load_support(tmp_path / 'red.bank')
    assert other.names == ()


class Runs:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_bank_and_checkpoint_with_code_are_refused(
    inferencer, config, tmp_path, capsys
):
    ran = tmp_path / 'ran'
    pickled = pickle.dumps(Runs(ran))
    (tmp_path / 'evil.bank').write_bytes(pickled)
    with pytest.raises(ValueError, match='no support bank'):
        inferencer.load_support(tmp_path / 'evil.bank')
    np.savez(tmp_path / 'evil.npz', names=np.array([Runs(ran)], dtype=object))
    with pytest.raises(ValueError, match='no support bank'):
        inferencer.load_support(tmp_path / 'evil.npz')
    torch.save(dict(state_dict={}, extra=Runs(ran)), tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match='could run code .* refused'):
        FewShotInferencer(config, tmp_path / 'evil.pth', 'cpu')
    assert not ran.exists()


@pytest.mark.parametrize('damage', ['truncated', 'empty', 'other arrays'])
def test_damaged_bank_is_refused(damage, inferencer, tmp_path):
    path = tmp_path / 'red.bank'
    set_red(inferencer)
    inferencer.save_support(path)
    if damage == 'other arrays':
        with path.open('wb') as stream:
            np.savez(stream, version=np.array(1), model=np.array('x'))
    else:
        path.write_bytes(path.read_bytes()[: 300 if damage == 'truncated' else 0])
    with pytest.raises(ValueError, match='no support bank'):
        inferencer.load_support(path)
    assert inferencer.names == ('red',)


def test_weights_of_a_checkpoint_are_used(inferencer, config, tmp_path):
    path = tmp_path / 'model.pth'
    torch.save(dict(state_dict=inferencer.model.state_dict(), meta={}), path)
    torch.manual_seed(5)
    loaded = FewShotInferencer(config, path, 'cpu', image_size=96)
    assert loaded.model_fingerprint == inferencer.model_fingerprint


def test_foreign_checkpoint_is_refused(config, tmp_path):
    torch.save(dict(state_dict={'a': torch.zeros(1)}), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='does not fit the model'):
        FewShotInferencer(config, tmp_path / 'other.pth', 'cpu')
    with pytest.raises(FileNotFoundError, match='gone'):
        FewShotInferencer(config, tmp_path / 'gone.pth', 'cpu')


def test_tiles_see_what_a_whole_image_sees(inferencer):
    """PatchBackbone sees 4 pixels of 8: tiles of it fit together exactly."""
    set_red(inferencer)
    image, _ = scene('red', seed=3, size=(201, 330))
    inferencer.image_size = None
    whole = inferencer.predict(image[:200, :328])
    inferencer.tile = 96
    tiled = inferencer.predict(image[:200, :328])
    np.testing.assert_allclose(tiled.probabilities, whole.probabilities, atol=1e-5)
    assert inferencer.predict(image).mask.shape == (201, 330)


def test_tiles_tell_how_far_an_image_is(inferencer):
    set_red(inferencer)
    inferencer.image_size, inferencer.tile = None, 96
    shares = []
    inferencer.on_share = shares.append
    image, _ = scene('red', size=(96, 200))
    inferencer.predict(image)
    assert len(shares) > 1
    assert shares == [i / len(shares) for i in range(1, len(shares) + 1)]
    shares.clear()
    inferencer.predict(image[:, :96])
    assert shares == []


def test_what_is_labelled_can_be_seen(inferencer):
    set_red(inferencer)
    (annotation,) = inferencer.support_annotations['red']
    assert set(np.unique(annotation)) == {0, 1}


@pytest.mark.parametrize('size', [(1, 1), (1, 300), (2000, 3)])
def test_images_of_any_shape_are_segmented(size, inferencer):
    set_red(inferencer)
    result = inferencer.predict(np.full((*size, 3), 120, np.uint8))
    assert result.mask.shape == size
    assert np.isfinite(result.probabilities).all()


def test_resizing_keeps_the_aspect():
    assert resized(np.zeros((300, 1200, 3), np.uint8), 480).shape == (240, 960, 3)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda i: i.predict(scene('red')[0]), 'no support yet'),
        (lambda i: i.save_support('x.bank'), 'no support yet'),
        (lambda i: i.remove_support('red'), "name='red'"),
        (lambda i: i.set_support([], []), '0 support images'),
        (lambda i: i.set_support([scene()[0]] * 2, [Box(1, 1, 9, 9)]), '2 support im'),
        (lambda i: i.set_support(scene()[0], Box(1, 1, 9, 9), name=' '), 'class name'),
        (
            lambda i: i.set_support(scene()[0], Box(1, 1, 9, 9), names=['a', 'b']),
            'names: 2 for 1 images',
        ),
        (
            lambda i: i.set_support(
                [scene()[0]] * 255,
                [Box(1, 1, 9, 9)] * 255,
                names=[str(n) for n in range(255)],
            ),
            'at most 254 classes',
        ),
        (
            lambda i: i.set_support(scene()[0], np.zeros((96, 128), np.uint8)),
            'marks no pixel',
        ),
        (
            lambda i: i.set_support(scene()[0], Box(500, 500, 600, 600)),
            'covers no pixel',
        ),
        (
            lambda i: i.set_support(scene()[0], np.ones((50, 60), np.uint8)),
            r'(?i)size|resize',
        ),
    ],
)
def test_mistakes_are_sentences(call, message, inferencer):
    with pytest.raises(ValueError, match=message):
        call(inferencer)
    assert inferencer.names == ()


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(dtype='int8'), ValueError, "dtype='int8'"),
        (dict(image_size=8), ValueError, 'image_size=8'),
        (dict(tile=0), ValueError, 'tile=0'),
        (dict(threshold=1.5), ValueError, 'threshold=1.5'),
        (dict(device='nowhere'), ValueError, "device='nowhere'"),
        (dict(model='resnet9000'), FileNotFoundError, 'ssp_r50'),
        (dict(model='gone.py'), FileNotFoundError, 'gone.py'),
    ],
)
def test_nonsense_is_refused(options, error, message, config):
    with pytest.raises(error, match=message):
        FewShotInferencer(**(dict(model=config, device='cpu') | options))


def test_an_image_with_too_many_pixels_is_refused(inferencer, tmp_path):
    set_red(inferencer)
    inferencer.max_pixels = 1000
    Image.fromarray(scene('red')[0]).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match='1,?000'):
        inferencer.predict(tmp_path / 'a.png')


def test_lower_precision_predicts_about_the_same(inferencer):
    image = scene('red', seed=3)[0]
    set_red(inferencer)
    exact = inferencer.predict(image).mask
    inferencer.dtype = torch.bfloat16
    set_red(inferencer)
    assert (inferencer.predict(image).mask == exact).mean() > 0.98


def test_memory_does_not_grow(inferencer):
    set_red(inferencer)
    image = scene('red', seed=3)[0]

    def predict(times: int) -> int:
        for _ in range(times):
            inferencer.predict(image)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = predict(5)
        after = predict(50)
    finally:
        tracemalloc.stop()
    # less than one image's probabilities
    assert after - before < image.shape[0] * image.shape[1] * 4


def test_default_model_needs_no_download(monkeypatch):
    pytest.importorskip('efficientnet_lite_pytorch')
    inferencer = FewShotInferencer('ssp_efficientnet-lite0', device='cpu')
    image, masks = scene('red', 'blue')
    inferencer.set_support(image, masks['red'], name='red')
    assert inferencer.predict(image).mask.shape == image.shape[:2]


@pytest.mark.parametrize('size', [(96, 128), (101, 75)])
def test_masks_are_those_of_testing(inferencer, size):
    """With the size of images as it is: softmax, resizing and supports' masks alike."""
    inferencer.image_size = None
    pairs = [scene('red', 'blue', seed=i, size=(96, 128)) for i in range(3)]
    images = [image[: size[0], : size[1]] for image, _ in pairs]
    masks = [masks['red'][: size[0], : size[1]] for _, masks in pairs]
    masks[1][:20] = 255
    inferencer.set_support(images[:2], masks[:2], 'red')
    model = inferencer.model
    batch = dict(
        query=[raw_pixels(images[2])],
        support=[[raw_pixels(image) for image in images[:2]]],
        support_mask=[[torch.from_numpy(mask) for mask in masks[:2]]],
    )
    (sample,) = model.test_step(dict(inputs=batch, data_samples=[SegDataSample()]))
    found = inferencer.predict(images[2])
    assert found.mask.any()
    assert np.array_equal(found.mask, sample.pred_sem_seg.data[0].numpy())
    expected = sample.seg_logits.data.softmax(0)[1].detach().numpy()
    np.testing.assert_allclose(found.probabilities[0], expected, atol=1e-6)


def test_masks_of_resized_images_are_those_of_testing(inferencer):
    (support, masks), (query, _) = scene('red', seed=0), scene('red', seed=3)
    inferencer.set_support(support, masks['red'], 'red')
    small = [resized(image, 96) for image in (support, query)]
    mask = cv2.resize(
        masks['red'], small[0].shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT
    )
    batch = dict(
        query=[raw_pixels(small[1])],
        support=[[raw_pixels(small[0])]],
        support_mask=[[torch.from_numpy(mask)]],
    )
    sample = SegDataSample(metainfo=dict(ori_shape=query.shape[:2]))
    (sample,) = inferencer.model.test_step(dict(inputs=batch, data_samples=[sample]))
    found = inferencer.predict(query).mask
    assert found.any()
    assert np.array_equal(found, sample.pred_sem_seg.data[0].numpy())


def test_a_result_keeps_no_features(inferencer, monkeypatch):
    set_red(inferencer)
    encode, made = inferencer.model.encode, []

    def watched(image):
        features = encode(image)
        made.append(weakref.ref(features))
        return features

    monkeypatch.setattr(inferencer.model, 'encode', watched)
    results = [inferencer.predict(scene('red', seed=i)[0]) for i in range(3)]
    gc.collect()
    assert [ref() for ref in made] == [None] * 3
    assert all(result.mask.any() for result in results)
    # which is why they are made again for an explanation
    assert results[0].explain().final.shape == results[0].mask.shape


def test_results_of_many_classes_take_the_memory_of_few(inferencer):
    image, masks = scene('red', size=(384, 512))
    for i in range(12):
        inferencer.set_support(image, masks['red'], f'red {i}')
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        results = [inferencer.predict(image) for _ in range(4)]
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # the image, and nothing of its size for each class
    assert held < len(results) * 2 * image.nbytes


def test_a_stream_predicts_each_image_when_it_is_asked_for(inferencer):
    set_red(inferencer)
    image, read = scene('red', seed=3)[0], []

    def endless():
        while True:
            read.append(1)
            yield image

    stream = inferencer.predict_stream(endless())
    assert not read
    first, _ = next(stream), next(stream)
    assert len(read) == 2
    assert np.array_equal(first.mask, inferencer.predict(image).mask)


def test_a_result_is_the_same_after_the_settings_have_changed(inferencer):
    set_red(inferencer)
    image, _ = scene('red', seed=3)
    expected = inferencer.predict(image).mask
    result = inferencer.predict(image)
    inferencer.image_size = 64
    assert np.array_equal(result.mask, expected)


def test_probability_of_one_class_is_that_of_all(inferencer):
    image, masks = scene('red', 'blue')
    for name in ('red', 'blue'):
        inferencer.set_support(image, masks[name], name)
    result = inferencer.predict(image)
    assert np.array_equal(result.probability('blue'), result.probabilities[1])
    with pytest.raises(ValueError, match="name='green': expected one of"):
        result.probability('green')


CHANGES = {
    'channel order': ('bgr_to_rgb=True', 'bgr_to_rgb=False'),
    'normalisation': ('std=[64.]', 'std=[63.]'),
    'neck': (
        "decode_head=dict(type='SSPHead', in_channels=24",
        "neck=dict(type='MultiLevelNeck', in_channels=[24], out_channels=24, "
        "scales=[1]), decode_head=dict(type='SSPHead', in_channels=24",
    ),
}


@pytest.mark.parametrize('change', CHANGES)
def test_bank_of_a_model_that_sees_otherwise_is_refused(change, tmp_path):
    found = []
    for i, text in enumerate((CONFIG, CONFIG.replace(*CHANGES[change]))):
        (tmp_path / f'{i}.py').write_text(text)
        torch.manual_seed(0)
        found.append(FewShotInferencer(tmp_path / f'{i}.py', device='cpu'))
    set_red(found[0])
    found[0].save_support(tmp_path / 'red.bank')
    with pytest.raises(ValueError, match='another model'):
        found[1].load_support(tmp_path / 'red.bank')


def test_bank_made_at_another_size_is_refused(inferencer, config, tmp_path):
    set_red(inferencer)
    inferencer.save_support(tmp_path / 'red.bank')
    torch.manual_seed(0)
    with pytest.raises(ValueError, match='of another size'):
        FewShotInferencer(config, device='cpu', image_size=64).load_support(
            tmp_path / 'red.bank'
        )


def test_bank_made_before_the_weights_changed_is_refused(inferencer, tmp_path):
    set_red(inferencer)
    inferencer.save_support(tmp_path / 'red.bank')
    with torch.no_grad():
        inferencer.model.backbone.conv.weight.mul_(1.01)
    with pytest.raises(ValueError, match='another model'):
        inferencer.load_support(tmp_path / 'red.bank')


def test_bank_serves_a_head_that_differs_in_matching_alone(tmp_path):
    found = []
    for i, text in enumerate((CONFIG, CONFIG.replace('refine=True', 'refine=False'))):
        (tmp_path / f'{i}.py').write_text(text)
        torch.manual_seed(0)
        found.append(FewShotInferencer(tmp_path / f'{i}.py', device='cpu'))
    set_red(found[0])
    found[0].save_support(tmp_path / 'red.bank')
    found[1].load_support(tmp_path / 'red.bank')
    assert found[1].names == ('red',)


def test_bank_of_the_first_version_still_serves(inferencer, tmp_path):
    set_red(inferencer)
    image = scene('red', seed=3)[0]
    expected = inferencer.predict(image).mask
    (support,) = inferencer._supports.values()
    np.savez(
        tmp_path / 'old.npz',
        version=np.array(1),
        model=np.array(first_fingerprint(inferencer.model)),
        names=np.array(['red']),
        num_shots=np.array([1]),
        **{side: value.numpy() for side, value in support.state.items()},
    )
    inferencer.load_support(tmp_path / 'old.npz')
    assert np.array_equal(inferencer.predict(image).mask, expected)


def test_bank_of_another_number_of_channels_is_refused(inferencer, tmp_path):
    np.savez(
        tmp_path / 'odd.npz',
        version=np.array(1),
        model=np.array(first_fingerprint(inferencer.model)),
        names=np.array(['red']),
        num_shots=np.array([1]),
        foreground=np.ones((1, 23), np.float32),
        background=np.ones((1, 23), np.float32),
    )
    with pytest.raises(
        ValueError, match='class red: found a state .*expected one like'
    ):
        inferencer.load_support(tmp_path / 'odd.npz')


def test_a_message_names_the_support_image_it_is_about(inferencer, tmp_path):
    images, masks = [], []
    for i in range(3):
        image, regions = scene('red', seed=i)
        images.append(tmp_path / f'i{i}.png')
        masks.append(tmp_path / f'm{i}.png')
        Image.fromarray(image).save(images[-1])
        mask = Image.fromarray(regions['red'].astype(np.uint8))
        mask.resize((30, 20) if i == 1 else mask.size).save(masks[-1])
    with pytest.raises(ValueError, match=r'm1\.png: the mask has 30x20 pixels'):
        inferencer.set_support(images, masks)
    arrays = [np.asarray(Image.open(path)) for path in masks]
    with pytest.raises(ValueError, match=r'i1\.png: the mask has'):
        inferencer.set_support(images, arrays)
    arrays[1] = np.zeros_like(arrays[0])
    with pytest.raises(ValueError, match='support image 2 of 3: the mask'):
        inferencer.set_support([np.asarray(Image.open(i)) for i in images], arrays)
    inferencer.set_support(images, masks, resize=True)
    # a box is no file either, and an image may be at fault as well
    with pytest.raises(ValueError, match=r'i2\.png: Box\(x0=900'):
        inferencer.set_support(
            images, [Box(1, 1, 9, 9), Box(1, 1, 9, 9), Box(900, 900, 950, 950)]
        )
    images[2].write_bytes(b'')
    with pytest.raises(ValueError, match=r'i2\.png'):
        inferencer.set_support(images, masks, resize=True)


def test_one_array_alone_needs_no_number(inferencer):
    image, masks = scene('red')
    with pytest.raises(ValueError, match='^the mask has'):
        inferencer.set_support(image, masks['red'][:9])


def test_a_result_is_printed_in_a_line(inferencer):
    set_red(inferencer)
    image, _ = scene('red', seed=3)
    shown = repr(inferencer.predict(image))
    height, width = image.shape[:2]
    assert shown.startswith(f'Result({width}x{height} pixels, presence: red ')
    assert len(shown) < 80


@pytest.mark.parametrize('device', ['gpu', 'cuda:99', 'a lathe'])
def test_a_device_that_cannot_be_used_is_a_sentence(config, device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used") as error:
        FewShotInferencer(config, device=device)
    assert len(str(error.value)) < 250
    assert 'expected cpu, cuda, cuda:0 or mps, of which here: cpu' in str(error.value)

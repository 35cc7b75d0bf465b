"""On a GPU as on a CPU: matching, its gradients, whole models, learning; no waiting.

Skips without a GPU; MMSSP_DEVICE=cpu runs it on a CPU, to try the tests themselves.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import toy_models  # noqa: F401  registers TwoLevels
from mmseg.registry import MODELS

from mmssp.apis import FewShotInferencer
from mmssp.evaluation import FewShotIoUMetric
from mmssp.utils.transfers import AHEAD

DEVICE = os.environ.get('MMSSP_DEVICE', 'cuda')
pytestmark = pytest.mark.skipif(
    DEVICE == 'cuda' and not torch.cuda.is_available(), reason='no GPU'
)
CHANNELS, SIZE = 48, (9, 11)
HEADS = {
    'SSP': dict(type='SSPHead'),
    'SSP, refined': dict(type='SSPHead', refine=True),
    'SSP, dense': dict(type='SSPHead', refine=True, affinity='dense'),
    'SSP, sparse': dict(type='SSPHead', refine=True, affinity='sparse'),
    'baseline': dict(type='BaselineHead'),
}
# float32 sums in another order
TOLERANCE = dict(rtol=1e-3, atol=1e-4)
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


@pytest.fixture(autouse=True)
def exact():
    """No TF32 inside."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    yield
    for backend, value in zip(backends, before, strict=True):
        backend.allow_tf32 = value


@contextmanager
def no_waiting() -> Iterator[None]:
    """Whatever makes the CPU wait for the GPU inside is an error."""
    if DEVICE != 'cuda':
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode('error')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode('default')


@pytest.fixture(params=HEADS)
def heads(request):
    """One head on the CPU and its copy on the device."""
    torch.manual_seed(0)
    config = dict(HEADS[request.param], in_channels=CHANNELS)
    one, other = MODELS.build(config), MODELS.build(config)
    other.load_state_dict(one.state_dict())
    return one.eval(), other.to(DEVICE).eval()


def episode(shots: int = 2) -> tuple[torch.Tensor, ...]:
    """Features of two queries and their supports, the supports' masks, the truth."""
    rng = torch.Generator().manual_seed(0)
    masks = torch.zeros(2, 1 + shots, 8 * SIZE[0], 8 * SIZE[1], dtype=torch.uint8)
    masks[..., 16:48, 16:64] = 1
    masks[..., :4] = 255
    part = torch.randn(2, CHANNELS, 1, 1, generator=rng)
    where = (masks[:, :, 4::8, 4::8] == 1)[:, :, None]
    features = torch.randn(2, 1 + shots, CHANNELS, *SIZE, generator=rng)
    features = features + 2 * where * part[:, None]
    return features[:, 0], features[:, 1:], masks[:, 1:], masks[:, 0]


def test_heads_match_as_on_a_cpu(heads):
    query, support, masks, _ = episode()
    one, other = heads
    with torch.no_grad():
        expected = one.match(query, support, masks)
        found = other.match(*(x.to(DEVICE) for x in (query, support, masks)))
    for stage, logits in expected.items():
        torch.testing.assert_close(found[stage].cpu(), logits, **TOLERANCE)


def test_losses_and_gradients_are_those_of_a_cpu(heads):
    query, support, masks, truth = episode()
    sums, grads = [], []
    for head, device in zip(heads, ('cpu', DEVICE), strict=True):
        leaves = [x.to(device).requires_grad_() for x in (query, support)]
        losses = head.loss(leaves[0], leaves[1], truth.to(device), masks.to(device))
        total = sum(v for k, v in losses.items() if 'loss' in k)
        sums.append(total.detach().cpu())
        grads.append([g.cpu() for g in torch.autograd.grad(total, leaves)])
    torch.testing.assert_close(*sums, **TOLERANCE)
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(other, one, **TOLERANCE)


@pytest.mark.parametrize(
    'heads', [name for name in HEADS if name != 'SSP, sparse'], indirect=True
)
def test_matching_does_not_wait_for_the_gpu(heads):
    """Sums over the confident pixels alone have to count them, and so to wait."""
    inputs = [x.to(DEVICE) for x in episode()[:3]]
    _, head = heads
    with torch.no_grad():
        head.match(*inputs)  # libraries load
        with no_waiting():
            head.match(*inputs)


def test_scores_and_masks_are_those_of_a_cpu(tmp_path):
    """Also of more episodes than are on their way from the device at a time."""
    reports = []
    for device in ('cpu', DEVICE):
        metric = FewShotIoUMetric(out_file=tmp_path / f'{device}.json')
        rng = np.random.default_rng(0)
        for episode in range(3 * AHEAD):
            shape = (1, 20 + episode, 30)
            masks = [rng.integers(0, 2, shape), rng.choice([0, 1, 255], shape)]
            found, truth = (
                dict(data=torch.tensor(mask, device=device)) for mask in masks
            )
            sample = dict(
                pred_sem_seg=found,
                gt_sem_seg=truth,
                episode=episode,
                class_id=1,
                img_path='query',
                support_img_paths=[],
            )
            metric.process({}, [sample])
        metric.evaluate(3 * AHEAD)
        reports.append(json.loads((tmp_path / f'{device}.json').read_text()))
    assert len(reports[0]['episodes']) == 3 * AHEAD
    assert reports[1] == reports[0]


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(CONFIG)
    return path


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image, mask = rng.normal(128, 12, (97, 131, 3)), np.zeros((97, 131), np.uint8)
    y, x = rng.integers(0, 57), rng.integers(0, 91)
    mask[y : y + 40, x : x + 40] = 1
    image[mask == 1] = (220, 30, 30)
    return image.clip(0, 255).astype(np.uint8), mask


def shown(config, device: str) -> FewShotInferencer:
    torch.manual_seed(0)
    inferencer = FewShotInferencer(
        config, device=device, image_size=96, presence_threshold=0
    )
    images, masks = zip(*map(scene, range(3)), strict=True)
    inferencer.set_support(list(images), list(masks), 'red')
    return inferencer


def test_whole_models_segment_as_on_a_cpu(config):
    one, other = (shown(config, device) for device in ('cpu', DEVICE))
    for seed in range(9, 12):
        image, _ = scene(seed)
        expected, found = (i.predict(image).probabilities for i in (one, other))
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_banks_travel_between_devices(config, tmp_path):
    one, other = (shown(config, device) for device in ('cpu', DEVICE))
    image, _ = scene(9)
    other.adapt(iterations=8, progress=False)
    expected = other.predict(image).probabilities
    other.save_support(tmp_path / 'gpu.bank')
    one.load_support(tmp_path / 'gpu.bank')
    np.testing.assert_allclose(one.predict(image).probabilities, expected, atol=1e-3)


def test_learning_makes_masks_better(config):
    inferencer = shown(config, DEVICE)
    image, truth = scene(9)
    inferencer.adapt(iterations=200, progress=False)
    found = inferencer.predict(image).mask == 1
    assert (found & (truth == 1)).sum() / (found | (truth == 1)).sum() > 0.85

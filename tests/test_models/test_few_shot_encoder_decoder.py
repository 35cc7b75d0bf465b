"""The segmentor's modes, sizes, and any backbone of MMSegmentation."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample


def raw_batch(episodes=2, shots=2, size=(48, 40), support_sizes=None, ori=None) -> dict:
    """A collated raw batch, as the dataloader gives it."""
    generator = torch.Generator().manual_seed(0)

    def image(h, w):
        return torch.randint(0, 256, (3, h, w), generator=generator, dtype=torch.uint8)

    def mask(h, w):
        values = torch.tensor([0, 1, 255], dtype=torch.uint8)
        return values[torch.randint(0, 3, (h, w), generator=generator)]

    sizes = support_sizes or [[size] * shots] * episodes
    samples = []
    for _ in range(episodes):
        samples.append(
            SegDataSample(metainfo=dict(ori_shape=ori or size, img_shape=size))
        )
        samples[-1].gt_sem_seg = PixelData(data=mask(*size)[None])
    return dict(
        inputs=dict(
            query=[image(*size) for _ in range(episodes)],
            support=[[image(*s) for s in episode] for episode in sizes],
            support_mask=[[mask(*s) for s in episode] for episode in sizes],
        ),
        data_samples=samples,
    )


def test_tensor_mode_gives_logits_at_the_input_size(build_segmentor):
    model = build_segmentor()
    batch = model.data_preprocessor(raw_batch(size=(48, 40)))
    assert model(**batch, mode='tensor').shape == (2, 2, 48, 40)


def test_loss_mode_gives_the_named_losses(build_segmentor):
    model = build_segmentor(refine=True)
    batch = model.data_preprocessor(raw_batch(), training=True)
    assert set(model(**batch, mode='loss')) == {
        'loss_final',
        'loss_stage1',
        'loss_query_self',
        'loss_support_self',
    }


def test_predict_mode_gives_masks_at_the_original_size(build_segmentor):
    model = build_segmentor().eval()
    samples = model.test_step(raw_batch(size=(48, 40), ori=(60, 70)))
    for sample in samples:
        assert sample.seg_logits.data.shape == (2, 60, 70)
        assert sample.pred_sem_seg.data.shape == (1, 60, 70)
        expected = sample.seg_logits.data.argmax(0, keepdim=True)
        assert torch.equal(sample.pred_sem_seg.data, expected)
        assert 'baseline_sem_seg' not in sample


def test_predict_without_samples_gives_new_ones(build_segmentor):
    model = build_segmentor().eval()
    inputs = model.data_preprocessor(raw_batch())['inputs']
    assert model(inputs, mode='predict')[0].pred_sem_seg.data.shape == (1, 48, 40)


def test_with_baseline_adds_the_first_guess(build_segmentor):
    model = build_segmentor(refine=True).eval()
    model.with_baseline = True
    found = model.test_step(raw_batch(ori=(60, 70)))
    model.decode_head.method = 'baseline'
    expected = model.test_step(raw_batch(ori=(60, 70)))
    for sample, baseline in zip(found, expected, strict=True):
        first, alone = sample.baseline_sem_seg.data, baseline.pred_sem_seg.data
        assert torch.equal(first, alone)


def test_supports_of_another_size_equal_one_pass_each(build_segmentor):
    model = build_segmentor(refine=True).eval()
    batch = raw_batch(support_sizes=[[(32, 32), (40, 56)], [(64, 32), (32, 32)]])
    together = model.test_step(batch)
    for i in range(2):
        alone = model.test_step(
            dict(
                inputs={
                    name: value[i : i + 1] for name, value in batch['inputs'].items()
                },
                data_samples=batch['data_samples'][i : i + 1],
            )
        )
        torch.testing.assert_close(
            together[i].seg_logits.data, alone[0].seg_logits.data
        )


def test_queries_of_different_size_are_predicted_apart(build_segmentor):
    model = build_segmentor().eval()
    small, large = raw_batch(1, size=(40, 40)), raw_batch(1, size=(56, 48))
    mixed = dict(
        inputs={
            name: small['inputs'][name] + large['inputs'][name]
            for name in small['inputs']
        },
        data_samples=small['data_samples'] + large['data_samples'],
    )
    expected = model.test_step(raw_batch(1, size=(40, 40))) + model.test_step(
        raw_batch(1, size=(56, 48))
    )
    for found, alone in zip(model.test_step(mixed), expected, strict=True):
        torch.testing.assert_close(found.seg_logits.data, alone.seg_logits.data)


def test_queries_of_different_size_cannot_be_trained_on(build_segmentor):
    model = build_segmentor()
    batch = raw_batch(2)
    batch['inputs']['query'][0] = batch['inputs']['query'][0][:, :32]
    batch = model.data_preprocessor(batch, training=True)
    with pytest.raises(ValueError, match='differ in size'):
        model(**batch, mode='loss')


def test_auxiliary_head_is_refused(build_segmentor):
    config = dict(
        type='FewShotEncoderDecoder',
        backbone=dict(type='PatchBackbone'),
        decode_head=dict(type='SSPHead', in_channels=8),
        auxiliary_head=dict(type='FCNHead', in_channels=8, channels=8, num_classes=2),
    )
    with pytest.raises(ValueError, match='auxiliary_head'):
        MODELS.build(config)


def test_head_that_cannot_match_is_refused():
    config = dict(
        type='FewShotEncoderDecoder',
        backbone=dict(type='PatchBackbone'),
        decode_head=dict(type='FCNHead', in_channels=8, channels=8, num_classes=2),
    )
    with pytest.raises(ValueError, match='FCNHead.*SSPHead'):
        MODELS.build(config)


BACKBONES = {
    'ResNet-18': (dict(type='ResNet', depth=18, norm_eval=True), 256, 2),
    'MiT-B0': (
        dict(
            type='MixVisionTransformer',
            embed_dims=32,
            num_layers=[2, 2, 2, 2],
            num_heads=[1, 2, 5, 8],
            out_indices=(0, 1, 2),
        ),
        160,
        -1,
    ),
    'Swin-T': (
        dict(
            type='SwinTransformer',
            embed_dims=96,
            depths=[2, 2, 6, 2],
            num_heads=[3, 6, 12, 24],
            out_indices=(0, 1, 2),
        ),
        384,
        -1,
    ),
    'MobileNetV2': (
        dict(type='MobileNetV2', out_indices=(1, 2, 4), norm_eval=True),
        96,
        2,
    ),
    'SSP ResNet-50': (
        dict(
            type='SSPResNetV1c',
            depth=50,
            stem_channels=128,
            num_stages=3,
            strides=(1, 2, 1),
            dilations=(1, 1, 2),
            contract_dilation=True,
            out_indices=(2,),
            frozen_stages=1,
            norm_cfg=dict(type='BN', requires_grad=False),
            norm_eval=True,
            last_relu=False,
        ),
        1024,
        0,
    ),
}


@pytest.mark.parametrize('name', BACKBONES)
def test_a_training_step_changes_any_backbone(name):
    backbone, channels, in_index = BACKBONES[name]
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='FewShotEncoderDecoder',
            data_preprocessor=dict(
                type='FewShotDataPreProcessor', mean=[127.0] * 3, std=[64.0] * 3
            ),
            backbone=backbone,
            decode_head=dict(
                type='SSPHead', in_channels=channels, in_index=in_index, refine=True
            ),
        )
    )
    parameters = [p for p in model.backbone.parameters() if p.requires_grad]
    optimizer = OptimWrapper(torch.optim.SGD(parameters, lr=1e-3))
    before = [p.detach().clone() for p in parameters]
    losses = model.train_step(raw_batch(1, 1, size=(64, 64)), optimizer)
    assert all(torch.isfinite(value) for value in losses.values())
    # the first one is the farthest from the loss
    assert not torch.equal(before[0], parameters[0])


def test_masks_are_made_where_they_are_scored(build_segmentor):
    model = build_segmentor().eval()
    batch = raw_batch(1, ori=(60, 70))
    batch['data_samples'][0].set_metainfo(dict(score_shape=(30, 20)))
    (found,) = model.test_step(batch)
    assert found.pred_sem_seg.data.shape == (1, 30, 20)


def test_a_query_on_a_square_is_cut_out_of_it(build_segmentor):
    """PFENet: the square's logits are resized to the image's long side, then cut."""
    model = build_segmentor().eval()
    whole = raw_batch(1, ori=(70, 70))
    (square,) = model.test_step(whole)
    batch = raw_batch(1, ori=(60, 70))
    batch['data_samples'][0].set_metainfo(dict(canvas_shape=(70, 70)))
    (found,) = model.test_step(batch)
    assert torch.equal(found.seg_logits.data, square.seg_logits.data[:, :60])


@pytest.mark.parametrize(
    ('direction', 'dims'),
    [('horizontal', [-1]), ('vertical', [-2]), ('diagonal', [-2, -1])],
)
def test_a_flipped_query_is_flipped_back(direction, dims, build_segmentor):
    model = build_segmentor().eval()
    (plain,) = model.test_step(raw_batch(1, ori=(60, 70)))
    batch = raw_batch(1, ori=(60, 70))
    batch['data_samples'][0].set_metainfo(dict(flip=True, flip_direction=direction))
    (flipped,) = model.test_step(batch)
    torch.testing.assert_close(
        flipped.seg_logits.data, plain.seg_logits.data.flip(dims)
    )


@pytest.mark.parametrize(
    'support_sizes',
    [
        pytest.param([[(32, 32)] * 2] * 2, id='another than the queries have'),
        pytest.param([[(32, 32), (40, 56)], [(64, 32), (32, 32)]], id='all different'),
    ],
)
def test_supports_of_any_size_can_be_trained_on(build_segmentor, support_sizes):
    model = build_segmentor(refine=True)
    batch = model.data_preprocessor(
        raw_batch(support_sizes=support_sizes), training=True
    )
    losses = model(**batch, mode='loss')
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert model.backbone.conv.weight.grad.abs().sum() > 0

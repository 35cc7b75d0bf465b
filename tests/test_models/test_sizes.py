"""size_divisor: exact geometry for backbones that take multiples of some pixels only."""

import pytest
import torch
import toy_models  # noqa: F401  registers the backbones
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.nn.functional import interpolate, pad

SIZES = [(14, 14), (15, 29), (41, 56), (97, 64), (1, 3)]
BACKBONES = {
    'that raises': dict(type='PatchBackbone14'),
    'that floors': dict(type='PatchBackbone14', floors=True),
    'of two strides': dict(type='Pyramid32'),
}
DIVISOR = {'PatchBackbone14': 14, 'Pyramid32': 32}
STRIDE = {'PatchBackbone14': 14, 'Pyramid32': 8}


def build(backbone: dict, **options):
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='FewShotEncoderDecoder',
            data_preprocessor=dict(
                type='FewShotDataPreProcessor', mean=[90.0] * 3, std=[60.0] * 3
            ),
            backbone=backbone,
            decode_head=dict(type='SSPHead', in_channels=8, refine=True),
            test_cfg=dict(mode='whole'),
            **options,
        )
    ).eval()


@pytest.fixture(params=BACKBONES)
def model(request):
    backbone = BACKBONES[request.param]
    return build(backbone, size_divisor=DIVISOR[backbone['type']])


def episode(size: tuple[int, int], support_size: tuple[int, int]) -> dict:
    rng = torch.Generator().manual_seed(sum(size))
    values = torch.tensor([0, 1, 255], dtype=torch.uint8)

    def image(shape) -> Tensor:
        # blocks, so that features differ
        coarse = torch.rand(1, 3, 4, 5, generator=rng)
        noise = torch.rand(1, 3, *shape, generator=rng)
        return (200 * interpolate(coarse, shape) + 20 * noise)[0].byte()

    def mask(shape) -> Tensor:
        return values[torch.randint(0, 3, shape, generator=rng)]

    sample = SegDataSample(metainfo=dict(ori_shape=size))
    sample.gt_sem_seg = PixelData(data=mask(size)[None])
    return dict(
        inputs=dict(
            query=[image(size)],
            support=[[image(support_size), image(support_size)]],
            support_mask=[[mask(support_size), mask(support_size)]],
        ),
        data_samples=[sample],
    )


def padded(maps: Tensor, size: tuple[int, int], value: float) -> Tensor:
    height, width = maps.shape[-2:]
    return pad(maps, (0, size[1] - width, 0, size[0] - height), value=value)


def multiple(size, number: int) -> tuple[int, int]:
    return tuple(-(-side // number) * number for side in size)


def by_hand(model, inputs: dict) -> Tensor:
    """Logits (1,2,H,W): pad by hand, match what is no padding alone, cut by hand."""
    kind = type(model.backbone).__name__
    divisor, stride = DIVISOR[kind], STRIDE[kind]

    def features(image: Tensor) -> Tensor:
        (maps,) = model.backbone(padded(image, multiple(image.shape[-2:], divisor), 0))
        rows, columns = (-(-side // stride) for side in image.shape[-2:])
        return maps[..., :rows, :columns]

    def fitted(mask: Tensor) -> Tensor:
        return padded(mask, multiple(mask.shape[-2:], stride), 255)

    query = inputs['query']
    shots = [features(shot[None])[0] for shot in inputs['support'][0]]
    masks = [fitted(mask) for mask in inputs['support_mask'][0]]
    logits = model.decode_head.match(features(query), [shots], [masks])['final']
    size = query.shape[-2:]
    logits = interpolate(
        logits, multiple(size, stride), mode='bilinear', align_corners=True
    )
    return logits[..., : size[0], : size[1]]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('support_size', [(30, 43), (56, 28)])
def test_odd_sizes_are_as_padded_by_hand(size, support_size, model):
    batch = model.data_preprocessor(episode(size, support_size))
    expected = by_hand(model, batch['inputs'])
    with torch.no_grad():
        logits = model(**batch, mode='tensor')
        (sample,) = model(**batch, mode='predict')
    assert logits.shape == (1, 2, *size)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(sample.seg_logits.data, logits[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize('size', SIZES[:4])
def test_losses_are_those_of_images_padded_by_hand(size, model):
    """Padding is ignored, so it may as well be a part of the image and its mask."""
    batch = episode(size, size)
    found = model(**model.data_preprocessor(batch, training=True), mode='loss')
    whole = multiple(size, model.stride)
    inputs = model.data_preprocessor(batch, training=True)['inputs']
    inputs = dict(
        query=padded(inputs['query'], whole, 0),
        support=padded(inputs['support'], whole, 0),
        support_mask=padded(inputs['support_mask'], whole, 255),
    )
    (sample,) = batch['data_samples']
    sample.gt_sem_seg = PixelData(data=padded(sample.gt_sem_seg.data, whole, 255))
    expected = model(inputs, [sample], mode='loss')
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize('size', SIZES)
def test_cells_of_padding_alone_are_no_features(size, model):
    features = model.encode(torch.rand(2, 3, *size))
    assert features.shape[-2:] == tuple(-(-side // model.stride) for side in size)


def test_the_backbone_is_probed_by_a_size_that_it_takes():
    model = build(BACKBONES['that raises'], size_divisor=14)
    assert model.stride == 14
    assert all(parameter.requires_grad for parameter in model.backbone.parameters())


def test_without_a_divisor_images_come_as_they_are():
    model = build(dict(type='PatchBackbone14', floors=True))
    image = torch.rand(1, 3, 43, 29)
    torch.testing.assert_close(model.encode(image), model.backbone(image)[0])
    assert model.covered((43, 29)) == (43, 29)
    mask = torch.ones(43, 29)
    assert model.fit_mask(mask) is mask


@pytest.mark.parametrize(
    ('backbone', 'divisor', 'message'),
    [
        (
            dict(type='PatchBackbone14', floors=True),
            21,
            'multiple of the stride|divides',
        ),
        (
            dict(type='PatchBackbone14', floors=True),
            7,
            'multiple of the stride|divides',
        ),
        (dict(type='Pyramid32'), 0, 'size_divisor=0: expected an integer'),
        (dict(type='Pyramid32'), '14', "size_divisor='14': expected an integer"),
    ],
)
def test_a_divisor_that_does_not_fit_is_refused(backbone, divisor, message):
    with pytest.raises(ValueError, match=message):
        build(backbone, size_divisor=divisor)

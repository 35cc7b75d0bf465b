"""MMSegmentation's own backbones and necks train and predict, as docs/backbones.md says."""

import re
from pathlib import Path

import mmseg.models.backbones
import mmseg.models.necks
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg_backbones import TINY

PAGE = Path(__file__).parents[2] / 'docs' / 'backbones.md'
ROWS = dict(
    re.findall(
        r'^\| `(\w+)` \| ([^|]+?) \|',
        PAGE.read_text(encoding='utf-8').partition("## MMSegmentation's own")[2],
        re.MULTILINE,
    )
)
TRIED = {name: sizes for name, sizes in ROWS.items() if sizes != 'not tried'}
ONE_SIZE, ODD = (64, 64), (97, 131)


def build(name: str, **changed) -> torch.nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='FewShotEncoderDecoder',
            data_preprocessor=dict(
                type='FewShotDataPreProcessor', mean=[120.0] * 3, std=[60.0] * 3
            ),
            test_cfg=dict(mode='whole'),
            **dict(TINY[name], **changed),
        )
    )
    model.init_weights()
    return model


def episode(size: tuple[int, int], shots: int = 2) -> dict:
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[size[0] // 4 :, : size[1] // 2] = 1
    images = torch.randint(0, 256, (shots + 1, 3, *size), dtype=torch.uint8)
    sample = SegDataSample(metainfo=dict(ori_shape=size))
    sample.gt_sem_seg = PixelData(data=mask[None])
    return dict(
        inputs=dict(
            query=[images[0]], support=[list(images[1:])], support_mask=[[mask] * shots]
        ),
        data_samples=[sample],
    )


def trained(model: torch.nn.Module, size: tuple[int, int]) -> bool:
    """Whether a step of training gives every trainable parameter a finite gradient."""
    losses = model.train()(**model.data_preprocessor(episode(size)), mode='loss')
    sum(losses.values()).backward()
    own = [p for p in model.parameters() if p.requires_grad]
    return len(own) > 0 and all(
        p.grad is not None and p.grad.isfinite().all() for p in own
    )


def predicted(model: torch.nn.Module, size: tuple[int, int]) -> torch.Tensor:
    with torch.no_grad():
        batch = model.eval().data_preprocessor(episode(size))
        (sample,) = model(**batch, mode='predict')
    assert sample.seg_logits.data.isfinite().all()
    return sample.pred_sem_seg.data


def test_the_page_names_every_one():
    own = {*mmseg.models.backbones.__all__, *mmseg.models.necks.__all__}
    assert own <= set(ROWS)
    assert set(TRIED) == set(TINY)


def test_what_the_page_says_of_sizes_is_one_of_three():
    assert all(
        re.fullmatch(r'any|any, `size_divisor=\d+`|its `img_size`', sizes)
        for sizes in TRIED.values()
    )


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', TINY)
def test_it_trains_and_predicts_at_the_sizes_of_the_page(name):
    sizes = TRIED[name]
    model = build(name)
    divisor = re.search(r'size_divisor=(\d+)', sizes)
    assert model.size_divisor == (int(divisor[1]) if divisor else None)
    size = ONE_SIZE if sizes == 'its `img_size`' else ODD
    assert trained(model, size)
    mask = predicted(model, size)
    assert mask.shape == (1, *size) and set(mask.unique().tolist()) <= {0, 1}
    if size == ONE_SIZE:
        with pytest.raises(ValueError, match=rf'97x131 pixels; expected 64x64.*{name}'):
            predicted(model, ODD)


@pytest.mark.parametrize('name', ['DDRNet', 'PIDNet'])
def test_maps_that_differ_in_testing_are_refused_by_a_sentence(name):
    inner = TINY[name]['backbone']['backbone']
    with pytest.raises(ValueError, match=f"type='MainOutput', .*type='{name}'"):
        model = build(name, backbone=inner, size_divisor=None)
        predicted(model, ONE_SIZE)


@pytest.mark.parametrize('name', ['DDRNet', 'PIDNet'])
def test_the_main_output_is_the_map_of_testing(name):
    backbone = build(name).backbone.eval()
    image = torch.randn(2, 3, 64, 64)
    (found,) = backbone(image)
    assert torch.equal(found, backbone.backbone(image))
    # without BatchNorm's own statistics, training has the same map
    for module in backbone.modules():
        module.training = not isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
    torch.testing.assert_close(backbone(image)[0], found)


def test_timm_is_one_config_entry():
    pytest.importorskip('timm')
    TINY['timm'] = dict(
        backbone=dict(
            type='TIMMBackbone',
            model_name='resnet18',
            pretrained=False,
            features_only=True,
        ),
        decode_head=dict(type='SSPHead', in_channels=256, in_index=3),
    )
    assert predicted(build('timm'), ODD).shape == (1, *ODD)


def test_mmpretrain_is_one_config_entry():
    pytest.importorskip('mmpretrain.models')
    TINY['mmpretrain'] = dict(
        backbone=dict(type='mmpretrain.ConvNeXt', arch='atto', out_indices=(2,)),
        decode_head=dict(type='SSPHead', in_channels=160, in_index=0),
        size_divisor=32,
    )
    assert predicted(build('mmpretrain'), ODD).shape == (1, *ODD)

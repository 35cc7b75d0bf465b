"""Tiny versions of MMSegmentation's backbones and necks, each with its head."""

from typing import Any

_BN = dict(type='BN', requires_grad=True)
_RESNET = dict(depth=18, base_channels=8, out_indices=(0, 1, 2, 3), norm_eval=True)
_HRNET = dict(
    stage1=dict(
        num_modules=1,
        num_branches=1,
        block='BOTTLENECK',
        num_blocks=(1,),
        num_channels=(4,),
    ),
    stage2=dict(
        num_modules=1,
        num_branches=2,
        block='BASIC',
        num_blocks=(1, 1),
        num_channels=(4, 8),
    ),
    stage3=dict(
        num_modules=1,
        num_branches=3,
        block='BASIC',
        num_blocks=(1, 1, 1),
        num_channels=(4, 8, 16),
    ),
    stage4=dict(
        num_modules=1,
        num_branches=4,
        block='BASIC',
        num_blocks=(1, 1, 1, 1),
        num_channels=(4, 8, 16, 32),
    ),
)
_VIT = dict(img_size=(64, 64), embed_dims=16, num_layers=2, num_heads=2, mlp_ratio=2)
_TWINS = dict(
    embed_dims=[8, 16, 24, 32],
    num_heads=[1, 2, 2, 2],
    mlp_ratios=[2, 2, 2, 2],
    depths=[1, 1, 1, 1],
)
_FPN = dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, num_outs=4)


def _entry(
    backbone: dict[str, Any],
    channels: int | list[int],
    index: int | list[int],
    **more: Any,
) -> dict[str, Any]:
    head = dict(type='SSPHead', in_channels=channels, in_index=index, refine=True)
    if isinstance(index, list):
        head['input_transform'] = 'resize_concat'
    return dict(backbone=backbone, decode_head=head, **more)


TINY: dict[str, dict[str, Any]] = {
    'ResNet': _entry(dict(type='ResNet', **_RESNET), 32, 2),
    'ResNetV1c': _entry(dict(type='ResNetV1c', stem_channels=8, **_RESNET), 32, 2),
    'ResNetV1d': _entry(dict(type='ResNetV1d', stem_channels=8, **_RESNET), 32, 2),
    'ResNeXt': _entry(
        dict(
            type='ResNeXt',
            depth=50,
            base_channels=16,
            groups=4,
            base_width=4,
            norm_eval=True,
        ),
        256,
        2,
    ),
    'ResNeSt': _entry(
        dict(
            type='ResNeSt',
            depth=50,
            base_channels=16,
            stem_channels=8,
            radix=2,
            reduction_factor=4,
            avg_down_stride=True,
            norm_eval=True,
        ),
        256,
        2,
    ),
    'HRNet': _entry(dict(type='HRNet', extra=_HRNET, norm_eval=True), 8, 1),
    'MobileNetV2': _entry(dict(type='MobileNetV2', widen_factor=0.25), 24, 2),
    'MobileNetV3': _entry(
        dict(type='MobileNetV3', arch='small', out_indices=(1, 3)), 24, 1
    ),
    'MixVisionTransformer': _entry(
        dict(
            type='MixVisionTransformer',
            embed_dims=8,
            num_layers=[1, 1, 1, 1],
            num_heads=[1, 2, 2, 2],
        ),
        16,
        2,
    ),
    'SwinTransformer': _entry(
        dict(
            type='SwinTransformer',
            embed_dims=8,
            depths=(1, 2, 1, 1),
            num_heads=(1, 2, 2, 2),
            window_size=4,
        ),
        32,
        2,
    ),
    'PCPVT': _entry(
        dict(type='PCPVT', sr_ratios=[8, 4, 2, 1], norm_after_stage=False, **_TWINS),
        24,
        2,
    ),
    'SVT': _entry(
        dict(type='SVT', sr_ratios=[8, 4, 2, 1], windiow_sizes=[4, 4, 4, 4], **_TWINS),
        24,
        2,
    ),
    'VisionTransformer': _entry(
        dict(type='VisionTransformer', patch_size=16, **_VIT), 16, 0
    ),
    'BEiT': _entry(dict(type='BEiT', patch_size=16, **_VIT), 16, 0),
    'MAE': _entry(dict(type='MAE', patch_size=16, **_VIT), 16, 0),
    'MSCAN': _entry(
        dict(
            type='MSCAN', embed_dims=[8, 16, 24, 32], mlp_ratios=[2] * 4, depths=[1] * 4
        ),
        24,
        2,
    ),
    'STDCNet': _entry(
        dict(
            type='STDCNet',
            stdc_type='STDCNet1',
            in_channels=3,
            channels=(8, 16, 32, 64, 128),
            bottleneck_type='cat',
            num_convs=4,
            norm_cfg=_BN,
            act_cfg=dict(type='ReLU'),
        ),
        64,
        1,
    ),
    'BiSeNetV1': _entry(
        dict(
            type='BiSeNetV1',
            in_channels=3,
            context_channels=(8, 16, 32),
            spatial_channels=(8, 8, 8, 8),
            out_channels=16,
            backbone_cfg=dict(
                type='ResNet',
                in_channels=3,
                depth=18,
                base_channels=4,
                out_indices=(0, 1, 2, 3),
            ),
        ),
        16,
        0,
    ),
    'BiSeNetV2': _entry(
        dict(
            type='BiSeNetV2',
            detail_channels=(8, 8, 16),
            semantic_channels=(4, 8, 8, 16),
            bga_channels=16,
        ),
        16,
        0,
    ),
    'DDRNet': _entry(
        dict(
            type='MainOutput',
            backbone=dict(type='DDRNet', channels=8, ppm_channels=16, norm_cfg=_BN),
        ),
        32,
        0,
        size_divisor=64,
    ),
    'PIDNet': _entry(
        dict(
            type='MainOutput',
            index=1,
            backbone=dict(type='PIDNet', channels=8, ppm_channels=8, norm_cfg=_BN),
        ),
        32,
        0,
        size_divisor=64,
    ),
    'CGNet': _entry(
        dict(type='CGNet', num_channels=(8, 16, 32), num_blocks=(1, 1)), 64, 2
    ),
    'ERFNet': _entry(
        dict(
            type='ERFNet',
            enc_downsample_channels=(4, 16, 32),
            enc_stage_non_bottlenecks=(1, 1),
            enc_non_bottleneck_dilations=(2,),
            enc_non_bottleneck_channels=(16, 32),
            dec_upsample_channels=(16, 4),
            dec_stages_non_bottleneck=(1, 1),
            dec_non_bottleneck_channels=(16, 4),
        ),
        4,
        0,
    ),
    'FastSCNN': _entry(
        dict(
            type='FastSCNN',
            downsample_dw_channels=(8, 12),
            global_in_channels=16,
            global_block_channels=(16, 24, 32),
            global_out_channels=32,
            higher_in_channels=16,
            lower_in_channels=32,
            fusion_out_channels=32,
        ),
        32,
        2,
    ),
    'ICNet': _entry(
        dict(
            type='ICNet',
            backbone_cfg=dict(
                type='ResNetV1c',
                depth=18,
                base_channels=8,
                stem_channels=8,
                num_stages=4,
            ),
            layer_channels=(16, 64),
            light_branch_middle_channels=8,
            psp_out_channels=16,
            out_channels=(8, 16, 16),
        ),
        16,
        1,
    ),
    'STDCContextPathNet': _entry(
        dict(
            type='STDCContextPathNet',
            backbone_cfg=dict(
                type='STDCNet',
                stdc_type='STDCNet1',
                in_channels=3,
                channels=(8, 16, 32, 64, 128),
                bottleneck_type='cat',
                num_convs=4,
                norm_cfg=_BN,
                act_cfg=dict(type='ReLU'),
            ),
            last_in_channels=(128, 64),
            out_channels=16,
            ffm_cfg=dict(in_channels=48, out_channels=32, scale_factor=4),
        ),
        32,
        3,
    ),
    'UNet': _entry(dict(type='UNet', base_channels=4), 8, 3, size_divisor=16),
    'FPN': _entry(dict(type='ResNet', **_RESNET), 16, 1, neck=_FPN),
    'MultiLevelNeck': _entry(
        dict(type='VisionTransformer', patch_size=16, out_indices=(0, 1), **_VIT),
        8,
        1,
        neck=dict(
            type='MultiLevelNeck', in_channels=[16, 16], out_channels=8, scales=[2, 1]
        ),
    ),
    'JPU': _entry(
        dict(type='ResNet', **_RESNET),
        32,
        2,
        neck=dict(
            type='JPU', in_channels=(8, 16, 32, 64), mid_channels=8, start_level=1
        ),
    ),
    'ICNeck': _entry(
        dict(type='ResNet', **dict(_RESNET, out_indices=(0, 1, 2))),
        8,
        2,
        neck=dict(type='ICNeck', in_channels=(8, 16, 32), out_channels=8),
    ),
    'MLANeck': _entry(
        dict(type='VisionTransformer', patch_size=16, out_indices=(0, 1), **_VIT),
        16,
        1,
        neck=dict(type='MLANeck', in_channels=[16, 16], out_channels=16, norm_cfg=_BN),
    ),
    'Feature2Pyramid': _entry(
        dict(
            type='VisionTransformer',
            patch_size=16,
            out_indices=(0, 1, 2, 3),
            **dict(_VIT, num_layers=4),
        ),
        16,
        1,
        neck=dict(type='Feature2Pyramid', embed_dim=16, norm_cfg=_BN),
    ),
    'resize_concat': _entry(dict(type='ResNet', **_RESNET), [16, 32], [1, 2]),
}

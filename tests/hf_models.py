"""Tiny models of every kind that HFBackbone knows, and segmentors of them."""

from pathlib import Path
from typing import Any

import torch
from mmseg.registry import MODELS

_VIT = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2)
_CONVNEXT = dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1])
TINY: dict[str, dict[str, Any]] = {
    'beit': dict(
        _VIT,
        intermediate_size=32,
        image_size=64,
        use_relative_position_bias=True,
        use_absolute_position_embeddings=True,
    ),
    'convnext': _CONVNEXT,
    'convnextv2': _CONVNEXT,
    'dinov2': dict(_VIT, image_size=28),
    'dinov2_with_registers': dict(
        _VIT, image_size=28, patch_size=14, num_register_tokens=2
    ),
    'dinov3_convnext': _CONVNEXT,
    'dinov3_vit': dict(
        _VIT, intermediate_size=32, image_size=32, num_register_tokens=2
    ),
    'hiera': dict(
        embed_dim=8, depths=[1, 2, 1, 1], num_heads=[1, 2, 2, 2], image_size=[64, 64]
    ),
    'pvt_v2': dict(
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
    ),
    'sam2_vision_model': dict(
        backbone_config=dict(
            model_type='sam2_hiera_det_model',
            hidden_size=8,
            embed_dim_per_stage=[8, 16, 32, 64],
            num_attention_heads_per_stage=[1, 2, 4, 8],
            blocks_per_stage=[1, 1, 2, 1],
            global_attention_blocks=[3],
        ),
        backbone_channel_list=[64, 32, 16, 8],
        fpn_hidden_size=16,
    ),
    'swin': dict(
        embed_dim=8, depths=[1, 2, 1], num_heads=[1, 2, 2], window_size=3, image_size=32
    ),
    'swinv2': dict(
        embed_dim=8, depths=[1, 2, 1], num_heads=[1, 2, 2], window_size=4, image_size=64
    ),
}


def tiny(kind: str, **changed: Any) -> dict[str, Any]:
    """The config of a tiny backbone of a kind."""
    return dict(type='HFBackbone', config=dict(TINY[kind], model_type=kind), **changed)


def segmentor_config(backbone: dict[str, Any]) -> dict[str, Any]:
    """A few-shot segmentor around it that matches in the last of its maps."""
    built = MODELS.build(dict(backbone, weights=None))
    return dict(
        type='FewShotEncoderDecoder',
        data_preprocessor=dict(
            type='FewShotDataPreProcessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
        ),
        size_divisor=built.size_divisor,
        backbone=backbone,
        decode_head=dict(
            type='SSPHead', in_channels=built.out_channels[-1], in_index=-1, refine=True
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


def segmentor(kind: str, seed: int = 0, **changed: Any) -> torch.nn.Module:
    """A built one, in eval mode, its weights drawn so that features differ."""
    torch.manual_seed(seed)
    return lively(MODELS.build(segmentor_config(tiny(kind, **changed)))).eval()


def lively(model: torch.nn.Module) -> torch.nn.Module:
    """Larger weights in place: as they are drawn, layers hardly change what they get."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'lora_' not in name and parameter.std(correction=0) < 0.1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def save_as_published(kind: str, folder: Path, seed: int = 1, **save: Any) -> Path:
    """What the hub has of a kind: the model itself, without the parts of a backbone."""
    import transformers

    torch.manual_seed(seed)
    fields = TINY[kind]
    if kind == 'sam2_vision_model':
        config = transformers.Sam2Config(
            vision_config=fields,
            prompt_encoder_config=dict(hidden_size=16, image_size=64, patch_size=16),
            mask_decoder_config=dict(
                hidden_size=16,
                num_attention_heads=2,
                iou_head_hidden_dim=16,
                mlp_dim=16,
            ),
        )
        model = transformers.Sam2Model(config)
    else:
        kinds = transformers.models.auto.configuration_auto.CONFIG_MAPPING
        model = transformers.AutoModel.from_config(kinds[kind](**fields))
    lively(model).save_pretrained(folder, **save)
    return folder

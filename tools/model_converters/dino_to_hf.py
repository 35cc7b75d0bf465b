"""Convert DINOv2's and DINOv3's own files (torch.hub) into folders that HFBackbone loads.

SRC is a ViT's state dict as the authors publish it: cls_token, patch_embed, blocks.N.… and
norm; of DINOv2 with pos_embed, with or without register_tokens, of DINOv3 with
storage_tokens and rope_embed. DST becomes a folder of config.json and model.safetensors, as
transformers writes them: weights=DST of an HFBackbone. No code in the file is ever run.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

__options_first__ = True

from mmssp.utils.command import run

if TYPE_CHECKING:
    from torch import Tensor

HEAD_DIM = 64
"""Channels of a head, in all published models."""
WRAPPERS = ('state_dict', 'model')
V2 = {
    r'patch_embed\.proj\.': 'embeddings.patch_embeddings.projection.',
    r'pos_embed$': 'embeddings.position_embeddings',
    r'register_tokens$': 'embeddings.register_tokens',
    r'norm\.': 'layernorm.',
    r'blocks\.(\d+)\.mlp\.w1\.': r'encoder.layer.\1.mlp.gate_proj.',
    r'blocks\.(\d+)\.mlp\.w2\.': r'encoder.layer.\1.mlp.up_proj.',
    r'blocks\.(\d+)\.mlp\.w3\.': r'encoder.layer.\1.mlp.down_proj.',
    r'blocks\.(\d+)\.attn\.([qkvo])\.': r'encoder.layer.\1.attention.\2_proj.',
    r'blocks\.(\d+)\.ls([12])\.gamma$': r'encoder.layer.\1.layer_scale\2.lambda1',
    r'blocks\.(\d+)\.': r'encoder.layer.\1.',
}
V3 = {
    r'patch_embed\.proj\.': 'embeddings.patch_embeddings.',
    r'storage_tokens$': 'embeddings.register_tokens',
    r'norm\.': 'norm.',
    r'blocks\.(\d+)\.mlp\.(fc1|w2)\.': r'model.layer.\1.mlp.up_proj.',
    r'blocks\.(\d+)\.mlp\.(fc2|w3)\.': r'model.layer.\1.mlp.down_proj.',
    r'blocks\.(\d+)\.mlp\.w1\.': r'model.layer.\1.mlp.gate_proj.',
    r'blocks\.(\d+)\.attn\.([qkvo])\.': r'model.layer.\1.attention.\2_proj.',
    r'blocks\.(\d+)\.ls([12])\.gamma$': r'model.layer.\1.layer_scale\2.lambda1',
    r'blocks\.(\d+)\.': r'model.layer.\1.',
}
TOKENS = {
    r'cls_token$': 'embeddings.cls_token',
    r'mask_token$': 'embeddings.mask_token',
}


def describe(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration of transformers of a published state dict.

    Args:
        state: Published names to tensors.

    Raises:
        ValueError: It is no ViT of DINOv2 or DINOv3.
    """
    missing = [
        name
        for name in ('cls_token', 'patch_embed.proj.weight', 'norm.weight')
        if name not in state
    ]
    is_v3 = 'rope_embed.periods' in state
    if missing or is_v3 == ('pos_embed' in state):
        raise ValueError(
            f'found names such as {", ".join(list(state)[:3])}; expected a ViT of DINOv2 '
            '(cls_token, pos_embed, patch_embed, blocks.N, norm) or of DINOv3 '
            '(cls_token, rope_embed.periods, …); its ConvNeXts are on the hub'
        )
    patches = state['patch_embed.proj.weight']
    width, patch = patches.shape[0], patches.shape[-1]
    blocks = {int(m[1]) for m in (re.match(r'blocks\.(\d+)\.', n) for n in state) if m}
    if blocks != set(range(len(blocks))) or not blocks or width % HEAD_DIM:
        raise ValueError(
            f'found {len(blocks)} blocks of {width} channels; expected blocks.0 to the '
            f'last, and heads of {HEAD_DIM} channels. FSDP keeps blocks in chunks '
            '(blocks.0.5.…): take the published file'
        )
    config: dict[str, Any] = dict(
        hidden_size=width,
        num_hidden_layers=len(blocks),
        num_attention_heads=width // HEAD_DIM,
        patch_size=patch,
    )
    if is_v3:
        return _describe_v3(state, config)
    side = round((state['pos_embed'].shape[1] - 1) ** 0.5)
    if side**2 + 1 != state['pos_embed'].shape[1]:
        raise ValueError(
            f'found pos_embed {tuple(state["pos_embed"].shape)}; expected the cells of a '
            'square, and one for the class token'
        )
    config.update(
        model_type='dinov2',
        image_size=side * patch,
        use_swiglu_ffn='blocks.0.mlp.w12.weight' in state,
    )
    if 'blocks.0.mlp.fc1.weight' in state:
        config['mlp_ratio'] = state['blocks.0.mlp.fc1.weight'].shape[0] // width
    if 'register_tokens' in state:
        config.update(
            model_type='dinov2_with_registers',
            num_register_tokens=state['register_tokens'].shape[1],
        )
    return config


def _describe_v3(state: Mapping[str, Tensor], config: dict[str, Any]) -> dict[str, Any]:
    import torch

    periods = state['rope_embed.periods'].double()
    theta = 100.0
    wanted = theta ** torch.arange(0, 1, 4 / HEAD_DIM, dtype=torch.float64)
    # stored in bfloat16
    if periods.shape != wanted.shape or not torch.allclose(periods, wanted, rtol=0.01):
        raise ValueError(
            f'found rope_embed.periods {tuple(periods.shape)} up to {periods.max():.4g}; '
            f'expected {tuple(wanted.shape)} up to {wanted.max():.4g}, of a base of 100'
        )
    gated = 'blocks.0.mlp.w1.weight' in state
    first = state[f'blocks.0.mlp.{"w1" if gated else "fc1"}.weight']
    tokens = state.get('storage_tokens')
    config.update(
        model_type='dinov3_vit',
        intermediate_size=first.shape[0],
        num_register_tokens=0 if tokens is None else tokens.shape[1],
        use_gated_mlp=gated,
        hidden_act='silu' if gated else 'gelu',
    )
    return config


def convert_keys(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Give published tensors the names of transformers; queries, keys, values apart.

    Args:
        state: Published names to tensors.

    Returns:
        New names to tensors, and the published names that have no place.
    """
    is_v3 = 'rope_embed.periods' in state
    rules = TOKENS | (V3 if is_v3 else V2)
    converted, dropped = {}, []
    for name, tensor in _split(state, is_v3).items():
        for old, new in rules.items():
            if match := re.match(old, name):
                converted[match.expand(new) + name[match.end() :]] = tensor
                break
        else:
            dropped.append(name)
    return converted, dropped


def _split(state: Mapping[str, Tensor], is_v3: bool) -> dict[str, Tensor]:
    """Published tensors, attention's by ``q``, ``k``, ``v`` and ``o``."""
    parts = {}
    for name, tensor in state.items():
        if name.endswith('.attn.qkv.bias_mask') or name == 'rope_embed.periods':
            continue  # the mask is applied to the bias, the periods are compared
        own = name
        if '.attn.proj.' in name:
            own = name.replace('.attn.proj.', '.attn.o.')
        if '.mlp.w12.' in name:
            for part, value in zip(('w1', 'w2'), tensor.chunk(2), strict=True):
                parts[name.replace('.w12.', f'.{part}.')] = value
            continue
        if '.attn.qkv.' not in name:
            parts[own] = tensor[None] if is_v3 and own == 'mask_token' else tensor
            continue
        mask = state.get(f'{name}_mask')
        if name.endswith('.bias') and mask is not None:
            tensor = tensor.masked_fill(mask == 0, 0)
        for part, value in zip('qkv', tensor.chunk(3), strict=True):
            if is_v3 and part == 'k' and name.endswith('.bias'):
                if value.any():
                    raise ValueError(
                        f'{name}: found a bias of keys that is not masked; expected none'
                    )
                continue
            parts[name.replace('.attn.qkv.', f'.attn.{part}.')] = value
    return parts


def convert(source: Path, target: Path) -> None:
    """Convert ``source`` into the folder ``target``, and print what was done.

    Raises:
        FileExistsError: ``target`` is there, and no empty folder.
        FileNotFoundError: ``source`` is not there.
        ValueError: ``source`` is something else.
    """
    from mmssp.models.backbones.hub_files import needed
    from mmssp.runtime.checkpoints import read_checkpoint, state_dict_of

    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f'{target} exists; expected the name of a new folder')
    loaded: Mapping[str, Any] = read_checkpoint(source)
    for key in WRAPPERS:
        if isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    state = state_dict_of(_finite_masks(loaded), source)
    fields = describe(state)
    converted, dropped = convert_keys(state)
    transformers = needed('transformers', 'this converter', 'transformers')
    kinds = transformers.models.auto.configuration_auto.CONFIG_MAPPING
    kind = fields.pop('model_type')
    model = transformers.AutoModel.from_config(kinds[kind](**fields))
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in converted.items()}
    wrong = sorted(n for n in own.keys() | found.keys() if own.get(n) != found.get(n))
    # files that were made without masking lack this one
    wrong = [name for name in wrong if name != 'embeddings.mask_token']
    if wrong:
        raise ValueError(
            f'{source}: {len(wrong)} tensors do not fit {kind} of {fields}: found '
            f'{wrong[0]} {found.get(wrong[0], "missing")}, expected '
            f'{own.get(wrong[0], "none")}'
        )
    model.load_state_dict(converted, strict=False)
    model.save_pretrained(target)
    print(f'{source}: {kind} of {fields}')
    if dropped:
        print(f'dropped, as the model has no use for it: {", ".join(dropped)}')
    print(f'{len(converted)} tensors written to {target}')


def _finite_masks(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Masks of biases as 0 where they hide; an unused one is NaN."""
    from torch import Tensor

    return {
        name: value.nan_to_num(0.0)
        if name.endswith('.bias_mask') and isinstance(value, Tensor)
        else value
        for name, value in state.items()
    }


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', metavar='SRC', type=Path, help='a published file (.pth)')
    parser.add_argument('dst', metavar='DST', type=Path, help='the folder to make')
    return parser.parse_args()


def main(options: argparse.Namespace) -> None:
    """Run the command with its options."""
    convert(options.src, options.dst)


if __name__ == '__main__':
    run(main, parse_args)

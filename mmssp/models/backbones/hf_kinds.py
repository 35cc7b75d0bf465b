"""What is to be known of each kind of model in Hugging Face transformers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from .hf_hiera import hiera_divisor, hiera_maps


def auto_maps(model: Any, image: Tensor) -> tuple[Tensor, ...]:
    """Feature maps (B,C_i,h_i,w_i) of an ``AutoBackbone``."""
    maps: tuple[Tensor, ...] = model(image).feature_maps
    return maps


def _sam2_maps(model: Any, image: Tensor) -> tuple[Tensor, ...]:
    levels = model(image).fpn_hidden_states
    return tuple(levels[i] for i in model.config.out_indices)


def _patch(config: Any) -> int:
    side = config.patch_size
    return int(side if isinstance(side, int) else max(side))


def _convnext(config: Any) -> int:
    patch = int(getattr(config, 'patch_size', 4))
    return patch * int(2 ** (len(config.hidden_sizes) - 1))


def _swin(config: Any) -> int:
    return _patch(config) * int(2 ** (len(config.depths) - 1))


def _pvt(config: Any) -> int:
    divisor = 1
    for stride in config.strides:
        divisor *= int(stride)
    return divisor


def _sam2(config: Any) -> int:
    own = config.backbone_config
    # three poolings, and its window of position embeddings is repeated as a whole
    levels = int(2 ** (len(own.blocks_per_stage) - 1))
    return int(max(own.patch_stride)) * max(levels, int(own.window_size_per_stage[0]))


@dataclass(frozen=True)
class Kind:
    """What is to be known of a kind of model.

    Attributes:
        blocks: Module list of its blocks, or of stages that hold some.
        inner: Of a stage, the module list of its blocks; None where there are no stages.
        behind: How names of modules begin that are behind all blocks.
        adapted: Names of the linear layers to which LoRA adds matrices by default.
        divisor: Pixels of a side of which images have to be a multiple.
        maps: Feature maps of images.
        trimmed: Whether blocks behind the last map can be left out by
            ``num_hidden_layers``.
        first: Number of the stage that index 0 is the output of; 0 is before the first.
        renamed: Patterns of names in files of a larger model, and what they are here.
    """

    blocks: str
    inner: str | None
    adapted: tuple[str, ...]
    divisor: Callable[[Any], int]
    behind: tuple[str, ...] = ('hidden_states_norms', 'layernorm', 'norm', 'fpn')
    maps: Callable[[Any, Tensor], tuple[Tensor, ...]] = auto_maps
    trimmed: bool = False
    first: int = 0
    renamed: Mapping[str, str] = field(default_factory=dict)


def _vit(blocks: str) -> Kind:
    return Kind(blocks, None, ('q_proj', 'v_proj'), _patch, trimmed=True)


KINDS: Mapping[str, Kind] = {
    'beit': _vit('beit.layers'),
    'convnext': Kind('encoder.stages', 'layers', ('pwconv1', 'pwconv2'), _convnext),
    'convnextv2': Kind('encoder.stages', 'layers', ('pwconv1', 'pwconv2'), _convnext),
    'dinov2': _vit('encoder.layer'),
    'dinov2_with_registers': _vit('encoder.layer'),
    'dinov3_convnext': Kind(
        'model.stages', 'layers', ('pointwise_conv1', 'pointwise_conv2'), _convnext
    ),
    'dinov3_vit': _vit('model.layer'),
    'hiera': Kind('encoder.stages', 'layers', ('qkv',), hiera_divisor, maps=hiera_maps),
    'pvt_v2': Kind('encoder.layers', 'blocks', ('query', 'value'), _pvt, first=1),
    'sam2_vision_model': Kind(
        'backbone.blocks',
        None,
        ('qkv',),
        _sam2,
        behind=('neck',),
        maps=_sam2_maps,
        renamed={'^vision_encoder.': ''},
    ),
    'swin': Kind('swin.encoder.layers', 'blocks', ('q_proj', 'v_proj'), _swin),
    'swinv2': Kind('encoder.layers', 'blocks', ('query', 'value'), _swin),
}
"""By ``model_type``. Of others that ``AutoBackbone`` has, none of it is known."""


def blocks_of(model: nn.Module, kind: Kind, last: int) -> list[nn.Module]:
    """The residual blocks of a model, in the order in which images pass them.

    Args:
        model: Of this kind.
        kind: Of the model.
        last: Index of the last stage that counts, if there are stages.
    """
    outer = model.get_submodule(kind.blocks)
    assert isinstance(outer, nn.ModuleList)
    if kind.inner is None:
        return list(outer)
    stages = list(outer)[: last + kind.first]
    inner: list[Any] = [stage.get_submodule(kind.inner) for stage in stages]
    return [block for blocks in inner for block in blocks]


def behind_blocks(model: nn.Module, kind: Kind) -> list[nn.Module]:
    """Norms of the outputs, and what else is behind all blocks of a model."""
    return [m for name, m in model.named_children() if name in kind.behind]


def stage_indices(stage_names: Sequence[str], indices: Sequence[int]) -> list[int]:
    """Indices of stages, counted from 0.

    Raises:
        ValueError: One is out of range, or they do not ascend.
    """
    count = len(stage_names)
    valid = (
        len(indices) > 0
        and all(isinstance(i, int) and -count <= i < count for i in indices)
        and (found := [i % count for i in indices]) == sorted(set(found))
    )
    if not valid:
        raise ValueError(
            f'out_indices={tuple(indices)}: expected ascending indices of '
            f'{", ".join(stage_names)}, from 0 to {count - 1} or from -{count} to -1'
        )
    return [i % count for i in indices]

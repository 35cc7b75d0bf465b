"""Backbones of Hugging Face transformers: DINOv2, DINOv3, ConvNeXt, Swin, SAM 2, …"""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from mmengine.model.weight_init import initialize
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...utils.checks import whole_number
from .hf_config import SAM2, choose_maps, configuration, plain
from .hf_kinds import KINDS, Kind, auto_maps, behind_blocks, blocks_of
from .hf_weights import load_hf_weights, silent
from .hub_files import needed

LORA = 'lora_'
"""In the names of what peft adds."""


@MODELS.register_module()
class HFBackbone(BaseModule):
    """A backbone of Hugging Face transformers, frozen unless said otherwise.

    ``AutoBackbone`` of transformers, or SAM 2's vision encoder, as a backbone of
    MMSegmentation: DINOv2 and DINOv3 (ViT and ConvNeXt), ConvNeXt, ConvNeXt V2, Swin,
    Swin V2, Hiera, BEiT, PVT v2 and whatever else ``AutoBackbone`` knows.
    ``pip install "mmssp[transformers]"`` brings it.

    An image's sides have to be multiples of :attr:`size_divisor`: set ``size_divisor`` of
    the segmentor to it, and it takes any image, unstretched. Images are normalised as the
    weights were trained, mostly by ImageNet's mean and deviation.

    Building takes ``config`` alone and random weights; ``init_weights()`` loads
    ``weights``, as ``init_cfg`` would. So a checkpoint of a training is read without
    them, and without the hub.

    Args:
        config: ``model_type`` and the fields of its configuration in transformers, e.g.
            ``dict(model_type='dinov2', hidden_size=384, num_attention_heads=6)``. None
            takes ``config.json`` of ``weights``, which then has to be at hand whenever
            the model is built.
        weights: A folder with ``config.json`` and safetensors, or a name of the hub, such
            as ``'facebook/dinov2-small'``; None for random weights. Pickles are refused.
        revision: Commit, branch or tag, where ``weights`` is a name of the hub.
        out_indices: Which of ``stage_names`` of the configuration are returned, ascending:
            0 is what goes into the first block (of PVT v2 the first stage), n what the
            n-th block, or stage, gives; negative ones count from the end. Of SAM 2: its
            three levels of stride 4, 8 and 16. What is behind the last of them is not
            built where that is possible.
        apply_layernorm: Whether a ViT's last norm is applied to the maps, where its
            configuration has that option; None for what it says.
        unfreeze: How many of the last blocks are trained, with the norms behind them;
            ``'all'`` trains everything.
        lora: Options of peft's ``LoraConfig``, such as ``dict(r=8, lora_alpha=16)``:
            matrices of low rank are added to layers and trained (``mmssp[lora]``).
            ``target_modules`` are those of queries and values, if it names none.
        init_cfg: As for mmengine's ``BaseModule``; not with ``weights``.

    Attributes:
        out_channels: Channels of each map.
        size_divisor: Pixels of a side of which images have to be a multiple; None where
            that is not known of the kind of model.

    Raises:
        ImportError: A package is missing.
        FileNotFoundError: ``config`` is None, and the weights are not there.
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        weights: str | None = None,
        revision: str | None = None,
        out_indices: Sequence[int] = (-1,),
        apply_layernorm: bool | None = None,
        unfreeze: int | str = 0,
        lora: Mapping[str, Any] | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if weights is not None and init_cfg is not None:
            raise ValueError(
                f'found weights={weights!r} together with init_cfg={init_cfg}, of which '
                'the one overwrites the other; expected one of them'
            )
        if unfreeze != 'all':
            whole_number('unfreeze', unfreeze, 0)
        self.weights, self.revision = weights, revision
        self.unfreeze = unfreeze
        built = configuration(config, weights, revision)
        self.kind: Kind | None = KINDS.get(built.model_type)
        self.out_indices = choose_maps(built, self.kind, out_indices, apply_layernorm)
        self.model = _build(built, apply_layernorm)
        self.out_channels = _channels(self.model)
        self.size_divisor = None if self.kind is None else self.kind.divisor(built)
        if lora is not None:
            _add_lora(self.model, lora, self.kind)
        self._trained = self._freeze()
        self.train()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images to feature maps.

        Args:
            x: (B,3,H,W) float, normalised; H and W multiples of :attr:`size_divisor`.

        Returns:
            For each of ``out_indices`` its map (B,C,H/s,W/s), s the stride there.

        Raises:
            ValueError: If H or W is another number.
        """
        divisor = self.size_divisor
        if divisor and (x.shape[-2] % divisor or x.shape[-1] % divisor):
            raise ValueError(
                f'found an image of {x.shape[-2]}x{x.shape[-1]} pixels; expected '
                f'multiples of {divisor}: set size_divisor={divisor} of the segmentor, '
                'which pads images and cuts masks'
            )
        return (auto_maps if self.kind is None else self.kind.maps)(self.model, x)

    def init_weights(self) -> None:
        """Load ``weights``, once; without them all stays as it was built, or ``init_cfg``.

        Raises:
            FileNotFoundError: They are not there.
            ValueError: They are not safetensors, or not of this model.
        """
        # not the base class's, which has children draw their weights anew, and models of
        # transformers would
        if self.is_init:
            return
        if self.init_cfg:
            initialize(self, self.init_cfg)
        elif self.weights is not None:
            renamed = {} if self.kind is None else self.kind.renamed
            load_hf_weights(self.model, self.weights, self.revision, renamed)
        self._is_init = True

    def train(self, mode: bool = True) -> 'HFBackbone':
        """Set training mode where something is trained; the rest stays in eval mode."""
        super().train(mode)
        if mode and self.unfreeze != 'all':
            self.model.eval()
            for module in self._trained:
                module.train()
        return self

    def _freeze(self) -> list[nn.Module]:
        """Freeze all but what is trained; returns the modules of that."""
        everything = self.unfreeze == 'all'
        self.model.requires_grad_(everything)
        trained = [] if everything else self._last_blocks(self.unfreeze)
        for module in trained:
            module.requires_grad_(True)
        for name, parameter in self.model.named_parameters():
            if LORA in name:
                parameter.requires_grad_(True)
        return trained + [m for n, m in self.model.named_modules() if LORA in n]

    def _last_blocks(self, count: Any) -> list[nn.Module]:
        if count == 0:
            return []
        if self.kind is None:
            raise ValueError(
                f'unfreeze={count}: the blocks of {self.model.config.model_type} are not '
                f"known here; expected 0, 'all', or one of {', '.join(KINDS)}"
            )
        blocks = blocks_of(self.model, self.kind, self.out_indices[-1])
        if count > len(blocks):
            raise ValueError(
                f'unfreeze={count}: the model has {len(blocks)} blocks; expected at most '
                "that, or 'all'"
            )
        return blocks[-count:] + behind_blocks(self.model, self.kind)


def _build(built: Any, layernorm: bool | None) -> Any:
    """The model, with random weights."""
    transformers = needed('transformers', 'HFBackbone', 'transformers')
    with silent(transformers):
        if built.model_type == SAM2:
            return transformers.Sam2VisionModel(built)
        model = transformers.AutoBackbone.from_config(built)
    if built.model_type == 'dinov3_vit' and not built.apply_layernorm:
        # it applies the norm to the last block's output all the same
        model.norm = nn.Identity()
    return model


def _channels(model: Any) -> tuple[int, ...]:
    if model.config.model_type == SAM2:
        return (model.config.fpn_hidden_size,) * len(model.config.out_indices)
    return tuple(model.channels)


def _add_lora(model: nn.Module, lora: Mapping[str, Any], kind: Kind | None) -> None:
    """Put peft's matrices into a model, in place; at first they change nothing."""
    peft = needed('peft', 'HFBackbone with lora', 'lora')
    options = {name: plain(value) for name, value in lora.items()}
    if not options.get('target_modules'):
        if kind is None:
            raise ValueError(
                f'lora={options}: expected target_modules, the names of linear layers; '
                'those of this kind of model are not known here'
            )
        options['target_modules'] = list(kind.adapted)
    try:
        peft.inject_adapter_in_model(peft.LoraConfig(**options), model)
    except (TypeError, ValueError) as error:
        raise ValueError(f'lora={options} is refused by peft: {error}') from error

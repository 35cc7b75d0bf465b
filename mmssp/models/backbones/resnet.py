"""ResNetV1c whose last block can leave out its final ReLU."""

from collections.abc import Callable
from typing import Any

import torch.utils.checkpoint as cp
from mmseg.models.backbones import ResNetV1c
from mmseg.models.backbones.resnet import BasicBlock, Bottleneck
from mmseg.registry import MODELS
from torch import Tensor, nn


class _LinearOutput(nn.Module):
    """Mixin for mmseg's residual blocks: all their layers but the last ReLU.

    The block's one ``relu`` module serves its inner activations too, so it cannot be
    exchanged for an identity; the forward pass has to differ.
    """

    num_convs: int
    # mmseg's blocks have these
    with_cp: bool
    relu: nn.Module
    downsample: nn.Module | None
    forward_plugin: Callable[[Tensor, list[str]], Tensor]

    def forward(self, x: Tensor) -> Tensor:
        """(B,C,H,W) to (B,C',H',W'), any sign."""
        if self.with_cp and x.requires_grad:
            return cp.checkpoint(self._residual, x, use_reentrant=False)
        return self._residual(x)

    def _residual(self, x: Tensor) -> Tensor:
        out = x
        for i in range(1, self.num_convs + 1):
            out = getattr(self, f'conv{i}')(out)
            out = getattr(self, f'norm{i}')(out)
            if i < self.num_convs:
                out = self.relu(out)
            # BasicBlock has no plugins, nor the attribute that says so
            if getattr(self, 'with_plugins', False):
                names = getattr(self, f'after_conv{i}_plugin_names')
                out = self.forward_plugin(out, names)
        return out + (x if self.downsample is None else self.downsample(x))


class _LinearBasicBlock(_LinearOutput, BasicBlock):
    num_convs = 2


class _LinearBottleneck(_LinearOutput, Bottleneck):
    num_convs = 3


_LINEAR_BLOCKS = {BasicBlock: _LinearBasicBlock, Bottleneck: _LinearBottleneck}


@MODELS.register_module()
class SSPResNetV1c(ResNetV1c):
    """ResNetV1c (deep stem) with a switch for the very last ReLU.

    Features that are compared by their angle keep more of it when they may be
    negative. The published model of `Self-Support Few-Shot Semantic Segmentation
    <https://arxiv.org/abs/2207.11549>`_ is::

        dict(
            type='SSPResNetV1c', depth=50, stem_channels=128, num_stages=3,
            strides=(1, 2, 1), dilations=(1, 1, 2), contract_dilation=True,
            out_indices=(2,), frozen_stages=1, norm_eval=True,
            norm_cfg=dict(type='BN', requires_grad=False), last_relu=False)

    It maps images (B,3,H,W) to one map (B,1024,ceil(H/8),ceil(W/8)).

    The state dict has the keys and shapes of ResNetV1c's, whatever ``last_relu`` is.

    Args:
        last_relu: Whether the last block of the last stage ends in a ReLU. False drops
            that one alone; the block's inner ReLUs and all other blocks stay as they
            are. True makes this class the same as ResNetV1c.
        **kwargs: As for :class:`mmseg.models.backbones.ResNetV1c`: ``depth`` of 18, 34,
            50, 101 or 152, ``with_cp``, ``init_cfg`` and so on.
    """

    def __init__(self, *, last_relu: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last_relu = last_relu
        if not last_relu:
            block = getattr(self, self.res_layers[-1])[-1]
            # Changing the class of a finished block keeps its parameters, its name and
            # mmseg's initialisation, which knows its own two block classes only.
            block.__class__ = _LINEAR_BLOCKS[type(block)]
        self.train()  # a fresh module's BatchNorms would learn, norm_eval or not

    def train(self, mode: bool = True) -> 'SSPResNetV1c':
        """Set training mode but for what is frozen, as mmseg does; return the model."""
        super().train(mode)  # mmseg's returns nothing, and so would eval()
        return self

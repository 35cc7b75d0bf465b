"""What a backbone cannot do in a few-shot segmentor, said before it fails by a shape."""

from collections.abc import Sequence
from typing import Any

from mmseg.models.backbones import BEiT
from torch import Tensor, nn


def check_size(backbone: nn.Module, size: Sequence[int]) -> None:
    """Refuse an image that a backbone of one size does not take.

    Args:
        backbone: Any.
        size: (H, W) of the image.

    Raises:
        ValueError: It is mmseg's BEiT or MAE, and built for another size.
    """
    # MAE is a BEiT
    if not isinstance(backbone, BEiT) or tuple(backbone.img_size) == tuple(size):
        return
    height, width = backbone.img_size
    raise ValueError(
        f'found an image of {size[0]}x{size[1]} pixels; expected {height}x{width}, since '
        f'{type(backbone).__name__} of MMSegmentation takes the img_size it was built for '
        'alone: resize images to it in the pipelines, or take HFBackbone with '
        "model_type='beit', which takes others"
    )


def checked_maps(backbone: nn.Module, maps: Any) -> Sequence[Tensor]:
    """The maps of a backbone.

    Args:
        backbone: That gave them.
        maps: What it gave.

    Raises:
        ValueError: It is one tensor instead of a sequence.
    """
    if isinstance(maps, Tensor):
        raise ValueError(
            f'{type(backbone).__name__} gives one tensor of {tuple(maps.shape)}; expected '
            'a sequence of maps, the same in training and testing: wrap it in '
            f"backbone=dict(type='MainOutput', backbone=dict(type="
            f"'{type(backbone).__name__}', …))"
        )
    return list(maps)

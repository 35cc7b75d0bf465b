"""The published model with weights drawn at random, made to give features that differ."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmssp.runtime.config import load_config

from .machine import Setup
from .scenes import draw_photo

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / 'configs' / 'ssp_r50_pascal5i_1shot.py'


def random_config(options: dict | None = None) -> Config:
    """The config of the published ResNet-50 on PASCAL-5i, without its weights' file.

    Args:
        options: Dotted names and values to change.
    """
    return load_config(
        str(CONFIG), {'model.backbone.init_cfg': None, **(options or {})}
    )


def random_model(
    setup: Setup,
    options: dict | None = None,
    photos: Sequence[np.ndarray] | None = None,
) -> nn.Module:
    """That model, its weights drawn from seed 0, in eval mode, calibrated, prepared.

    Args:
        setup: Device and the like.
        options: As for :func:`random_config`.
        photos: (H,W,3) uint8 RGB each, to calibrate it on; None for a few small ones.
    """
    init_default_scope('mmseg')
    torch.manual_seed(0)
    model = MODELS.build(random_config(options).model)
    model.init_weights()
    model.eval()
    if photos is None:
        photos = drawn_photos(4, (241, 241))
    calibrate(model, [normalised(model, photo) for photo in photos])
    return setup.prepare(model)


def photo_batch(model: nn.Module, count: int, size: tuple[int, int]) -> Tensor:
    """Drawn photos as the backbone takes them, (count,3,*size) float32."""
    return torch.stack([normalised(model, p) for p in drawn_photos(count, size)])


def drawn_photos(count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Photos (H,W,3) uint8 RGB of two objects each."""
    return [draw_photo(size, [i % 5 + 1, 6], seed=i)[0] for i in range(count)]


def normalised(model: nn.Module, photo: np.ndarray) -> Tensor:
    """(H,W,3) uint8 RGB → (3,H,W) float32, as the model's preprocessor does it."""
    mean, std = (
        getattr(model.data_preprocessor, name).cpu() for name in ('mean', 'std')
    )
    image = torch.from_numpy(photo.transpose(2, 0, 1).copy()).float()
    return (image - mean) / std


@torch.no_grad()
def calibrate(model: nn.Module, images: Sequence[Tensor]) -> None:
    """Centre the features of a random backbone, so that their angles differ.

    What all features have in common, nearly all of what random weights give, is taken
    off the bias of the last BatchNorm.

    Args:
        model: With a ResNet without a last ReLU; changed in place.
        images: (3,H_b,W_b) each.
    """
    backbone = model.backbone
    block = getattr(backbone, backbone.res_layers[-1])[-1]
    # the block's own come first, then a shortcut's, if it has one
    own = [m for name, m in block.named_children() if isinstance(m, _BatchNorm)]
    features = [model.encode(image[None])[0].flatten(1) for image in images]
    own[-1].bias -= torch.cat(features, 1).mean(1)

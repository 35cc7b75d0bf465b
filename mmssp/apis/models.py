"""A model by name or by config, with trained weights or as its config builds it."""

import hashlib
import os
import warnings
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from ..models.decode_heads import MatchingHead
from ..models.segmentors import FewShotEncoderDecoder
from ..runtime.checkpoints import (
    check_pretrained,
    load_weights,
    read_checkpoint,
    safe_reading,
)
from ..runtime.config import load_config
from ..runtime.initial_weights import random_backbone
from ..runtime.own_configs import FOLDERS, MARK, own_config
from ..utils.command import explanation
from ..utils.quiet import quiet


def build_model(
    model: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None,
    device: torch.device,
) -> FewShotEncoderDecoder:
    """A few-shot segmentor, ready to predict.

    Args:
        model: Name of a model or of a config of mmssp, such as
            ``'ssp_efficientnet-lite0'``, or the path of a config.
        weights: Checkpoint; None for the initial weights of the config.
        device: Where it goes.

    Returns:
        The model, in eval mode.

    Raises:
        FileNotFoundError: No such config, checkpoint or initial weights.
        ValueError: The config has no few-shot segmentor, or the checkpoint is damaged,
            holds more than weights, or belongs to another model.
    """
    cfg = load_config(str(find_config(model)))
    if cfg.get('model') is None:
        raise ValueError(f'{cfg.filename}: no model in this config')
    init_default_scope('mmseg')
    if weights is None:
        check_pretrained(cfg)
    try:
        with safe_reading():
            built = MODELS.build(cfg.model)
    except (TypeError, KeyError, AttributeError, AssertionError) as error:
        raise ValueError(
            explanation(error) or f'{cfg.filename}: the model cannot be built: {error}'
        ) from error
    head = getattr(built, 'decode_head', None)
    if not isinstance(built, FewShotEncoderDecoder) or not isinstance(
        head, MatchingHead
    ):
        raise ValueError(
            f'{cfg.filename}: {type(built).__name__} is no few-shot segmentor; expected '
            'FewShotEncoderDecoder with SSPHead or another MatchingHead'
        )
    if weights is None:
        if (text := random_backbone(cfg)) is not None:
            warnings.warn(f'{cfg.filename}: {text}', stacklevel=3)
        with quiet(), safe_reading():
            built.init_weights()
    else:
        load_weights(built, read_checkpoint(weights), weights)
    return built.to(device).eval()


def find_config(model: str | os.PathLike[str]) -> Path:
    """The config file of a model.

    Args:
        model: See :func:`build_model`.

    Raises:
        FileNotFoundError: Naming the models there are.
    """
    if str(model).startswith(MARK):
        return own_config(str(model).removeprefix(MARK))
    path = Path(model)
    if path.suffix in ('.py', '.json', '.yaml', '.yml'):
        if not path.is_file():
            raise FileNotFoundError(f'config {path} not found')
        return path
    for folder in FOLDERS:
        for found in (folder / '_base_' / 'models', folder):
            if (found / f'{path}.py').is_file():
                return found / f'{path}.py'
    names = sorted(
        {p.stem for f in FOLDERS for p in (f / '_base_' / 'models').glob('*.py')}
    )
    raise FileNotFoundError(
        f'model {str(model)!r} not found: expected the path of a config, or one of {names}'
    )


def fingerprint(model: FewShotEncoderDecoder, **settings: object) -> str:
    """What states of supports depend on, but for rounding.

    Args:
        model: A few-shot segmentor. Its weights, backbone, neck and normalisation count,
            and how its head takes features; not what the head does with states.
        **settings: What else they depend on, such as the size of images.

    Returns:
        64 hexadecimal digits, of the model as it is now.
    """
    head = model.decode_head
    described = [
        repr(model.backbone),
        repr(model.neck) if model.with_neck else None,
        model.size_divisor,
        model.data_preprocessor._channel_conversion,
        (type(head).__name__, head.in_index, head.input_transform, head.in_channels),
        sorted(settings.items()),
    ]
    if head.level_weights is not None:
        described.append(head.level_weights)
    if head.state_settings():
        described.append(head.state_settings())
    return _digest(model, repr(described))


def first_fingerprint(model: FewShotEncoderDecoder) -> str:
    """As mmssp 0.1 had it, without channel order, neck and sizes; for its banks."""
    return _digest(model, f'{model.backbone}{model.decode_head.in_index}')


def _digest(model: FewShotEncoderDecoder, described: str) -> str:
    digest = hashlib.sha256(described.encode())
    tensors = {
        **model.state_dict(),
        **{f'normalise.{k}': v for k, v in model.data_preprocessor.named_buffers()},
    }
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f'{name} {values.dtype} {tuple(values.shape)}'.encode())
        digest.update(values.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

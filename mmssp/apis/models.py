"""A model by name or by config, with trained weights or as its config builds it."""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from ..models.segmentors import FewShotEncoderDecoder
from ..runtime.checkpoints import check_pretrained, load_weights, read_checkpoint
from ..runtime.config import load_config
from ..utils.command import explanation

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs')


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
        built = MODELS.build(cfg.model)
    except (TypeError, KeyError, AttributeError, AssertionError) as error:
        raise ValueError(
            explanation(error) or f'{cfg.filename}: the model cannot be built: {error}'
        ) from error
    needed = ('prototypes', 'prepare', 'match_prototypes')
    if not all(hasattr(getattr(built, 'decode_head', None), name) for name in needed):
        raise ValueError(
            f'{cfg.filename}: {type(built).__name__} is no few-shot segmentor; expected '
            'FewShotEncoderDecoder with SSPHead'
        )
    if weights is None:
        with _quiet():
            built.init_weights()
    else:
        load_weights(built, read_checkpoint(weights), weights)
    return built.to(device).eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without mmengine's lines about each of the initial weights."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def find_config(model: str | os.PathLike[str]) -> Path:
    """The config file of a model.

    Args:
        model: See :func:`build_model`.

    Raises:
        FileNotFoundError: Naming the models there are.
    """
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


def fingerprint(model: FewShotEncoderDecoder) -> str:
    """What prototypes depend on: weights, normalisation and the kind of the model.

    Args:
        model: A few-shot segmentor.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(f'{model.backbone}{model.decode_head.in_index}'.encode())
    tensors = {
        **model.state_dict(),
        **{f'normalise.{k}': v for k, v in model.data_preprocessor.named_buffers()},
    }
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f'{name} {values.dtype} {tuple(values.shape)}'.encode())
        digest.update(values.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

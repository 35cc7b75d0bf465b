"""Whether a model begins with weights that know something."""

import inspect
import logging
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.registry import MODELS

WAYS = (
    'give the backbone weights (init_cfg=dict(type="Pretrained", checkpoint=FILE), or '
    'weights= of an HFBackbone), start from a checkpoint (load_from, --checkpoint, '
    "weights=), or take a model that brings its own, 'ssp_efficientnet-lite0'; "
    'docs/backbones.md says where weights come from'
)


def tell_of_random_weights(cfg: Config) -> None:
    """Warn in the current log, see :func:`random_backbone`."""
    if (text := random_backbone(cfg)) is not None:
        print_log(text, 'current', logging.WARNING)


def random_backbone(cfg: Config) -> str | None:
    """What to say of a config whose backbone would begin with random weights.

    Args:
        cfg: A full config, before anything is loaded into its model.

    Returns:
        A sentence with the ways to mend it; None if its backbone begins with weights of
        some file or package, or it has none.
    """
    model = cfg.get('model') or {}
    backbone = model.get('backbone')
    if not isinstance(backbone, dict) or not backbone.get('type'):
        return None
    if cfg.get('load_from') or cfg.get('resume'):
        return None
    inner = [backbone, *(b for b in backbone.values() if _is_backbone(b))]
    if any(map(_begins_with_weights, inner)) or _loads(model):
        return None
    kind = backbone['type']
    name = kind if isinstance(kind, str) else kind.__name__
    return f'{name} begins with random weights, so that masks will be poor: {WAYS}.'


def _is_backbone(value: Any) -> bool:
    return isinstance(value, dict) and 'type' in value and 'layer' not in value


def _begins_with_weights(config: dict[str, Any]) -> bool:
    if _loads(config) or config.get('weights') is not None:
        return True
    kind = config.get('type')
    if isinstance(kind, str):
        kind = MODELS.get(kind)
    if kind is None:
        return False
    usual = inspect.signature(kind).parameters.get('pretrained')
    # a path of old, or a switch of backbones whose packages bring weights
    return bool(config.get('pretrained', usual.default is True if usual else False))


def _loads(config: dict[str, Any]) -> bool:
    """Whether a part is initialised from a file."""
    init = config.get('init_cfg')
    steps = init if isinstance(init, list | tuple) else [init]
    return bool(config.get('pretrained')) or any(
        isinstance(step, dict) and step.get('type') == 'Pretrained' for step in steps
    )

"""Weights for rows: as the config begins, or trained with a row's own head."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ablations.store import key_of
from mmssp.utils.files import atomic_path

TRAIN = Path(__file__).resolve().parents[2] / 'train.py'
TRAINED_BY = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')


def with_head(cfg: Config, head: dict[str, Any], model: dict[str, Any]) -> Config:
    """A config with another head, which takes from its own what no row changes."""
    changed = Config(cfg.to_dict(), filename=cfg.filename)
    kept = ('in_channels', 'in_index', 'input_transform', 'align_corners')
    old = changed.model.decode_head
    own = {name: old[name] for name in kept if name in old}
    changed.model.decode_head = {**own, **head}
    changed.merge_from_dict({f'model.{name}': value for name, value in model.items()})
    return changed


def training_key(cfg: Config) -> str:
    """Of all that weights depend on."""
    return key_of(
        cfg.model.to_dict(),
        *(cfg[name] for name in TRAINED_BY if name in cfg),
        cfg.get('randomness'),
    )


def train(cfg: Config, folder: Path) -> Path:
    """Train by ``tools/train.py``, or go on where that was interrupted.

    Args:
        cfg: With the head to train with.
        folder: For all trainings; each has one of its own in it.

    Returns:
        The last checkpoint.

    Raises:
        ValueError: If training ended with an error.
    """
    own = folder / training_key(cfg)
    last = own / f'iter_{cfg.train_cfg.max_iters}.pth'
    if last.is_file():
        return last
    config = own / 'config.py'
    with atomic_path(config) as path:
        cfg.dump(path)
    command = [sys.executable, str(TRAIN), str(config), '--work-dir', str(own)]
    code = subprocess.run([*command, '--resume']).returncode
    if code or not last.is_file():
        raise ValueError(
            f'tools/train.py ended with {code} and left no {last}: expected the last '
            f'checkpoint; its log is in {own}'
        )
    return last

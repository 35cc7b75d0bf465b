"""An evaluation as a release would write it: each episode read and encoded by itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from .machine import Setup
from .models import normalised
from .plain_ssp import plain_predict
from .scenes import MASKS


def read_photo(path: str | Path) -> np.ndarray:
    """(H,W,3) uint8 RGB."""
    return np.asarray(Image.open(path).convert('RGB'))


def read_truth(photo: str, class_id: int) -> Tensor:
    """The mask (H,W) beside a photo's path, in {0, 1, 255}."""
    path = Path(photo)
    mask = torch.from_numpy(
        np.array(Image.open(path.parents[1] / MASKS / f'{path.stem}.png'))
    )
    return torch.where(mask == 255, 255, (mask == class_id).to(torch.uint8))


def load_episode(model: nn.Module, record: dict, setup: Setup) -> dict[str, Any]:
    """Query, supports and their masks from disk."""
    paths = [record['query'], *record['supports']]
    images = [normalised(model, read_photo(path)).to(setup.device) for path in paths]
    masks = [read_truth(path, record['class_id']).to(setup.device) for path in paths]
    return dict(query=images[0], truth=masks[0], supports=images[1:], masks=masks[1:])


def plain_records(
    model: nn.Module, records: Sequence[dict], setup: Setup
) -> list[dict]:
    """Each episode on its own, one after another."""
    return [plain_record(model, record, setup) for record in records]


@torch.no_grad()
def plain_record(model: nn.Module, record: dict, setup: Setup) -> dict[str, Any]:
    """Intersections and unions of one episode, everything read and encoded anew."""
    episode = load_episode(model, record, setup)
    truth = episode['truth']
    mask = plain_predict(
        model, episode['query'], episode['supports'], episode['masks'], truth.shape
    )
    valid = truth != 255
    pairs = [((mask == label) & valid, truth == label) for label in (0, 1)]
    return dict(
        class_id=record['class_id'],
        intersection=[(a & b).sum().item() for a, b in pairs],
        union=[(a | b).sum().item() for a, b in pairs],
    )

"""What lower precision does to scores: mIoU on Shapes-5i, exact and not."""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmssp.runtime.config import load_config, set_episodes

from .machine import Setup
from .models import ROOT
from .runners import loop_config, run_test, silent

CONFIG = ROOT / 'configs' / 'ssp_efficientnet-lite0_shapes5i_1shot.py'


def run(
    setup: Setup,
    *,
    shots: int = 1,
    episodes: int = 200,
    images: int = 150,
    data: Path | None = None,
    options: dict | None = None,
) -> list[dict[str, Any]]:
    """One row: the untrained model's mIoU on fold 0 of Shapes-5i.

    Args:
        setup: How to run; ``'bfloat16'`` is compared where its dtype is float32.
        shots: K.
        episodes: Of the one run.
        images: Images drawn, of the validation split.
        data: A folder with Shapes-5i, or to draw it into; None for a temporary one.
        options: Changes of the config.
    """
    dtype = 'bfloat16' if setup.dtype == 'float32' else setup.dtype
    with tempfile.TemporaryDirectory() as folder:
        root = data or Path(folder, 'shapes5i')
        with silent():
            draw(root, images)
        cfg = load_config(str(CONFIG), options)
        cfg.test_dataloader.dataset.dataset.data_root = str(root)
        set_episodes(
            cfg, 'test_dataloader', fold=0, shots=shots, seed=[0], num_episodes=episodes
        )
        results = {}
        for one in (Setup(setup.device), replace(setup, dtype=dtype)):
            cfg.test_cfg = loop_config(one)
            results[one.dtype] = run_test(one, cfg, None, Path(folder))
    exact, lower = results['float32'], results[dtype]
    changed = sum(
        any(a[name] != b[name] for name in ('intersection', 'union'))
        for a, b in zip(exact['records'], lower['records'], strict=True)
    )
    return [
        {
            'what': f'Shapes-5i fold 0, {shots}-shot, {episodes} episodes, untrained',
            'float32 mIoU': exact['mIoU'],
            f'{dtype} mIoU': lower['mIoU'],
            'difference': lower['mIoU'] - exact['mIoU'],
            'episodes that differ': changed,
            'float32 s': exact['seconds'],
            f'{dtype} s': lower['seconds'],
            'notes': [],
        }
    ]


def draw(root: Path, images: int) -> None:
    """Draw the validation split of Shapes-5i; its pictures are those of the whole."""
    sys.path.insert(0, str(ROOT / 'tools' / 'dataset_converters'))
    try:
        from shapes5i import draw_shapes5i
    finally:
        sys.path.pop(0)
    draw_shapes5i(root, num_train=1, num_val=images)

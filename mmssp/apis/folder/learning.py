"""What ``predict.py --adapt`` learns, kept beside the results: once, or on from before."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .output_folder import growth, read_settings

if TYPE_CHECKING:
    from ..inferencer import FewShotInferencer

USUAL, GOING_ON = 60.0, 10.0
"""Seconds, where none are given, of learning from the start and from what was learned."""


def learn(
    inferencer: 'FewShotInferencer',
    seconds: float | None,
    output: Path | None,
    settings: dict[str, Any],
    *,
    first: bool = True,
    overwrite: bool = False,
) -> None:
    """Learn from the support, once for all processes and all calls of these settings.

    Seconds never give the same twice, so what was learned is kept beside the results, and
    an interrupted run goes on with it. Where the support has grown since, learning goes
    on from what was learned before.

    Args:
        inferencer: With its support set; it has learned afterwards.
        seconds: Of learning; None for the usual.
        output: Folder of the results; None keeps nothing.
        settings: What results depend on, as JSON.
        first: Whether this process is the one that learns; the others wait for it.
        overwrite: Learn from the start, whatever is kept.
    """
    kept = None if output is None else _kept(inferencer, output, settings)
    if first:
        if kept is not None and kept.is_file() and not overwrite:
            inferencer.load_support(kept)
        else:
            earlier = None
            if output is not None and not overwrite:
                earlier = _earlier(inferencer, output, settings)
            _learn(inferencer, seconds, earlier)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                inferencer.save_support(kept)
            if earlier is not None:
                earlier.unlink()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        if kept is not None and not first:
            inferencer.load_support(kept)


def _learn(
    inferencer: 'FewShotInferencer', seconds: float | None, earlier: Path | None
) -> None:
    more, usual = '', USUAL
    if earlier is not None and inferencer.load_learned(earlier):
        more, usual = ' more', GOING_ON
    learned = inferencer.adapt(usual if seconds is None else seconds)
    for name, own in learned.items():
        done = f'{own.iterations}{more} iterations in {own.seconds:.0f} s'
        print(f'{name}: {own.told(done)}')


def _earlier(
    inferencer: 'FewShotInferencer', output: Path, settings: dict[str, Any]
) -> Path | None:
    """What was learned from fewer of these images, if it is there."""
    found = read_settings(output)
    if found is None or growth(found, settings) is None:
        return None
    before = {key: found.get(key) for key in settings}
    path = _kept(inferencer, output, before)
    return path if path.is_file() else None


def _kept(
    inferencer: 'FewShotInferencer', output: Path, settings: dict[str, Any]
) -> Path:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(inferencer.model_fingerprint.encode())
    return output / f'learned-{digest.hexdigest()[:12]}.bank'

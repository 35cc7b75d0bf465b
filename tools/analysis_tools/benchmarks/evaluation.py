"""A whole evaluation: images from disk to scores, every image encoded once."""

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmssp.evaluation import score_run
from mmssp.runtime.config import set_episodes

from .machine import Setup, matmul_call
from .models import random_config, random_model
from .plain_evaluation import load_episode, plain_records, read_photo
from .runners import loop_config, run_test
from .scenes import shares_note, write_voc
from .timing import interleaved, make_row, peak_memory, timed

CALIBRATION = 40
"""Images that the random backbone is calibrated on, at most."""


def run(
    setup: Setup,
    *,
    shots: Sequence[int] = (1, 5),
    images: int = 15,
    size: tuple[int, int] = (375, 500),
    episodes: int = 40,
    plain_episodes: int | None = None,
    repeats: int = 1,
    options: dict | None = None,
    matmul_size: int | None = None,
) -> list[dict[str, Any]]:
    """A row for each number of shots, over the protocol's runs.

    Ours is timed in full, from building the data loader to the scores. Of the plain
    side a few episodes are timed, evenly drawn from all, and scaled to all.

    Args:
        setup: How to run.
        shots: Numbers of supports.
        images: Images drawn.
        size: (H, W) of each.
        episodes: Episodes a run.
        plain_episodes: Episodes of the plain side; None for 12 on a CPU, 40 on a GPU.
        repeats: Timed calls of each, unless ``setup`` says otherwise.
        options: Changes of the config.
        matmul_size: See :func:`machine.matmul_call`.
    """
    plain_episodes = plain_episodes or (40 if setup.device == 'cuda' else 12)
    with tempfile.TemporaryDirectory() as folder:
        root = write_voc(Path(folder, 'voc'), images, size)
        paths = sorted((root / 'JPEGImages').iterdir())[:CALIBRATION]
        photos = [read_photo(path) for path in paths]
        plain_model = random_model(Setup(setup.device), options, photos)
        rows = []
        for k in shots:
            cfg = random_config(options)
            cfg.test_dataloader.dataset.dataset.data_root = str(root)
            set_episodes(cfg, 'test_dataloader', shots=k, num_episodes=episodes)
            cfg.test_cfg = loop_config(setup)
            rows.append(
                evaluate(
                    setup,
                    cfg,
                    plain_model,
                    Path(folder),
                    plain_episodes=plain_episodes,
                    repeats=setup.repeats or repeats,
                    matmul_size=matmul_size,
                )
            )
        return rows


def evaluate(
    setup: Setup,
    cfg: Config,
    plain_model: nn.Module,
    folder: Path,
    *,
    plain_episodes: int,
    repeats: int,
    matmul_size: int | None,
) -> dict[str, Any]:
    """The row of one config.

    Args:
        setup: How to run.
        cfg: With data, shots and loop set.
        plain_model: Ours takes its weights.
        folder: For files.
        plain_episodes: As for :func:`run`.
        repeats: Timed calls of each.
        matmul_size: See :func:`machine.matmul_call`.
    """
    # what a first evaluation does alone: libraries load, kernels are chosen
    short = Config(cfg.to_dict())
    set_episodes(short, 'test_dataloader', num_episodes=2, seed=[0])
    run_test(setup, short, plain_model, folder)

    seconds = {'ours': [], 'plain': []}
    product, product_operations = matmul_call(setup, matmul_size)
    for _ in range(repeats):
        result = run_test(setup, cfg, plain_model, folder)
        seconds['ours'].append(result['seconds'])
        waited = result['waited'] / result['seconds']
        records = result['records']
        chosen = evenly(records, plain_episodes)
        plain = setup.plain(partial(plain_records, plain_model, chosen, setup))
        plain_records(plain_model, chosen[:1], setup)  # the warm-up
        taken, expected = timed(plain, setup.device)
        seconds['plain'].append(taken * len(records) / len(chosen))
    peaks = {}
    if setup.device == 'cuda':
        peaks = {'ours': result['peak'], 'plain': peak_memory(plain, 'cuda')}
    rate = product_operations / interleaved({'': product}, 3, setup.device)['']

    shots = len(records[0]['supports'])
    runs = len({record['run'] for record in records})
    count, first_guess = count_operations(plain_model, records, setup)
    name = f'evaluation, {shots}-shot'
    row = make_row(
        f'{name}, {runs} run(s) × {len(records) // runs} episodes',
        median(seconds['ours']),
        median(seconds['plain']),
        peaks=peaks,
        operations=count,
        rate=rate,
    )
    difference, scores = agreement(chosen, expected)
    row['notes'] += [
        f'{name}: intersections and unions of the plain side differ by {difference} '
        f'pixel(s) at most; mIoU of those episodes {scores[0]:.3f}, plain {scores[1]:.3f}',
        f'{name}: plain side timed on {len(chosen)} of {len(records)} episodes, evenly '
        'drawn, and scaled; ours timed on all',
        shares_note(f'{name}, one episode', first_guess),
        f'{name}: {waited:.0%} of our time was waiting for images to be read, the start of '
        'the processes that read them included',
    ]
    return row


def evenly(records: Sequence[dict], count: int) -> list[dict]:
    """``count`` of the records, as far from each other as can be."""
    places = np.linspace(0, len(records) - 1, min(count, len(records)))
    return [records[round(place)] for place in places]


@torch.no_grad()
def count_operations(
    model: nn.Module, records: Sequence[dict], setup: Setup, sample: int = 2
) -> tuple[float, Tensor]:
    """Floating-point operations of an evaluation that does everything once.

    Every image is encoded once, every query prepared once for all its episodes, and
    every episode matched. What matching takes depends on the images.

    Args:
        model: In eval mode.
        records: Of all episodes.
        setup: Device.
        sample: Episodes of which the mean counts.

    Returns:
        The operations, and the first guess (1,2,h,w) in one of the episodes.
    """
    head = model.decode_head
    encode, prepare, match = [], [], []
    for record in evenly(records, sample):
        episode = load_episode(model, record, setup)
        shots = [[model.encode(image[None])[0] for image in episode['supports']]]
        state = head.support_state(shots, [episode['masks']])
        with FlopCounterMode(display=False) as encoding:
            features = model.encode(episode['query'][None])
        prepared = head.prepare(features)
        # what a query's first episode computes is there for its next
        with FlopCounterMode(display=False) as first:
            logits = head.match_state(prepared, state)
        with FlopCounterMode(display=False) as following:
            head.match_state(prepared, state)
        encode.append(encoding.get_total_flops())
        match.append(following.get_total_flops())
        prepare.append(first.get_total_flops() - match[-1])
    queries = {record['query'] for record in records}
    images = queries.union(*(record['supports'] for record in records))
    total = (
        len(images) * mean(encode)
        + len(queries) * mean(prepare)
        + len(records) * mean(match)
    )
    return total, logits['baseline']


def agreement(
    ours: Sequence[dict], plain: Sequence[dict]
) -> tuple[int, tuple[float, float]]:
    """How far both sides agree on the same episodes.

    Returns:
        The largest difference of an intersection or a union in pixels, and the mIoU of
        each side, in percent.
    """
    difference = max(
        abs(a - b)
        for one, other in zip(ours, plain, strict=True)
        for name in ('intersection', 'union')
        for a, b in zip(one[name], other[name], strict=True)
    )
    classes = sorted({record['class_id'] for record in ours})
    return difference, tuple(score_run(side, classes)['mIoU'] for side in (ours, plain))

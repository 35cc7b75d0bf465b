"""What episodes are drawn and loaded by: a protocol, with what departs from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..protocols import departures, get_protocol
from ..utils.checks import whole_number

Transforms = Sequence[dict[str, Any] | Callable[..., Any]]


@dataclass(frozen=True)
class EpisodeSettings:
    """All of a protocol's options as they are used; checked.

    Attributes:
        pipeline: Transforms of a query.
        support_pipeline: Transforms of a support.
        sampling: One of :data:`mmssp.datasets.episodes.SAMPLINGS`, which checks it.
        min_pixels: Pixels of a class that make an image usable as its support.
        ignored_support: What a support's pixels of 255 are, ``'ignore'`` or
            ``'background'``.
        num_episodes: Of a run.
        seeds: One for each run.
        fold_order: See :func:`mmssp.datasets.fold_classes`, which checks it.
        departures: A sentence for each option that is not the protocol's; none for data
            of one's own, which have no protocol to depart from.
    """

    pipeline: Transforms
    support_pipeline: Transforms
    sampling: str
    min_pixels: int
    ignored_support: str
    num_episodes: int
    seeds: list[int]
    fold_order: Any
    departures: list[str]


def episode_settings(
    protocol: str,
    benchmark: str | None,
    original_size: bool,
    chosen: Mapping[str, Any],
) -> EpisodeSettings:
    """A protocol's settings for a benchmark, and what is chosen otherwise.

    Args:
        protocol: Its name.
        benchmark: See :meth:`mmssp.protocols.Protocol.on`; None for data of one's own.
        original_size: Score at the original size, whatever the protocol says.
        chosen: Some of :data:`mmssp.protocols.OPTIONS`; what is None is the protocol's.
            A ``pipeline`` alone is the supports', too.

    Raises:
        ValueError: If the protocol is unknown, or a number or ``ignored_support`` is out
            of range.
    """
    rules = get_protocol(protocol)
    given = {name: value for name, value in chosen.items() if value is not None}
    if 'pipeline' in given:
        given.setdefault('support_pipeline', given['pipeline'])
    if 'seed' in given and not np.ndim(given['seed']):
        given['seed'] = [given['seed']]
    used = rules.settings(benchmark, original_size) | given
    seeds = [whole_number('seed', value, 0) for value in used['seed']]
    if not seeds:
        raise ValueError('seed=[]: expected an integer, or one for each run')
    if used['ignored_support'] not in ('ignore', 'background'):
        raise ValueError(
            f'ignored_support={used["ignored_support"]!r}: expected ignore or background'
        )
    return EpisodeSettings(
        pipeline=used['pipeline'],
        support_pipeline=used['support_pipeline'],
        sampling=used['sampling'],
        min_pixels=whole_number('min_pixels', used['min_pixels'], 1),
        ignored_support=used['ignored_support'],
        num_episodes=whole_number('num_episodes', used['num_episodes'], 1),
        seeds=seeds,
        fold_order=used['fold_order'],
        departures=[]
        if benchmark is None
        else departures(rules.settings(benchmark), used),
    )

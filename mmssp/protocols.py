"""Evaluation protocols: complete, named settings that stand beside every score.

Few-shot scores differ by protocol as much as by method, so a score without the name of
its protocol says little. `ssp` is this method's release, `hsnet`, `pfenet` and `bam` are
those of HSNet (ICCV 2021), PFENet (TPAMI 2020) and BAM (CVPR 2022).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

BENCHMARKS = ('pascal5i', 'coco20i')
"""Those that the releases report; :func:`add_benchmark` adds others."""

OPTIONS = (
    *('pipeline', 'support_pipeline', 'sampling', 'min_pixels', 'ignored_support'),
    *('num_episodes', 'seed', 'fold_order'),
)
"""Arguments of :class:`mmssp.datasets.EpisodicDataset` that a protocol sets."""

BY_BENCHMARK = (
    *('image_size', 'keep_ratio', 'score_at_input_size', 'ignored_support'),
    *('sampling', 'min_pixels', 'num_episodes', 'fold_order'),
)
"""Attributes of a :class:`Protocol` that a benchmark may have values of its own for."""


@dataclass(frozen=True)
class Protocol:
    """A row of the table in docs/protocols.md for each attribute.

    Values are those for PASCAL-5i, and for every benchmark that ``benchmarks`` says
    nothing of; :meth:`on` gives those for another one.

    All protocols sum intersection and union over a run's episodes class by class, on the
    query's pixels that are not 255, and average the IoU of the novel classes. Supports
    are never the query itself.

    Attributes:
        name: Stands beside every score.
        version: Of this definition; raised whenever scores could change.
        image_size: What query and support are resized to, in pixels: the sides of a
            square that they are squashed to, or the side of a black square that they are
            put on; None for the original size.
        keep_ratio: Put on a square instead of squashed to it.
        score_at_input_size: Score at ``image_size``, the query's mask resized nearest;
            else at the original size.
        ignored_support: What a support's pixels of 255 are: in neither prototype
            (``'ignore'``), or ``'background'``.
        sampling: How queries and classes are drawn, see :mod:`mmssp.datasets.episodes`.
        min_pixels: Of a class, at the original size, for an image to be kept and to be a
            support of it; with ``hsnet``'s split files these say it.
        num_episodes: Of a run.
        seeds: One for each run; scores are means over the runs.
        undrawn_classes_count: Whether a class that no episode of a run is about counts
            as IoU 0 in the mean, instead of being left out.
        fold_order: Of classes in folds, see :func:`mmssp.datasets.fold_classes`.
        remove_novel_images: Whether training leaves out images with novel classes,
            instead of taking those pixels as background.
        benchmarks: Benchmark → attribute → value, where it is another one.
    """

    name: str
    version: int
    image_size: int | None
    keep_ratio: bool
    score_at_input_size: bool
    ignored_support: Literal['ignore', 'background']
    sampling: str
    min_pixels: int
    num_episodes: int
    seeds: tuple[int, ...]
    undrawn_classes_count: bool
    fold_order: str
    remove_novel_images: bool
    benchmarks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def on(self, benchmark: str | None) -> 'Protocol':
        """The protocol with the values that it has for a benchmark.

        Args:
            benchmark: As a data set's metainfo names it. For one that nothing is known
                of, and for None, the values are PASCAL-5i's.
        """
        return replace(self, **self.benchmarks.get(benchmark or '', {}))

    def settings(
        self, benchmark: str | None, original_size: bool = False
    ) -> dict[str, Any]:
        """The protocol as arguments of :class:`mmssp.datasets.EpisodicDataset`.

        Args:
            benchmark: See :meth:`on`.
            original_size: Score at the original size, whatever the protocol says; a
                switch that HSNet's release has.

        Returns:
            The value of each of :data:`OPTIONS`.
        """
        own = self.on(benchmark)
        load: list[dict[str, Any]] = [dict(type='LoadImage'), dict(type='LoadMask')]
        query, support = [*load], [*load]
        if own.image_size is not None:
            resize: dict[str, Any] = dict(
                type='ResizePadded' if own.keep_ratio else 'ResizeSquashed',
                size=own.image_size,
            )
            support.append(resize)
            at_input = own.score_at_input_size and not original_size
            query.append(resize if at_input else dict(resize, resize_mask=False))
        return dict(
            pipeline=query,
            support_pipeline=support,
            sampling=own.sampling,
            min_pixels=own.min_pixels,
            ignored_support=own.ignored_support,
            num_episodes=own.num_episodes,
            seed=list(own.seeds),
            fold_order=own.fold_order,
        )


_SSP = Protocol(
    name='ssp',
    version=1,
    image_size=None,
    keep_ratio=True,
    score_at_input_size=False,
    ignored_support='ignore',
    sampling='images',
    min_pixels=2048,
    num_episodes=1000,
    seeds=(0, 1, 2, 3, 4),
    undrawn_classes_count=False,
    fold_order='contiguous',
    remove_novel_images=False,
    benchmarks=dict(coco20i=dict(num_episodes=4000)),
)
_HSNET = Protocol(
    name='hsnet',
    version=1,
    image_size=400,
    keep_ratio=False,
    score_at_input_size=True,
    ignored_support='background',
    sampling='hsnet_pairs',
    min_pixels=2048,
    num_episodes=1000,
    seeds=(0,),
    undrawn_classes_count=True,
    fold_order='contiguous',
    remove_novel_images=False,
    benchmarks=dict(coco20i=dict(sampling='hsnet_classes', fold_order='interleaved')),
)
_PFENET = Protocol(
    name='pfenet',
    version=1,
    image_size=473,
    keep_ratio=True,
    score_at_input_size=False,
    ignored_support='ignore',
    sampling='in_order',
    min_pixels=2048,
    num_episodes=5000,
    seeds=(321,),
    undrawn_classes_count=True,
    fold_order='contiguous',
    remove_novel_images=False,
    benchmarks=dict(
        coco20i=dict(image_size=641, num_episodes=20000, fold_order='interleaved')
    ),
)
_BAM = replace(
    _PFENET,
    name='bam',
    num_episodes=1000,
    # its release draws five of its own
    seeds=(321, 322, 323, 324, 325),
    remove_novel_images=True,
    benchmarks=dict(coco20i=dict(image_size=641, fold_order='interleaved')),
)
PROTOCOLS = {p.name: p for p in (_SSP, _HSNET, _PFENET, _BAM)}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ValueError: If there is none, naming those there are.
    """
    if not isinstance(name, str) or name not in PROTOCOLS:
        raise ValueError(f'protocol={name!r}: expected one of {sorted(PROTOCOLS)}')
    return PROTOCOLS[name]


def add_benchmark(name: str, values: Mapping[str, Mapping[str, Any]]) -> None:
    """Give a benchmark values of its own in protocols.

    To be called where its data set is defined, whose metainfo names it:
    ``METAINFO = dict(benchmark='fss1000', classes=…)``. What is not given here is as in
    PASCAL-5i. Of every protocol that a score is to be compared by, look up what the
    papers did; a benchmark that is never added is run as PASCAL-5i is.

    Example:
        >>> add_benchmark(
        ...     'fss1000',
        ...     dict(hsnet=dict(num_episodes=2400, min_pixels=1), ssp=dict(min_pixels=1)),
        ... )

    Args:
        name: In a data set's metainfo.
        values: Protocol → attribute → value; attributes are those in
            :data:`BY_BENCHMARK`. Values are checked when a data set uses them.

    Raises:
        ValueError: If it is one of :data:`BENCHMARKS` or was added with other values;
            or a protocol or attribute is unknown.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f'benchmark {name!r}: expected a name')
    for protocol, own in values.items():
        get_protocol(protocol)
        unknown = sorted(set(own) - set(BY_BENCHMARK))
        if unknown:
            raise ValueError(
                f'benchmark {name!r}, protocol {protocol!r}: {unknown} cannot differ by '
                f'benchmark; expected some of {BY_BENCHMARK}'
            )
    known = {
        p.name: p.benchmarks[name] for p in PROTOCOLS.values() if name in p.benchmarks
    }
    wanted = {protocol: dict(own) for protocol, own in values.items() if own}
    if name in BENCHMARKS or (known and known != wanted):
        raise ValueError(
            f'benchmark {name!r} is known already, with {known or "values of its own"}: '
            'scores by other values need another name'
        )
    for protocol, own in wanted.items():
        old = PROTOCOLS[protocol]
        PROTOCOLS[protocol] = replace(old, benchmarks={**old.benchmarks, name: own})


def departures(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Where settings differ from a protocol's, in words.

    Args:
        expected: From :meth:`Protocol.settings`.
        found: The same options as they are used.

    Returns:
        A sentence for each difference.
    """
    return [
        f'{name}: {_words(found[name])} instead of {_words(value)}'
        for name, value in expected.items()
        if _words(found[name]) != _words(value)
    ]


def _words(value: Any) -> str:
    """An option's value for readers; transforms as calls."""
    if isinstance(value, (list, tuple)):
        return ', '.join(_words(item) for item in value)
    if isinstance(value, Mapping) and 'type' in value:
        arguments = ', '.join(f'{k}={v}' for k, v in value.items() if k != 'type')
        return f'{value["type"]}({arguments})' if arguments else str(value['type'])
    return str(value)

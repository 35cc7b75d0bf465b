"""Evaluation protocols: complete, named settings that stand beside every score.

Few-shot scores differ by protocol as much as by method, so a score without the name of
its protocol says little. `ssp` is this method's release, `hsnet`, `pfenet` and `bam` are
those of HSNet (ICCV 2021), PFENet (TPAMI 2020) and BAM (CVPR 2022).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

BENCHMARKS = ('pascal5i', 'coco20i')


@dataclass(frozen=True)
class Protocol:
    """A row of the table in docs/protocols.md for each attribute.

    Where a protocol differs by benchmark, an attribute is a mapping from ``'pascal5i'``
    and ``'coco20i'``; data sets other than COCO-20i are treated as PASCAL-5i.

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
    """

    name: str
    version: int
    image_size: Mapping[str, int | None]
    keep_ratio: bool
    score_at_input_size: bool
    ignored_support: Literal['ignore', 'background']
    sampling: Mapping[str, str]
    min_pixels: int
    num_episodes: Mapping[str, int]
    seeds: tuple[int, ...]
    undrawn_classes_count: bool
    fold_order: Mapping[str, str]
    remove_novel_images: bool

    def settings(self, benchmark: str, original_size: bool = False) -> dict[str, Any]:
        """The protocol as arguments of :class:`mmssp.datasets.EpisodicDataset`.

        Args:
            benchmark: ``'pascal5i'`` or ``'coco20i'``.
            original_size: Score at the original size, whatever the protocol says; a
                switch that HSNet's release has.

        Returns:
            ``pipeline``, ``support_pipeline``, ``sampling``, ``min_pixels``,
            ``ignored_support``, ``num_episodes``, ``seed`` and ``fold_order``.
        """
        load: list[dict[str, Any]] = [dict(type='LoadImage'), dict(type='LoadMask')]
        query, support = [*load], [*load]
        size = self.image_size[benchmark]
        if size is not None:
            resize: dict[str, Any] = dict(
                type='ResizePadded' if self.keep_ratio else 'ResizeSquashed', size=size
            )
            support.append(resize)
            at_input = self.score_at_input_size and not original_size
            query.append(resize if at_input else dict(resize, resize_mask=False))
        return dict(
            pipeline=query,
            support_pipeline=support,
            sampling=self.sampling[benchmark],
            min_pixels=self.min_pixels,
            ignored_support=self.ignored_support,
            num_episodes=self.num_episodes[benchmark],
            seed=list(self.seeds),
            fold_order=self.fold_order[benchmark],
        )


def _both(pascal: Any, coco: Any) -> dict[str, Any]:
    return dict(zip(BENCHMARKS, (pascal, coco), strict=True))


_SSP = Protocol(
    name='ssp',
    version=1,
    image_size=_both(None, None),
    keep_ratio=True,
    score_at_input_size=False,
    ignored_support='ignore',
    sampling=_both('images', 'images'),
    min_pixels=2048,
    num_episodes=_both(1000, 4000),
    seeds=(0, 1, 2, 3, 4),
    undrawn_classes_count=False,
    fold_order=_both('contiguous', 'contiguous'),
    remove_novel_images=False,
)
_HSNET = Protocol(
    name='hsnet',
    version=1,
    image_size=_both(400, 400),
    keep_ratio=False,
    score_at_input_size=True,
    ignored_support='background',
    sampling=_both('hsnet_pairs', 'hsnet_classes'),
    min_pixels=2048,
    num_episodes=_both(1000, 1000),
    seeds=(0,),
    undrawn_classes_count=True,
    fold_order=_both('contiguous', 'interleaved'),
    remove_novel_images=False,
)
_PFENET = Protocol(
    name='pfenet',
    version=1,
    image_size=_both(473, 641),
    keep_ratio=True,
    score_at_input_size=False,
    ignored_support='ignore',
    sampling=_both('in_order', 'in_order'),
    min_pixels=2048,
    num_episodes=_both(5000, 20000),
    seeds=(321,),
    undrawn_classes_count=True,
    fold_order=_both('contiguous', 'interleaved'),
    remove_novel_images=False,
)
_BAM = replace(
    _PFENET,
    name='bam',
    num_episodes=_both(1000, 1000),
    # its release draws five of its own
    seeds=(321, 322, 323, 324, 325),
    remove_novel_images=True,
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

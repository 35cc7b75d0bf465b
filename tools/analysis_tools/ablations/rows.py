"""The rows of each table: what a row changes of SSP as it was published."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

BASELINE = dict(type='BaselineHead')
NO_LOSSES = dict(loss_query_self=None, loss_support_self=None)
STAGE_1 = dict(type='SSPHead', refine=False)
REFINED = dict(type='SSPHead', refine=True)
PANET = dict(similarity_scale=20.0, memory=dict(type='PixelPrototypes'))
PPNET = dict(
    similarity_scale=20.0,
    memory=dict(type='PartPrototypes', parts=5, background_parts=5, whole=0.8),
)


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: What stands at its beginning.
        head: The decode head, without what it takes from the config (``in_channels``,
            ``in_index``, …).
        model: What else of the model's config it changes, by dotted names.
        training: Head that the weights were trained with; None for ``head``.
        shots: Supports of an episode; None for those that are asked for.
        marks: How supports are marked; see :mod:`ablations.support_marks`.
    """

    name: str
    head: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] | None = None
    shots: int | None = None
    marks: str = 'masks'


def paper() -> Iterator[Row]:
    """One part after the other, as in the paper; each row is trained as it is tested."""
    yield Row('baseline', BASELINE)
    foreground = dict(STAGE_1, **NO_LOSSES, background_support_weight=1.0)
    yield Row('+ self-support foreground (SSFP)', foreground)
    background = dict(STAGE_1, **NO_LOSSES, global_background_weight=1.0)
    yield Row('+ self-support background (SSBP)', background)
    yield Row('+ adaptive background (ASBP)', dict(STAGE_1, **NO_LOSSES))
    yield Row('+ self-matching losses', STAGE_1)
    yield Row('+ refinement: SSP', REFINED)
    yield Row(
        'SSP, adaptive foreground too (ASFP)',
        dict(REFINED, adaptive_foreground_weight=0.7),
    )


def thresholds() -> Iterator[Row]:
    """When a query's pixels are believed; all by the weights of the published head."""
    for name in ('foreground', 'background'):
        for value in (0.5, 0.6, 0.7, 0.8, 0.9):
            yield Row(
                f'{name} {value}',
                dict(REFINED, **{f'{name}_threshold': value}),
                training=REFINED,
            )


def shots() -> Iterator[Row]:
    """More supports, for the baseline, SSP, and where no shot is averaged away."""
    each = dict(type='PartPrototypes', parts=1, background_parts=1)
    for number in (1, 3, 5, 10):
        for name, head, training in (
            ('baseline', BASELINE, None),
            ('SSP', REFINED, None),
            ("SSP, each shot's prototypes", dict(REFINED, memory=each), REFINED),
        ):
            yield Row(f'{name}, {number}-shot', head, training=training, shots=number)


def annotations() -> Iterator[Row]:
    """Supports marked by less than full masks, or wrongly."""
    for marks in (
        'masks',
        'boxes',
        'scribbles',
        'points',
        'noisy masks',
        'half objects',
    ):
        yield Row(marks, REFINED, marks=marks)
    pixels = dict(REFINED, memory=dict(type='PixelPrototypes'))
    for marks in ('masks', 'scribbles', 'points'):
        name = f'{marks}, averaged over pixels'
        yield Row(name, pixels, training=REFINED, marks=marks)


def options() -> Iterator[Row]:
    """What may be put into the heads, each by itself; no row is trained for it."""
    yield from (Row('baseline', BASELINE), Row('SSP', REFINED))
    for name, option in (
        ("PANet's prototypes", PANET),
        ("PPNet's parts", PPNET),
        (
            '5 parts of the foreground',
            dict(memory=dict(type='PartPrototypes', parts=5, background_parts=1)),
        ),
        (
            "each shot's prototypes",
            dict(memory=dict(type='PartPrototypes', parts=1, background_parts=1)),
        ),
        (
            "each shot's prototypes, softly",
            dict(
                memory=dict(
                    type='PartPrototypes', parts=1, background_parts=1, temperature=10.0
                )
            ),
        ),
        ('whitened', dict(memory=dict(type='WhitenedPrototypes'))),
        (
            'whitened, less shrunk',
            dict(memory=dict(type='WhitenedPrototypes', shrinkage=0.1)),
        ),
        ('nearest cells', dict(memory=dict(type='SupportTokens'))),
        (
            'means, reverse check',
            dict(
                memory=dict(type='SupportTokens', compared='mean', reverse_check=True)
            ),
        ),
        ('16 clusters', dict(grouping=dict(type='QueryClusters', clusters=16))),
        (
            '16 clusters, half',
            dict(grouping=dict(type='QueryClusters', clusters=16, weight=0.5)),
        ),
        ('32 clusters', dict(grouping=dict(type='QueryClusters', clusters=32))),
        ('debiased', dict(debiasing=dict(type='PositionalDebiasing'))),
        (
            'debiased, not centred',
            dict(debiasing=dict(type='PositionalDebiasing', centred=False)),
        ),
    ):
        yield Row(f'baseline, {name}', dict(BASELINE, **option), training=BASELINE)
        yield Row(f'SSP, {name}', dict(REFINED, **option), training=REFINED)
    yield Row(
        'SSP, adaptive foreground',
        dict(REFINED, adaptive_foreground_weight=0.7),
        training=REFINED,
    )


TABLES = dict(
    paper=paper,
    thresholds=thresholds,
    shots=shots,
    annotations=annotations,
    options=options,
)


def rows_of(tables: Sequence[str]) -> list[tuple[str, Row]]:
    """Every row of some tables, each with the name of its table."""
    return [(table, row) for table in tables for row in TABLES[table]()]

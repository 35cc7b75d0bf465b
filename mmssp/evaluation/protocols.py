"""Evaluation protocols: complete, named settings that stand beside every score.

Few-shot scores differ by protocol as much as by method, so a score without the name of
its protocol says little.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """What a protocol fixes beyond the data pipeline of a config.

    Attributes:
        name: Stands beside every score.
        version: Of this definition; raised whenever scores could change.
        seeds: One for each run; scores are means over the runs.
        undrawn_classes_count: Whether a class that no episode of a run is about counts
            as IoU 0 in the mean, instead of being left out.
    """

    name: str
    version: int
    seeds: tuple[int, ...]
    undrawn_classes_count: bool


PROTOCOLS = {
    # images at their original size; 1,000 episodes a run on PASCAL-5i, 4,000 on COCO-20i
    'ssp': Protocol(
        name='ssp', version=1, seeds=(0, 1, 2, 3, 4), undrawn_classes_count=False
    ),
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ValueError: If there is none, naming those there are.
    """
    if name not in PROTOCOLS:
        raise ValueError(f'protocol={name!r}: expected one of {sorted(PROTOCOLS)}')
    return PROTOCOLS[name]

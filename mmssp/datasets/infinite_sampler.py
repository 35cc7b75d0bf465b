"""Which episode comes next in training: an ever new one."""

import itertools
from collections.abc import Iterator, Sized

from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module()
class InfiniteEpisodeSampler(Sampler[int]):
    """Counts 0, 1, 2, … without end, every rank taking its share in turn.

    Episode i is a pure function of the data set's seed and i, so counting on gives new
    episodes for ever, whatever the number of epochs, workers or ranks; there is nothing
    to shuffle.

    Args:
        dataset: An :class:`EpisodicDataset`.
        seed: Unused; dataloaders pass it to every sampler.
        round_up: Unused; likewise.
    """

    def __init__(
        self, dataset: Sized, seed: int | None = None, round_up: bool = True
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        self._start = 0

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self._start + self.rank, self.world_size)

    def __len__(self) -> int:
        """Nominal number of episodes of the data set."""
        return self.size

    def skip(self, num_samples: int) -> None:
        """Start after the episodes that this rank has already had; for resuming.

        Args:
            num_samples: Episodes consumed by this rank since the start of the run.

        Raises:
            ValueError: If negative.
        """
        if num_samples < 0:
            raise ValueError(f'num_samples={num_samples}: expected 0 or more')
        self.start_at(num_samples * self.world_size)

    def start_at(self, episode: int) -> None:
        """Start at an episode, with as many ranks as there are now.

        Args:
            episode: The number of episodes that all ranks have had, however many they
                were.

        Raises:
            ValueError: If negative.
        """
        if episode < 0:
            raise ValueError(f'episode={episode}: expected 0 or more')
        self._start = episode

    def set_epoch(self, epoch: int) -> None:
        """Nothing: the count goes on across epochs."""

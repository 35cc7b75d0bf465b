"""Which episode comes next in training: an ever new one."""

import itertools
import math
from collections.abc import Iterator, Sized

from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module()
class InfiniteEpisodeSampler(Sampler[int]):
    """Counts 0, 1, 2, … without end, every rank taking its share in turn.

    Episode i is a pure function of the data set's seed and i, so counting on gives new
    episodes for ever, whatever the number of epochs, workers or ranks; there is nothing
    to shuffle. Epoch-based training takes epochs of the data set's ``num_episodes``, each
    of new episodes; :class:`mmssp.runtime.exact_resume_hook.ExactResumeHook` says when.

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
        self._epoch = 0
        self._in_epochs = False

    def __iter__(self) -> Iterator[int]:
        if not self._in_epochs:
            return itertools.count(self._start + self.rank, self.world_size)
        share = len(self)
        first = self._epoch * share * self.world_size + self.rank
        self._epoch += 1
        return iter(range(first, first + share * self.world_size, self.world_size))

    def __len__(self) -> int:
        """Episodes of an epoch for this rank: its share of the data set's number."""
        return math.ceil(self.size / self.world_size)

    def end_epochs(self) -> None:
        """End after each epoch, as epoch-based training has to; the count goes on."""
        self._in_epochs = True

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
        """Which epoch is next, 0-based, where epochs end; else nothing."""
        self._epoch = epoch

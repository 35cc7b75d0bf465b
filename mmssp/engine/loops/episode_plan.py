"""In which order to visit images, so that each is encoded once and few are kept."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ...datasets.episodes import Episode
from .image_views import Visit


def share(episodes: Mapping[int, Episode], rank: int, world_size: int) -> list[int]:
    """A process's share of the episodes: classes together, then queries.

    Processes have equal shares, up to one episode, and few images in common.

    Args:
        episodes: By item.
        rank: 0-based.
        world_size: Number of processes.

    Returns:
        Items.
    """
    order = sorted(episodes, key=lambda i: (episodes[i].label, episodes[i].query, i))
    size, rest = divmod(len(order), world_size)
    start = rank * size + min(rank, rest)
    return order[start : start + size + (rank < rest)]


def plan_visits(episodes: Mapping[int, Episode]) -> list[Visit]:
    """One visit for each image of some episodes.

    What is only a support comes first and what is only a query last, which need not be
    kept; between them, classes stay together, so that a query waits for its supports
    while its class lasts.

    Args:
        episodes: By item.

    Returns:
        The visits, in order.
    """
    labels, asked, items = defaultdict(set), defaultdict(set), defaultdict(list)
    for i, episode in episodes.items():
        items[episode.query].append(i)
        asked[episode.query].add(episode.label)
        for image in episode.supports:
            labels[image].add(episode.label)

    def place(visit: Visit) -> tuple[int, int, int]:
        kind = 0 if not visit.items else 1 if visit.labels else 2
        return kind, min([*visit.labels, *visit.asked]), visit.image

    visits = [
        Visit(
            image,
            labels=tuple(sorted(labels[image])),
            items=tuple(sorted(items[image])),
            asked=tuple(sorted(asked[image])),
        )
        for image in set(labels) | set(items)
    ]
    return sorted(visits, key=place)


class Waiting:
    """Which queries still lack a support's prototypes.

    Args:
        episodes: By item.
    """

    def __init__(self, episodes: Mapping[int, Episode]) -> None:
        self._missing: dict[int, set[tuple[int, int]]] = defaultdict(set)
        self._queries_of: dict[tuple[int, int], set[int]] = defaultdict(set)
        self._uses: dict[tuple[int, int], int] = defaultdict(int)
        for episode in episodes.values():
            for key in support_keys(episode):
                self._missing[episode.query].add(key)
                self._queries_of[key].add(episode.query)
                self._uses[key] += 1

    def is_ready(self, query: int) -> bool:
        """Whether all supports of all episodes with that query are there."""
        return not self._missing[query]

    def arrived(self, key: tuple[int, int]) -> list[int]:
        """Note (support image, label); returns the queries that are ready by that."""
        ready = []
        for query in sorted(self._queries_of.pop(key, ())):
            self._missing[query].discard(key)
            if not self._missing[query]:
                ready.append(query)
        return ready

    def used(self, episode: Episode) -> list[tuple[int, int]]:
        """Note that an episode is done; returns the keys that none needs any more."""
        done = []
        for key in support_keys(episode):
            self._uses[key] -= 1
            if not self._uses[key]:
                done.append(key)
        return done


def support_keys(episode: Episode) -> Sequence[tuple[int, int]]:
    """(image, label) of each support, by shot."""
    return [(image, episode.label) for image in episode.supports]

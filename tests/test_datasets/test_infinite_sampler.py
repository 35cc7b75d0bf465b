"""Which episode is next, for any number of processes, also after a stop."""

import itertools

import pytest

from mmssp.datasets.infinite_sampler import InfiniteEpisodeSampler


def first(sampler: InfiniteEpisodeSampler, number: int) -> list[int]:
    return list(itertools.islice(sampler, number))


def samplers(world_size: int, monkeypatch) -> list[InfiniteEpisodeSampler]:
    found = []
    for rank in range(world_size):
        monkeypatch.setattr(
            'mmssp.datasets.infinite_sampler.get_dist_info',
            lambda r=rank: (r, world_size),
        )
        found.append(InfiniteEpisodeSampler([]))
    return found


def test_other_numbers_of_processes_go_on_where_all_of_them_were(monkeypatch):
    seen = sorted(sum((first(s, 5) for s in samplers(3, monkeypatch)), []))
    for sampler in samplers(2, monkeypatch):
        sampler.start_at(15)
        seen += first(sampler, 3)
    assert sorted(seen) == list(range(21))


def test_skipping_counts_the_episodes_of_one_process(monkeypatch):
    for rank, sampler in enumerate(samplers(2, monkeypatch)):
        sampler.skip(4)
        assert first(sampler, 2) == [8 + rank, 10 + rank]


@pytest.mark.parametrize('method', ['skip', 'start_at'])
def test_negative_numbers_are_refused(method, monkeypatch):
    sampler = samplers(1, monkeypatch)[0]
    with pytest.raises(ValueError, match='=-1: expected 0 or more'):
        getattr(sampler, method)(-1)

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


@pytest.mark.parametrize('world_size', [1, 2, 3])
def test_epochs_end_and_each_has_new_episodes(world_size, monkeypatch):
    found = samplers(world_size, monkeypatch)
    seen = []
    for sampler in found:
        sampler.size = 7
        sampler.end_epochs()
        assert len(sampler) == -(-7 // world_size)
        epochs = [list(sampler), list(sampler)]
        assert [len(epoch) for epoch in epochs] == [len(sampler)] * 2
        seen += sum(epochs, [])
    assert len(seen) == len(set(seen)) and set(range(14)) <= set(seen)


def test_a_resumed_training_goes_on_with_its_epoch(monkeypatch):
    whole, resumed = (samplers(1, monkeypatch)[0] for _ in range(2))
    for sampler in (whole, resumed):
        sampler.size = 5
        sampler.end_epochs()
    epochs = [list(whole) for _ in range(3)]
    resumed.set_epoch(2)
    assert list(resumed) == epochs[2] == [10, 11, 12, 13, 14]


def test_without_epochs_set_epoch_changes_nothing(monkeypatch):
    sampler = samplers(1, monkeypatch)[0]
    sampler.set_epoch(3)
    assert first(sampler, 3) == [0, 1, 2]

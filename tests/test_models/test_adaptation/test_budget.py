"""Budget: how many iterations there are, and how far they say they are."""

import pytest

from mmssp.models import Budget


def test_iterations_are_shared_by_the_parts():
    budget = Budget(iterations=20)
    first = list(budget.steps(0.4, 'first'))
    second = list(budget.steps(1.0, 'second'))
    assert (len(first), len(second)) == (8, 12)
    assert first[0] == second[0] == 0
    assert first == sorted(first)
    assert max(first) < 1
    assert budget.iterations_done == 20


def test_every_part_has_an_iteration():
    budget = Budget(iterations=1)
    assert [len(list(budget.steps(share, ''))) for share in (0.1, 0.2, 1.0)] == [
        1,
        1,
        1,
    ]


def test_seconds_are_by_the_clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr('time.monotonic', lambda: now[0])
    budget = Budget(seconds=10)
    done = 0
    for position in budget.steps(0.5, ''):
        assert position == pytest.approx(done / 5)
        now[0] += 1
        done += 1
    assert done == 5
    assert budget.elapsed == 5
    # a part that took too long leaves less to the next
    now[0] += 3
    assert sum(1 for _ in _slowly(budget.steps(1.0, ''), now)) == 2


def _slowly(steps, now):
    for position in steps:
        now[0] += 1
        yield position


@pytest.mark.parametrize(
    ('seconds', 'parts'),
    [
        (1, [4, 4, 12]),  # fast enough: as without a least number
        (2, [3, 3, 4]),  # the parts take what the last would have had
        (4, [2, 1, 2]),  # too slow: they end all the same
    ],
)
def test_a_part_goes_on_for_its_least_number(monkeypatch, seconds, parts):
    now = [100.0]
    monkeypatch.setattr('time.monotonic', lambda: now[0])
    budget = Budget(seconds=20)
    found = []
    for until, latest in ((0.2, 0.3), (0.4, 0.6)):
        positions = []
        for position in budget.steps(until, '', 3, latest):
            positions.append(position)
            now[0] += seconds
        assert positions == sorted(positions)
        assert max(positions) < 1
        found.append(len(positions))
    for _ in budget.steps(1.0, ''):
        now[0] += seconds
    found.append(budget.iterations_done - sum(found))
    assert found == parts


def test_a_least_number_of_iterations_takes_from_what_follows():
    budget = Budget(iterations=20)
    parts = [
        len(list(budget.steps(*part)))
        for part in ((0.2, '', 6, 0.5), (0.4, '', 6, 0.5), (1.0, ''))
    ]
    assert parts == [6, 4, 10]


def test_what_is_done_is_reported():
    told = []
    budget = Budget(iterations=4, report=lambda share, what: told.append((share, what)))
    list(budget.steps(0.5, 'a'))
    list(budget.steps(1.0, 'b'))
    assert told == [(0, 'a'), (0.25, 'a'), (0.5, 'b'), (0.75, 'b')]


def test_it_ends_when_it_is_stopped():
    budget = Budget(iterations=100)
    for _ in budget.steps(1.0, ''):
        budget.stopped = budget.iterations_done >= 3
    assert budget.iterations_done == 4


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({}, 'expected one of them'),
        (dict(seconds=1, iterations=1), 'expected one of them'),
        (dict(seconds=0), 'seconds=0: expected a number above 0'),
        (dict(seconds=float('nan')), 'seconds=nan'),
        (dict(seconds=True), 'seconds=True'),
        (dict(iterations=0), 'iterations=0: expected an integer of 1 or more'),
    ],
)
def test_budgets_that_are_none_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Budget(**wrong)

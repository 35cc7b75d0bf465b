"""A bar on terminals; elsewhere a line when nothing was said for a while."""

import io
import sys

import pytest
from terminal import Terminal

from mmssp.utils.progress import ProgressLines, shown_progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def lines_of(clock, total, steps, done=0) -> list[str]:
    """What is said of steps of (seconds, number done)."""
    said = []
    lines = ProgressLines('images', total, done, clock=clock, write=said.append)
    for seconds, number in steps:
        clock.now += seconds
        lines.update(number)
    return said


def test_a_line_tells_how_far_it_is_and_the_time_left(clock):
    assert lines_of(clock, 100, [(20, 25)]) == [
        'images: 25 of 100, 0:00:20 gone, about 0:01:00 left'
    ]


def test_what_was_done_before_takes_no_time_now(clock):
    (line,) = lines_of(clock, 100, [(10, 60)], done=50)
    assert line.endswith('about 0:00:40 left')


def test_a_short_job_says_nothing(clock):
    assert lines_of(clock, 9, [(1, n) for n in range(1, 10)]) == []


def test_nothing_is_said_of_the_end(clock):
    assert lines_of(clock, 1, [(100, 1)]) == []


def test_a_long_job_has_few_lines(clock):
    said = lines_of(clock, 100_000, [(0.01, n) for n in range(100_001)])
    assert 90 <= len(said) <= 100


def test_a_slow_job_has_a_line_a_minute(clock):
    said = lines_of(clock, 10_000, [(20, n) for n in range(1, 10)])
    assert [line.split(' of')[0] for line in said] == [
        'images: 3', 'images: 6', 'images: 9',
    ]  # fmt: skip


def test_parts_of_one_are_shown(clock):
    (line,) = lines_of(clock, 1, [(30, 0.25)])
    assert line.startswith('images: 0.25 of 1,')


@pytest.mark.parametrize(
    ('progress', 'shown'), [(None, False), (False, False), (True, True)]
)
def test_a_bar_is_for_terminals_or_who_asks(monkeypatch, progress, shown):
    log = io.StringIO()
    monkeypatch.setattr(sys, 'stderr', log)
    with shown_progress('images', 3, progress=progress) as told:
        told(2)
    assert bool(log.getvalue()) is shown


@pytest.mark.parametrize(
    ('terminal', 'shown'), [('xterm', 'images ━'), ('dumb', 'images: 2 of 3, ')]
)
def test_a_terminal_that_cannot_redraw_gets_lines(monkeypatch, terminal, shown):
    screen = Terminal()
    monkeypatch.setattr(sys, 'stderr', screen)
    monkeypatch.setenv('TERM', terminal)
    monkeypatch.setattr('mmssp.utils.progress.QUIET_SECONDS', 0)
    monkeypatch.setenv('NO_COLOR', '1')
    with shown_progress('images', 3) as told:
        told(2)
    assert shown in screen.getvalue()


def test_the_name_may_change(monkeypatch, capsys):
    monkeypatch.setattr('mmssp.utils.progress.QUIET_SECONDS', 0.0)
    with shown_progress('learning', 100, progress=None) as told:
        told(10, name='judging')
    assert capsys.readouterr().err.startswith('judging: 10 of 100')

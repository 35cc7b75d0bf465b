"""One function over many items, in one process or in several."""

import io
import multiprocessing
import os
import sys

import pytest
from terminal import Terminal

from mmssp.utils import parallel
from mmssp.utils.parallel import parallel_map

TASKS = list(range(100))


def square(task: int) -> int:
    return task * task


def process_of(task: int) -> int:
    return os.getpid()


def fail_at_50(task: int) -> int:
    if task == 50:
        raise LookupError(f'task {task}')
    return task


@pytest.mark.parametrize('workers', [1, 2, 3, None])
@pytest.mark.parametrize('chunksize', [1, 16, 1000])
def test_results_come_in_the_order_of_the_tasks(workers, chunksize):
    results = parallel_map(square, TASKS, workers, chunksize=chunksize)
    assert results == [task * task for task in TASKS]


def test_no_tasks_give_no_results():
    assert parallel_map(square, []) == []


def test_one_worker_is_this_process():
    assert set(parallel_map(process_of, TASKS, workers=1)) == {os.getpid()}


def test_several_workers_are_other_processes():
    assert os.getpid() not in parallel_map(process_of, TASKS, workers=2)


def test_few_tasks_run_in_this_process():
    results = parallel_map(process_of, TASKS[:31], workers=2, chunksize=16)
    assert set(results) == {os.getpid()}


@pytest.mark.skipif(not hasattr(os, 'sched_getaffinity'), reason='Linux only')
def test_as_many_workers_as_this_process_may_use_cpus(monkeypatch, capsys):
    monkeypatch.setattr(parallel.os, 'sched_getaffinity', lambda _: {0, 3, 5})
    parallel_map(square, TASKS, description='Squares', chunksize=1)
    assert 'Squares (3 process(es))' in capsys.readouterr().err


@pytest.mark.parametrize('workers', [1, 2])
def test_an_error_is_raised_as_it_was(workers):
    with pytest.raises(LookupError, match='task 50'):
        parallel_map(fail_at_50, TASKS, workers)


def test_no_process_is_left_after_an_error():
    before = multiprocessing.active_children()
    with pytest.raises(LookupError):
        parallel_map(fail_at_50, TASKS, workers=2)
    assert set(multiprocessing.active_children()) <= set(before)


def test_no_process_is_left_after_success():
    before = multiprocessing.active_children()
    parallel_map(square, TASKS, workers=2)
    assert set(multiprocessing.active_children()) <= set(before)


@pytest.mark.parametrize('workers', [1, 2])
def test_a_terminal_gets_a_bar_on_stderr(monkeypatch, capsys, workers):
    terminal = Terminal()
    monkeypatch.setattr(sys, 'stderr', terminal)
    monkeypatch.setenv('TERM', 'xterm')  # the tests may run in one that draws nothing
    parallel_map(square, TASKS, workers, description='Squares')
    assert terminal.getvalue().startswith('Squares')
    assert '100/100' in terminal.getvalue()
    assert '\x1b[?25h' in terminal.getvalue()  # the cursor is there again
    assert capsys.readouterr().out == ''


def test_a_log_file_gets_the_description_and_no_bar(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, 'stderr', log)
    parallel_map(square, TASKS, workers=1, description='Squares')
    assert log.getvalue() == 'Squares (1 process(es))\n'

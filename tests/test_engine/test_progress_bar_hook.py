"""The bar is up to date while batches run, and gone when anything else is printed."""

import io
import logging
import re
import sys
from functools import partial
from types import SimpleNamespace

import pytest
from mmseg.registry import HOOKS
from terminal import Terminal

from mmssp.engine.hooks import progress_bar_hook as module
from mmssp.utils import progress
from mmssp.utils.progress import ProgressLines


def screen(written: str) -> list[str]:
    """Lines that a terminal shows after it was sent a text, the last one's included."""
    lines, column = [''], 0
    for token in re.findall(r'\x1b\[[0-9;?]*[A-Za-z]|[\s\S]', written):
        if token == '\n':
            lines.append('')
            column = 0
        elif token == '\r':
            column = 0
        elif token == '\x1b[K':
            lines[-1] = lines[-1][:column]
        elif token.startswith('\x1b'):
            assert token.endswith('m'), f'{token!r} would have to be undone'
        else:
            lines[-1] = lines[-1][:column] + token + lines[-1][column + 1 :]
            column += 1
    return lines


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def streams(terminal, monkeypatch):
    """What the hook takes for ``sys``, both streams on one terminal of 80 columns."""
    monkeypatch.setenv('COLUMNS', '80')
    streams = SimpleNamespace(stdout=terminal, stderr=terminal)
    monkeypatch.setenv('TERM', 'xterm')
    for user in (module, progress):
        monkeypatch.setattr(user, 'sys', streams)
    return streams


@pytest.fixture
def runner(terminal, streams):
    logger = logging.Logger('test')
    logger.addHandler(logging.StreamHandler(terminal))
    evaluator = SimpleNamespace(
        metrics=[object(), SimpleNamespace(running_miou=lambda: 61.66)]
    )
    return SimpleNamespace(
        logger=logger,
        max_iters=10,
        iter=0,
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        val_dataloader=[0] * 3,
        test_dataloader=[0] * 4,
    )


@pytest.fixture
def hook():
    return HOOKS.build(dict(type='ProgressBarHook', refresh_seconds=0))


def run_train_iters(hook, runner, count):
    for i in range(count):
        hook.after_train_iter(runner, i, None, None)


def test_bar_counts_the_iterations_of_a_training(hook, runner, terminal):
    hook.before_train(runner)
    assert '0/10' in screen(terminal.getvalue())[-1]
    run_train_iters(hook, runner, 4)
    (line,) = screen(terminal.getvalue())
    assert line.startswith('train')
    assert '4/10' in line


def test_bar_of_a_resumed_training_starts_where_that_does(hook, runner, terminal):
    runner.iter = 7
    hook.before_train(runner)
    run_train_iters(hook, runner, 1)
    assert '8/10' in screen(terminal.getvalue())[-1]


def test_bar_tells_the_time_left(hook, runner, terminal, monkeypatch):
    now = [0.0]
    bar = partial(module.progress_bar, get_time=lambda: now[0])
    monkeypatch.setattr(module, 'progress_bar', bar)
    hook.before_train(runner)
    for _ in range(4):
        now[0] += 40
        run_train_iters(hook, runner, 1)
    assert 'ETA 0:04:00' in screen(terminal.getvalue())[-1]


@pytest.mark.parametrize(('phase', 'total'), [('val', 3), ('test', 4)])
def test_bar_counts_the_batches_of_an_evaluation(hook, runner, terminal, phase, total):
    getattr(hook, f'before_{phase}')(runner)
    getattr(hook, f'after_{phase}_iter')(runner, 0, None, None)
    line = screen(terminal.getvalue())[-1]
    assert line.startswith(phase)
    assert f'1/{total}' in line
    assert line.endswith('mIoU 61.7')


def test_bar_of_the_training_is_back_after_a_validation(hook, runner, terminal):
    hook.before_train(runner)
    run_train_iters(hook, runner, 2)
    hook.before_val(runner)
    hook.after_val_iter(runner, 0, None, None)
    assert '1/3' in screen(terminal.getvalue())[-1]
    hook.after_val(runner)
    (line,) = screen(terminal.getvalue())
    assert line.startswith('train')
    assert '2/10' in line


def test_bar_is_gone_in_the_end_and_streams_are_put_back(
    hook, runner, terminal, streams
):
    hook.before_train(runner)
    run_train_iters(hook, runner, 10)
    hook.after_train(runner)
    assert screen(terminal.getvalue()) == ['']
    assert streams.stdout is terminal
    assert streams.stderr is terminal
    assert runner.logger.handlers[0].filters == []


def test_log_lines_stand_alone_above_the_bar(hook, runner, terminal):
    hook.before_train(runner)
    runner.logger.warning('loss 1.0')
    run_train_iters(hook, runner, 1)
    first, bar = screen(terminal.getvalue())
    assert first == 'loss 1.0'
    assert '1/10' in bar


@pytest.mark.parametrize('name', ['stdout', 'stderr'])
def test_prints_stand_alone_above_the_bar(hook, runner, terminal, streams, name):
    hook.before_train(runner)
    print('a word', file=getattr(streams, name))
    run_train_iters(hook, runner, 1)
    assert screen(terminal.getvalue())[0] == 'a word'


def test_interrupt_leaves_only_its_report(hook, runner, terminal, monkeypatch):
    # Here rather than in a fixture: pytest puts its own in place before each test.
    monkeypatch.setattr(sys, 'stderr', terminal)
    monkeypatch.setattr(module, 'sys', sys)
    hook.before_train(runner)
    run_train_iters(hook, runner, 1)
    terminal.write('^C')  # the terminal's own echo
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
    lines = screen(terminal.getvalue())
    assert lines[0].startswith('Traceback')
    assert lines[-2:] == ['KeyboardInterrupt', '']


def test_next_run_does_not_see_the_bar_of_an_interrupted_one(
    hook, runner, terminal, streams
):
    hook.before_run(runner)
    hook.before_train(runner)
    hook.before_run(runner)
    assert streams.stderr is terminal
    hook.before_test(runner)
    hook.after_test(runner)
    assert screen(terminal.getvalue()) == ['']


def test_what_is_no_terminal_gets_no_bar(hook, runner, streams):
    stream = streams.stderr = io.StringIO()
    hook.before_train(runner)
    run_train_iters(hook, runner, 3)
    hook.after_train(runner)
    assert stream.getvalue() == ''


@pytest.fixture
def piped(runner, streams, monkeypatch):
    """The hook where stderr is a pipe, and the seconds that have gone by."""
    streams.stderr = io.StringIO()
    now = [0.0]
    monkeypatch.setattr(
        module, 'ProgressLines', partial(ProgressLines, clock=clock(now))
    )
    hook = HOOKS.build(dict(type='ProgressBarHook', quiet_seconds=10))
    hook.before_run(runner)
    return hook, now


def clock(now: list[float]):
    return lambda: now[0]


def train_slowly(hook, runner, now, count, seconds):
    for _ in range(count):
        now[0] += seconds
        hook.after_train_iter(runner, runner.iter, None, None)
        runner.iter += 1


def test_a_pipe_gets_a_line_after_some_seconds(piped, runner, streams):
    hook, now = piped
    hook.before_train(runner)
    train_slowly(hook, runner, now, 5, seconds=6)
    assert streams.stderr.getvalue().splitlines() == [
        'train: 2 of 10, 0:00:12 gone, about 0:00:48 left',
        'train: 4 of 10, 0:00:24 gone, about 0:00:36 left',
    ]


def test_a_pipe_gets_no_line_while_there_are_log_lines(piped, runner, streams):
    hook, now = piped
    hook.before_train(runner)
    for _ in range(5):
        runner.logger.warning('loss 1.0')
        train_slowly(hook, runner, now, 1, seconds=6)
    assert streams.stderr.getvalue() == ''


def test_a_pipe_is_told_of_validation_and_then_of_training(piped, runner, streams):
    hook, now = piped
    hook.before_train(runner)
    hook.before_val(runner)
    now[0] += 10
    hook.after_val_iter(runner, 0, None, None)
    hook.after_val(runner)
    train_slowly(hook, runner, now, 1, seconds=10)
    val, train = streams.stderr.getvalue().splitlines()
    assert val.startswith('val: 1 of 3')
    assert val.endswith('mIoU 61.7')
    assert train.startswith('train: 1 of 10')


def test_bar_can_be_forced(runner, streams):
    stream = streams.stderr = io.StringIO()
    HOOKS.build(dict(type='ProgressBarHook', force=True)).before_train(runner)
    assert '0/10' in stream.getvalue()


def test_processes_other_than_the_main_one_show_nothing(
    hook, runner, terminal, monkeypatch
):
    monkeypatch.setattr(module, 'is_main_process', lambda: False)
    hook.before_train(runner)
    run_train_iters(hook, runner, 3)
    hook.after_train(runner)
    assert terminal.getvalue() == ''


def test_bar_is_not_redrawn_more_often_than_asked(runner, terminal):
    hook = HOOKS.build(dict(type='ProgressBarHook', refresh_seconds=3600))
    hook.before_train(runner)
    run_train_iters(hook, runner, 9)
    assert terminal.getvalue().count('train') == 1


def test_wiped_bar_is_redrawn_at_once(runner, terminal):
    hook = HOOKS.build(dict(type='ProgressBarHook', refresh_seconds=3600))
    hook.before_train(runner)
    runner.logger.warning('loss 1.0')
    run_train_iters(hook, runner, 1)
    assert '1/10' in screen(terminal.getvalue())[-1]


def test_bar_stays_on_one_line_of_a_narrow_terminal(
    hook, runner, terminal, monkeypatch
):
    monkeypatch.setenv('TERM', 'xterm')  # on a dumb one the width is not asked for
    monkeypatch.setenv('COLUMNS', '30')
    hook.before_train(runner)
    (line,) = screen(terminal.getvalue())
    assert 0 < len(line) <= 30

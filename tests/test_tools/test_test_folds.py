"""tools/test_folds.py as a user runs it; mostly with a test that only pretends."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from commands import exit_code
from result_files import make_records, write_results
from tiny_data import write_test_config

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'test_folds.py'
# notes its arguments, and gives the results that lie ready for the fold
PRETENDED = """
import os, pathlib, shutil, sys, time
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
fold, out = (words[words.index(name) + 1] for name in ('--fold', '--out'))
with open(here / 'called.txt', 'a') as file:
    print(*words, sep='\\t', file=file)
if (here / f'fail{fold}').exists():
    sys.exit(7)
if (here / f'hang{fold}').exists():
    print('pid', os.getpid(), flush=True)
    time.sleep(600)
if not (here / f'silent{fold}').exists():
    shutil.copyfile(here / f'ready{fold}.json', out)
"""


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Path:
    """A copy of the tool beside a pretended test, and results for four folds."""
    folder = tmp_path / 'tools'
    folder.mkdir()
    shutil.copy(TOOL, folder)
    (folder / 'test.py').write_text(PRETENDED)
    for fold in range(4):
        records = make_records(seed=fold, better=100 * fold)
        write_results(folder / f'ready{fold}.json', records, fold=fold)
    (folder / 'config.py').write_text('')
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def run_folds(tools, capfd):
    """Run the tool in this process: (exit code, stdout, stderr)."""

    def run(*args, tool: Path = tools / 'test_folds.py') -> tuple[int, str, str]:
        return exit_code(tool, *args), *capfd.readouterr()

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


def called(tools: Path) -> list[list[str]]:
    path = tools / 'called.txt'
    return (
        [x.split('\t') for x in path.read_text().splitlines()] if path.exists() else []
    )


def test_table_and_report_hold_every_fold_and_the_mean(tools, run_folds, tmp_path):
    out = tmp_path / 'new' / 'all.json'
    code, printed, errors = run_folds(tools / 'config.py', 'none', '--out', out)
    assert code == 0, errors
    report = json.loads(out.read_text())
    rows = [line.split('|')[1:-1] for line in printed.splitlines() if '|' in line]
    assert [row[0].strip() for row in rows] == ['fold', '0', '1', '2', '3', 'mean']
    for fold in range(4):
        own = json.loads((tools / f'ready{fold}.json').read_text())
        stored = report['folds'][fold]
        assert stored['mIoU'] == own['mIoU']
        assert stored['file'] == str(tmp_path / 'new' / f'all_fold{fold}.json')
        assert json.loads(Path(stored['file']).read_text()) == own
        assert rows[fold + 1][1].strip() == f'{own["mIoU"]:.2f}'
    assert rows[-1][1].strip() == f'{report["mean"]["mIoU"]:.2f}'
    assert 'protocol ssp v1' in printed


def test_files_go_to_the_work_dir_of_the_config(tools, run_folds, tmp_path):
    assert run_folds(tools / 'config.py', 'none', '--folds', 2)[0] == 0
    names = sorted(path.name for path in (tmp_path / 'work_dirs' / 'config').iterdir())
    assert names == ['folds.json', 'folds_fold2.json']


def test_options_are_passed_on_with_the_fold_filled_in(tools, run_folds, tmp_path):
    for fold in (1, 3):
        (tmp_path / f'fold{fold}').mkdir()
        (tmp_path / f'fold{fold}' / 'best.pth').touch()
    code, _, errors = run_folds(
        tools / 'config.py', tmp_path / 'fold{fold}' / '*.pth', '--folds', 1, 3,
        '--out', tmp_path / 'F.json', '--shots', 5, '--show-dir', 'panels/{fold}',
        '--cfg-options', 'a.b=1', 'c=2',
    )  # fmt: skip
    assert code == 0, errors
    passed = [
        '--shots',
        '5',
        '--show-dir',
        'panels/{}',
        '--cfg-options',
        'a.b=1',
        'c=2',
    ]
    for fold, words in zip((1, 3), called(tools), strict=True):
        expected = [
            str(tools / 'config.py'),
            str(tmp_path / f'fold{fold}' / 'best.pth'),
        ]
        expected += [word.format(fold) for word in passed]
        expected += ['--fold', str(fold), '--out', str(tmp_path / f'F_fold{fold}.json')]
        assert words == expected


def test_several_processes_are_started_by_the_script(tools, run_folds, tmp_path):
    script = tools / 'dist_test.sh'
    script.write_text(
        '#!/bin/sh\necho "$3" >> "$(dirname "$0")/processes"\n'
        'config=$1 checkpoint=$2; shift 3\n'
        'exec "$PYTHON" "$(dirname "$0")/test.py" "$config" "$checkpoint" "$@"\n'
    )
    script.chmod(0o755)
    args = [tools / 'config.py', 'none', '--nproc', 3, '--folds', 0, 1]
    assert run_folds(*args, '--out', tmp_path / 'F.json')[0] == 0
    assert (tools / 'processes').read_text() == '3\n3\n'


def test_a_fold_that_fails_ends_all_with_its_code(tools, run_folds, tmp_path):
    (tools / 'fail1').touch()
    out = tmp_path / 'F.json'
    code, _, errors = run_folds(tools / 'config.py', 'none', '--out', out)
    assert code == 7
    assert 'error: fold 1: tools/test.py ended with 7' in errors
    assert len(called(tools)) == 2
    assert not out.exists()


def test_results_that_are_there_are_not_taken_for_new_ones(tools, run_folds, tmp_path):
    (tools / 'silent0').touch()
    old = tmp_path / 'F_fold0.json'
    shutil.copy(tools / 'ready0.json', old)
    code, _, errors = run_folds(
        tools / 'config.py', 'none', '--folds', 0, '--out', tmp_path / 'F.json'
    )
    assert code == 1
    assert f'did not write {old}' in errors
    assert old.exists()


def test_results_of_another_fold_are_refused(tools, run_folds, tmp_path):
    shutil.copy(tools / 'ready1.json', tools / 'ready0.json')
    code, _, errors = run_folds(
        tools / 'config.py', 'none', '--folds', 0, '--out', tmp_path / 'F.json'
    )
    assert code == 1
    assert 'is of fold 1: expected 0' in errors


@pytest.mark.parametrize(
    ('args', 'code', 'message'),
    [
        (['--fold', '1'], 2, '--fold cannot be passed on: the folds are given by'),
        (['--fold=1'], 2, '--fold cannot be passed on'),
        (['--fol', '1'], 2, '--fol cannot be passed on'),
        (['--ou', 'x'], 2, 'write --out in full'),
        (['--launcher', 'pytorch'], 2, 'started by --nproc'),
        (['--nproc', '0'], 2, '--nproc 0'),
        (['--folds', '1', '1'], 1, '--folds 1 1: expected different'),
        (['--out', '{tools}/test.py/F.json'], 1, 'cannot be written'),
    ],
)
def test_mistakes_end_with_one_sentence(args, code, message, tools, run_folds):
    args = [arg.format(tools=tools) for arg in args]
    found, _, errors = run_folds(tools / 'config.py', 'none', *args)
    assert found == code
    assert 'error: ' in errors.splitlines()[-1]
    assert message in errors.splitlines()[-1]
    assert called(tools) == []


@pytest.mark.parametrize(
    ('checkpoint', 'message'),
    [
        ('gone{fold}.pth', 'error: fold 0: no file matches gone0.pth'),
        ('gone.pth', 'does not say where the fold stands'),
    ],
)
def test_missing_weights_are_named_before_any_test(
    checkpoint, message, tools, run_folds
):
    code, _, errors = run_folds(tools / 'config.py', checkpoint)
    assert code == 1
    assert message in errors
    assert called(tools) == []


def test_missing_config_is_named(tools, run_folds):
    code, _, errors = run_folds('gone.py', 'none')
    assert code == 1
    assert 'error: config gone.py not found' in errors


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_ends_the_test_and_itself(tools, tmp_path):
    """A terminal sends it to all processes of the foreground."""
    (tools / 'hang0').touch()
    process = subprocess.Popen(
        [sys.executable, tools / 'test_folds.py', tools / 'config.py', 'none'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lines = iter(process.stdout.readline, '')
    pid = int(next(line for line in lines if line.startswith('pid ')).split()[1])
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert 'interrupted' in errors
    assert not is_running(pid)


def test_an_interrupt_that_the_test_does_not_see_ends_it_too(monkeypatch, capfd):
    spec = importlib.util.spec_from_file_location('folds_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(tool, 'GRACE', 0.05)
    timer = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'
    with pytest.raises(KeyboardInterrupt):
        tool.run_to_end([sys.executable, '-c', code])
    assert not is_running(int(capfd.readouterr().out))


@pytest.mark.slow
def test_real_folds_are_tested(run_folds, tmp_path):
    config = write_test_config(tmp_path, num_episodes=3)
    code, printed, errors = run_folds(
        config, 'none', '--folds', 0, 2, '--out', tmp_path / 'F.json', '--runs', 2,
        '--work-dir', tmp_path / 'work', '--shots', 2, tool=TOOL,
    )  # fmt: skip
    assert code == 0, errors
    report = json.loads((tmp_path / 'F.json').read_text())
    for row, classes in zip(report['folds'], (range(1, 6), range(11, 16)), strict=True):
        episodes = json.loads(Path(row['file']).read_text())['episodes']
        assert len(episodes) == 6
        assert {record['class_id'] for record in episodes} <= set(classes)
        assert {len(record['supports']) for record in episodes} == {2}
    assert 'departs from the protocol' in printed

"""Every command answers --help, and a wrong option, without importing PyTorch."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ('tools', 'demo', 'examples')
    for path in (ROOT / folder).rglob('*.py')
    if "__name__ == '__main__'" in path.read_text()
)
COMMANDS = {
    **{str(path.relative_to(ROOT)): [str(path)] for path in SCRIPTS},
    'mmssp': ['-m', 'mmssp'],
    'mmssp predict': ['-m', 'mmssp', 'predict'],
}
# each takes a second or more
HEAVY = {'torch', 'mmengine', 'mmcv', 'mmseg', 'ray', 'gradio', 'transformers'}


def imported(command: list[str], *words: str) -> tuple[int, str, set[str]]:
    """Exit code, what was printed, and the top-level packages that were imported."""
    path = [str(ROOT), os.environ.get('PYTHONPATH', '')]
    done = subprocess.run(
        [sys.executable, '-X', 'importtime', *command, *words],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, path))),
        capture_output=True,
        text=True,
    )
    names = re.findall(r'^import time: .*\| +(\w+)', done.stderr, re.MULTILINE)
    return done.returncode, done.stdout + done.stderr, set(names)


def test_all_commands_are_found():
    assert {'tools/train.py', 'demo/web_demo.py'} <= set(COMMANDS)


def test_mim_finds_each_command_by_its_name():
    """It looks for NAME.py below tools, and for one file of that name alone."""
    names = [path.name for path in (ROOT / 'tools').rglob('*.py')]
    commands = [path.name for path in SCRIPTS if ROOT / 'tools' in path.parents]
    assert [name for name in commands if names.count(name) > 1] == []


def test_guides_hand_help_through_mim():
    for guide in (ROOT / 'docs').glob('*.md'):
        for line in guide.read_text().splitlines():
            if line.startswith('mim ') and '--help' in line:
                assert ' -- --help' in line, f'{guide.name}: {line}'


@pytest.mark.parametrize('name', COMMANDS)
def test_help_comes_before_what_takes_seconds(name):
    code, printed, names = imported(COMMANDS[name], '--help')
    assert code == 0, printed[-2000:]
    assert 'usage: ' in printed
    assert 'argparse' in names or name == 'mmssp'
    assert names & HEAVY == set()


@pytest.mark.parametrize('name', COMMANDS)
def test_so_does_what_is_wrong_with_the_options(name):
    code, printed, names = imported(COMMANDS[name], '--nonsense')
    assert code == 2, printed[-2000:]
    assert names & HEAVY == set()


def test_settings_of_the_config_are_read_as_mmengine_reads_them():
    code = (
        'import argparse, sys\n'
        'from mmssp.arguments.shared_options import add_cfg_options\n'
        'parser = argparse.ArgumentParser()\n'
        'add_cfg_options(parser)\n'
        "args = parser.parse_args(['--cfg-options', 'a.b=[1,2]', 'c=x,y', 'd=1e-3'])\n"
        'print(args.cfg_options)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "{'a.b': [1, 2], 'c': ['x', 'y'], 'd': 0.001}"


def test_a_picture_of_another_kind_is_refused_before_the_work():
    demo = 'demo/adapt_demo.py'
    code, printed, names = imported(COMMANDS[demo], '--out', 'picture.tif')
    assert code == 2
    assert 'picture.tif: expected a file name that ends in .png' in printed
    assert names & HEAVY == set()

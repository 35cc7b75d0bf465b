"""Commands of mmssp let idle threads sleep; programs that import it decide themselves."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmssp._threads import COMMANDS, wait_passively

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    path
    for folder in ('tools', 'demo', 'examples')
    for path in (ROOT / folder).rglob('*.py')
    if "__name__ == '__main__'" in path.read_text()
)
# none of these imports PyTorch, nor does what lies beside the scripts
HARMLESS = {
    *(*sys.stdlib_module_names, 'numpy', 'cv2', 'PIL', 'prettytable'),
    *('shapes5i_drawing', 'cracked_walls', 'ablations', 'benchmarks'),
}


def first_import(path: Path) -> str:
    """The first package of a script that may import PyTorch."""
    for node in ast.parse(path.read_text()).body:
        names = [alias.name for alias in getattr(node, 'names', ())]
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
        elif not isinstance(node, ast.Import):
            continue
        for name in names:
            if name.split('.')[0] not in HARMLESS:
                return name.split('.')[0]
    return ''


def policy(**arguments) -> str | None:
    environment = arguments.pop('environment', {})
    wait_passively(environment=environment, **arguments)
    return environment.get('OMP_WAIT_POLICY')


@pytest.mark.parametrize('path', SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_script_is_a_command_and_imports_mmssp_before_pytorch(path):
    assert first_import(path) in ('mmssp', '')
    assert policy(program=str(path), located=False) == 'PASSIVE'


def test_what_mim_runs_is_a_command():
    path = str(COMMANDS[0] / 'train.py')
    assert policy(program=path, located=False) == 'PASSIVE'


@pytest.mark.parametrize('program', ['/home/me/tools/train.py', None])
def test_a_program_that_imports_mmssp_decides_itself(program):
    assert policy(program=program or __file__, located=False) is None


def test_what_the_user_has_set_stays():
    environment = dict(OMP_WAIT_POLICY='ACTIVE')
    assert policy(located=True, environment=environment) == 'ACTIVE'


@pytest.mark.parametrize(
    ('command', 'expected'),
    [
        (['-m', 'mmssp', '--version'], 'PASSIVE'),
        (['-W', 'ignore', '-m', 'mmssp', '--version'], 'PASSIVE'),
        # words of a user's own program
        (['-c', 'import mmssp', '-m', 'mmssp'], 'None'),
    ],
)
def test_it_is_so_in_a_process(command, expected, tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(
        'import atexit, os\n'
        "atexit.register(lambda: print(os.environ.get('OMP_WAIT_POLICY')))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != 'OMP_WAIT_POLICY'}
    environment['PYTHONPATH'] = os.pathsep.join(
        [str(tmp_path), str(ROOT), environment.get('PYTHONPATH', '')]
    )
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == expected

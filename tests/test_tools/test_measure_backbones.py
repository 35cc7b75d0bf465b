"""tools/analysis_tools/measure_backbones.py prints what backbones cost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from processes import environment

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'measure_backbones.py'


pytestmark = pytest.mark.slow


def tool(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment())


def test_it_counts_what_is_known_by_hand(tmp_path):
    pytest.importorskip('transformers')
    out = tmp_path / 'costs.json'
    arguments = ['ssp_dinov3-s', '--sizes', '64', '128', '--repeats', '1', '--out', out]
    done = tool(*arguments)
    assert done.returncode == 0, done.stderr
    assert '| ssp_dinov3-s' in done.stdout and 'threads 1' in done.stdout
    small, large = json.loads(out.read_text())['records']
    assert small['parameters'] == large['parameters'] and small['stride'] == 16
    for record in (small, large):
        tokens = (record['size'] // 16) ** 2 + 5
        # per block and token: 12·384² weights, and two products with all tokens
        expected = 2 * 12 * tokens * (12 * 384**2 + 2 * tokens * 384)
        expected += 2 * (tokens - 5) * 384 * 3 * 16**2
        assert record['gflop'] == pytest.approx(expected / 1e9, rel=0.01)
        assert record['ms'] > 0 and record['mib'] >= 0


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['nothing'], "model 'nothing' not found"),
        (['--sizes', '8'], 'expected sizes of 32 or more'),
    ],
)
def test_what_it_cannot_measure_is_a_sentence(arguments, sentence):
    done = tool(*arguments)
    assert done.returncode == 1 and sentence in done.stderr

"""tools/analysis_tools/measure_adapting.py, on a tiny data set."""

import json
from importlib import import_module
from pathlib import Path

import pytest
from commands import exit_code
from tiny_data import SMALL_MODEL, write_voc

ANALYSIS = Path(__file__).parents[2] / 'tools' / 'analysis_tools'
CONFIG = """
root = '{root}'
test_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(dataset=dict(data_root=root), min_pixels=16, workers=1),
)
"""


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ANALYSIS))
    return import_module('measuring.adapting')


def test_each_class_is_measured_before_and_after(tool, tmp_path, capsys):
    config = tmp_path / 'tiny.py'
    config.write_text(SMALL_MODEL + CONFIG.format(root=write_voc(tmp_path / 'voc')))
    code = exit_code(
        ANALYSIS / 'measure_adapting.py',
        *(config, '--model', config, '--shots', '2', '--seconds', '0.2'),
        *('--classes', 'aeroplane', 'bird', '--queries', '2'),
        *('--correct', '0.2', '--json', tmp_path / 'rows.json'),
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    assert 'mean of IoU' in printed.out
    assert 'corrected:' in printed.out
    rows = json.loads((tmp_path / 'rows.json').read_text())
    assert {row['seconds'] for row in rows} == {0, 0.2}
    assert all(0 <= row['IoU'] <= 100 for row in rows)
    assert all(len(row['there']) == 2 for row in rows)


def test_presence_is_by_one_threshold_for_all(tool):
    there, absent = [0.9] * 19 + [0.1], [0.2, 0.95, 0.05, 0.3]
    area, rejected = tool.separated(there, absent)
    assert rejected == 0.75
    assert 0.7 < area < 0.75


def test_ious_are_of_all_pixels(tool):
    assert tool.iou([(1, 2), (0, 2)]) == 25
    assert tool.iou([(0, 0)]) == 0

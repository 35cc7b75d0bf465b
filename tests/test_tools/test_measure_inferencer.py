"""tools/analysis_tools/measure_inferencer.py, on a tiny data set."""

import json
from pathlib import Path

import pytest
from commands import exit_code
from tiny_data import SMALL_MODEL, write_voc

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'measure_inferencer.py'
CONFIG = """
root = '{root}'
test_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(dataset=dict(data_root=root), min_pixels=16, workers=1),
)
"""


@pytest.mark.parametrize('what', ['annotations', 'presence', 'ways', 'memory'])
def test_rows_are_printed_and_written(what, tmp_path, capsys):
    """Dots leave nearly all of a mask ignored, which is no picture of black and white."""
    config = tmp_path / 'tiny.py'
    config.write_text(SMALL_MODEL + CONFIG.format(root=write_voc(tmp_path / 'voc')))
    code = exit_code(
        TOOL,
        *(what, config, '--model', config, '--shots', '1', '--episodes', '3'),
        *('--json', tmp_path / 'rows.json'),
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    rows = json.loads((tmp_path / 'rows.json').read_text())
    assert rows
    if what == 'annotations':
        marks = {row['supports'] for row in rows}
        assert {'mask', 'box', 'points'} <= marks
        assert all(0 <= row['mIoU'] <= 100 for row in rows)

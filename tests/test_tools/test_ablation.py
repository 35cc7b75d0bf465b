"""tools/analysis_tools/ablation.py: its rows are tests, and a killed run goes on."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import exit_code
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_data import SMALL_MODEL, write_voc

from mmssp.utils.command import run

ANALYSIS = Path(__file__).parents[2] / 'tools' / 'analysis_tools'
CONFIG = """
root = '{root}'
crop = [
    dict(type='LoadImage'),
    dict(type='LoadMask'),
    dict(type='RandomCrop', crop_size=(32, 32)),
]
small = dict(dataset=dict(data_root=root), min_pixels=16, workers=1)
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=crop, **small), **loader)
val_dataloader = dict(dataset=dict(num_episodes=2, **small), **loader)
test_dataloader = dict(dataset=dict(**small), **loader)
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=1))
randomness = dict(seed=0)
model = dict(
    backbone=dict(
        _delete_=True, type='SSPResNetV1c', depth=18, num_stages=2, strides=(1, 2),
        dilations=(1, 1), out_indices=(1,), base_channels=8, stem_channels=16,
        norm_eval=True,
    ),
    decode_head=dict(in_channels=16),
)
"""


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ANALYSIS))
    return import_module('ablations.study')


def tables_of() -> dict:
    """The tables by name; to be asked for when the tool is on the path."""
    return import_module('ablations.rows').TABLES


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / 'tiny.py'
    path.write_text(SMALL_MODEL + CONFIG.format(root=write_voc(tmp_path / 'voc')))
    return path


def measure(tool, config: Path, *options: object) -> tuple[int, list[dict]]:
    """Exit code, and the rows that were written."""
    out = config.parent / 'out'
    code = exit_code(
        lambda: run(tool.main, import_module('ablation').parse_args),
        *(config, '--out', out, '--runs', 1, '--episodes', 6),
        *options,
    )
    table = out / 'table.json'
    return code, json.loads(table.read_text())['rows'] if table.is_file() else []


@pytest.fixture
def built(monkeypatch, tool) -> list[torch.nn.Module]:
    """Models in order; initial weights are the same each time, as published ones are."""
    build, models = tool.build_model, []

    def same(*args):
        torch.manual_seed(0)
        models.append(build(*args))
        return models[-1]

    monkeypatch.setattr(tool, 'build_model', same)
    return models


UNTRAINED = ('--weights', 'untrained', '--tables')


@pytest.mark.usefixtures('built')
def test_every_row_is_measured_and_shown(tool, config, capsys):
    tables = ('paper', 'thresholds', 'annotations', 'options')
    code, rows = measure(tool, config, *UNTRAINED, *tables, '--shots', 1, 2)
    assert code == 0, capsys.readouterr().err
    assert {(r['table'], r['row']) for r in rows} == {
        (table, row.name) for table in tables for row in tables_of()[table]()
    }
    assert {r['shots'] for r in rows} == {1, 2}
    assert all(r['episodes'] == 6 and 0 <= r['mIoU'] <= 100 for r in rows)
    text = (config.parent / 'out' / 'table.md').read_text()
    assert all(f'| {r["row"]} |' in text for r in rows)
    assert 'num_episodes: 6 instead of 1000' in text
    picture = (config.parent / 'out' / 'table.png').read_bytes()
    assert picture.startswith(b'\x89PNG')


@pytest.mark.parametrize('row', ['SSP, debiased', "baseline, PPNet's parts"])
def test_a_row_is_what_a_test_gives(row, tool, built, config, tmp_path):
    _, rows = measure(tool, config, *UNTRAINED, 'options', '--shots', 2)
    (found,) = (r for r in rows if r['row'] == row)
    cfg = Config.fromfile(config)
    cfg.work_dir, cfg.log_level = str(tmp_path / 'work'), 'WARNING'
    cfg.model.decode_head = dict(found['head'], in_channels=16, in_index=0)
    cfg.test_dataloader.dataset.update(seed=[0], num_episodes=6, shots=2)
    runner = Runner.from_cfg(cfg)
    runner.model.load_state_dict(built[-1].state_dict())
    scores = runner.test()
    assert found['mIoU'] == pytest.approx(scores['mIoU'], abs=1e-9)
    assert found['FB_IoU'] == pytest.approx(scores['FB-IoU'], abs=1e-9)


@pytest.mark.usefixtures('built')
def test_a_run_that_was_interrupted_goes_on(tool, config, monkeypatch, capsys):
    evaluation = import_module('ablations.evaluation')
    counted, count = [], evaluation.pixel_counts

    def interrupted(*args):
        counted.append(args)
        if len(counted) == 16:
            raise KeyboardInterrupt
        return count(*args)

    monkeypatch.setattr(evaluation, 'pixel_counts', interrupted)
    code, rows = measure(tool, config, *UNTRAINED, 'paper')
    assert (code, rows) == (130, [])
    code, rows = measure(tool, config, *UNTRAINED, 'paper')
    # "+ self-matching losses" is the row before it, where nothing is trained
    assert len(counted) == 1 + 6 * 7
    again = measure(tool, config, *UNTRAINED, 'paper')
    assert again == (0, rows)
    assert len(counted) == 1 + 6 * 7
    measure(tool, config, *UNTRAINED, 'paper', 'annotations')
    assert len(counted) > 1 + 6 * 7


@pytest.mark.slow
def test_rows_are_trained_with_their_heads_once(tool, config, capsys, monkeypatch):
    paper = list(tables_of()['paper']())
    monkeypatch.setitem(tables_of(), 'paper', lambda: (paper[0], paper[-2]))
    code, rows = measure(tool, config, '--tables', 'paper', 'thresholds')
    assert code == 0, capsys.readouterr().err
    checkpoints = {r['row']: r['checkpoint'] for r in rows if r['weights'] == 'trained'}
    assert len(set(checkpoints.values())) == 2
    assert checkpoints['foreground 0.5'] == checkpoints['+ refinement: SSP']
    assert len({r['mIoU'] for r in rows}) > 4
    trained = {path: Path(path).stat().st_mtime_ns for path in checkpoints.values()}
    assert measure(tool, config, '--tables', 'paper', 'thresholds') == (0, rows)
    assert trained == {path: Path(path).stat().st_mtime_ns for path in trained}


def test_foreign_records_are_refused(tool, config, capsys):
    out = config.parent / 'out'
    out.mkdir()
    (out / 'records.json').write_text('[]')
    code, _ = measure(tool, config, *UNTRAINED, 'paper')
    assert code == 1
    assert 'found no records' in capsys.readouterr().err


MASK = np.zeros((96, 128), np.uint8)
MASK[20:60, 30:90] = 1
MASK[:4] = 255


@pytest.fixture
def marks(tool):
    return import_module('ablations.support_marks')


@pytest.mark.parametrize(
    'kind', ['masks', 'boxes', 'scribbles', 'points', 'noisy masks', 'half objects']
)
def test_marks_are_of_the_object_and_the_same_each_time(kind, marks):
    found = marks.marked(kind, MASK.copy(), (3, 1))
    assert found.shape == MASK.shape and found.dtype == np.uint8
    assert set(np.unique(found)) <= {0, 1, 255}
    assert (found == 1).any() and (found == 0).any()
    assert np.array_equal(found, marks.marked(kind, MASK.copy(), (3, 1)))
    if kind not in ('boxes', 'noisy masks'):
        assert not (found == 1)[MASK != 1].any()


def test_marks_say_less_than_the_mask(marks):
    object_pixels = (MASK == 1).sum()
    half = marks.marked('half objects', MASK, (0,))
    assert 0.4 < (half == 1).sum() / object_pixels < 0.6
    strokes, points = (marks.marked(k, MASK, (0,)) for k in ('scribbles', 'points'))
    assert (points == 1).sum() < (strokes == 1).sum() < object_pixels / 4
    noisy = marks.marked('noisy masks', MASK, (0,)) == 1
    overlap = (noisy & (MASK == 1)).sum() / (noisy | (MASK == 1)).sum()
    assert 0.5 < overlap < 0.98
    assert not np.array_equal(
        marks.marked('noisy masks', MASK, (0,)), marks.marked('noisy masks', MASK, (1,))
    )


@pytest.mark.parametrize('value', [0, 255])
def test_without_an_object_a_mask_stays(value, marks):
    mask = np.full((20, 30), value, np.uint8)
    for kind in marks.MARKS:
        assert np.array_equal(marks.marked(kind, mask, (0,)), mask)

"""tools/analysis_tools/compare_results.py as a user runs it."""

import json
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from commands import exit_code
from mmengine.config import Config
from mmseg.registry import DATASETS
from pycocotools import mask as mask_utils
from result_files import make_records, make_report, write_results
from tiny_data import write_test_config

from mmssp.evaluation import compared_episodes, pixel_counts, score_runs
from mmssp.runtime.config import set_episodes, set_protocol

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'analysis_tools' / 'compare_results.py'
RUNS, EPISODES, FOLD = 2, 6, 1


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> Path:
    return write_test_config(tmp_path_factory.mktemp('compare'), num_episodes=4)


@pytest.fixture
def compare(capsys):
    """Run the tool in this process: (exit code, stdout, stderr)."""

    def run(*args) -> tuple[int, str, str]:
        return exit_code(TOOL, *args), *capsys.readouterr()

    return run


@pytest.fixture
def made_up(tmp_path) -> tuple[Path, Path]:
    """Two results without predictions; B is better."""
    return tuple(
        write_results(tmp_path / f'{name}.json', make_records(better=better))
        for name, better in (('first', 0), ('second', 300))
    )


def shifted(truth: np.ndarray, steps: int) -> np.ndarray:
    """The target moved to the right: a prediction that is as bad as that."""
    return np.roll(truth == 1, steps, axis=1).astype(np.uint8)


def record_of(dataset, i: int, steps: int) -> dict:
    """Record of an episode of a test whose prediction is off by some pixels."""
    sample = dataset[i]['data_samples']
    truth = sample.gt_sem_seg.data[0]
    prediction = shifted(truth.numpy(), steps)
    rle = mask_utils.encode(np.asfortranarray(prediction))
    return dict(
        run=sample.run,
        index=sample.episode,
        class_id=sample.class_id,
        query=sample.img_path,
        supports=list(sample.support_img_paths),
        **pixel_counts(truth.new_tensor(prediction), truth),
        prediction=dict(size=rle['size'], counts=rle['counts'].decode()),
    )


@pytest.fixture(scope='module')
def tested(config, tmp_path_factory) -> tuple[Path, Path]:
    """Two tests of the config's episodes: A worse in run 0, better in run 1."""
    cfg = Config.fromfile(config).test_dataloader.dataset
    cfg.update(num_episodes=EPISODES, seed=list(range(RUNS)), fold=FOLD)
    dataset = DATASETS.build(cfg)
    folder, paths = tmp_path_factory.mktemp('tested'), []
    for name in ('baseline', 'SSP'):
        records = []
        for i in range(len(dataset)):
            run, index = divmod(i, EPISODES)
            worse = (name == 'baseline') == (run == 0)
            records.append(record_of(dataset, i, 2 + index if worse else 1))
        names = dataset.metainfo['class_names']
        scores = score_runs(records, list(names))
        report = make_report([]) | {
            **{name: scores[name] for name in ('mIoU', 'mIoU_std', 'FB-IoU', 'runs')},
            'mIoU_95': [scores['mIoU'], scores['mIoU']],
            'per_class': {names[c]: iou for c, iou in scores['per_class'].items()},
            'class_names': {str(c): names[c] for c in names},
            'seeds': list(range(RUNS)),
            'num_episodes': EPISODES,
            'fold': FOLD,
            'departures': dataset.metainfo['departures'],
            'episodes': records,
        }
        paths.append(folder / f'{name}.json')
        paths[-1].write_text(json.dumps(report))
    return tuple(paths)


def test_table_and_report_say_the_same(made_up, compare, tmp_path):
    out = tmp_path / 'C.json'
    code, printed, _ = compare(*made_up, '--resamples', 200, '--out', out)
    assert code == 0
    report = json.loads(out.read_text())
    a, b = (json.loads(path.read_text()) for path in made_up)
    assert report['names'] == dict(a='first', b='second')
    for name in ('mIoU', 'FB-IoU'):
        row = report[name]
        assert (row['a'], row['b']) == pytest.approx((a[name], b[name]))
        texts = [f'{row["a"]:.2f}', f'{row["b"]:.2f}', f'{row["difference"]:+.2f}']
        texts += ['{:+.2f} to {:+.2f}'.format(*row['interval'])]
        line = next(x for x in printed.splitlines() if x.startswith(f'| {name} '))
        assert [cell.strip() for cell in line.split('|')[2:6]] == texts
        assert row['interval'][0] > 0
    assert 'protocol ssp v1, fold 1, 1-shot, 2 run(s), 24 episodes' in printed
    assert {row['class_name'] for row in report['per_class']} == {'bus', 'car', 'cat'}
    assert len(report['gains']) == 5
    assert report['losses'] == []
    assert (report['resamples'], report['seed']) == (200, 0)


def test_a_file_beside_itself_does_not_differ(made_up, compare):
    code, printed, _ = compare(made_up[0], made_up[0], '--resamples', 50)
    assert code == 0
    line = next(x for x in printed.splitlines() if x.startswith('| mIoU'))
    assert line.split('|')[4].strip() == '+0.00'
    assert line.split('|')[6].strip() == '1'
    assert printed.count('\nnone') == 2


def test_departures_of_one_are_a_warning(made_up, compare, tmp_path):
    for path, departures in zip(made_up, (['both'], ['both', 'squashed']), strict=True):
        report = json.loads(path.read_text())
        path.write_text(json.dumps(dict(report, departures=departures)))
    code, printed, _ = compare(*made_up, '--resamples', 50, '--names', 'X', 'Y')
    assert code == 0
    assert 'warning: only Y departs from the protocol: squashed' in printed
    assert 'both depart from the protocol: both' in printed


def test_own_data_are_compared_without_a_protocol(made_up, compare):
    for path, notes in zip(made_up, (['both'], ['both', 'bfloat16']), strict=True):
        report = json.loads(path.read_text())
        path.write_text(json.dumps(dict(report, departures=notes, benchmark=None)))
    code, printed, _ = compare(*made_up, '--resamples', 50, '--names', 'X', 'Y')
    assert code == 0
    assert 'protocol' not in printed
    assert 'own data, no benchmark, fold 1' in printed
    assert 'note: both\nwarning: only Y: bfloat16\n' in printed
    assert 'only X' not in printed


def test_gains_and_losses_are_drawn(tested, config, compare, tmp_path):
    folder = tmp_path / 'panels'
    code, printed, errors = compare(
        *tested, '--resamples', 50, '--config', config, '--show-dir', folder,
        '--num-panels', 3, '--out', tmp_path / 'C.json',
    )  # fmt: skip
    assert code == 0, errors
    report = json.loads((tmp_path / 'C.json').read_text())
    for title, run in (('gains', 0), ('losses', 1)):
        assert {row['run'] for row in report[title]} == {run}
        assert str(folder / f'{title}.png') in printed
        panels = []
        for number, row in enumerate(report[title], start=1):
            (path,) = folder.glob(
                f'{title}{number}_run{run}_episode{row["index"]:05d}_*.png'
            )
            panels.append(mmcv.imread(str(path)))
        assert len(panels) == 3
        stacked = mmcv.imread(str(folder / f'{title}.png'))
        assert stacked.shape[0] == sum(len(panel) for panel in panels) + 2
        assert (stacked[: len(panels[0])] == panels[0]).all()


def test_what_the_test_tool_wrote_is_compared(config, compare, tmp_path):
    paths = [tmp_path / f'{method}.json' for method in ('baseline', 'ssp')]
    for path in paths:
        args = [
            config,
            'none',
            '--fold',
            2,
            '--runs',
            2,
            '--episodes',
            3,
            '--out',
            path,
        ]
        args += ['--work-dir', tmp_path, '--cfg-options']
        args += [f'model.decode_head.method={path.stem}']
        assert exit_code(ROOT / 'tools' / 'test.py', *args) == 0
    code, printed, errors = compare(
        *paths, '--resamples', 50, '--config', config, '--show-dir', tmp_path / 'D',
        '--out', tmp_path / 'C.json',
    )  # fmt: skip
    assert code == 0, errors
    assert 'both depart from the protocol: num_episodes: 3' in printed
    report = json.loads((tmp_path / 'C.json').read_text())
    assert report['fold'] == 2
    assert report['gains'] + report['losses']
    for title in ('gains', 'losses'):
        drawn = list((tmp_path / 'D').glob(f'{title}?_*.png'))
        assert len(drawn) == len(report[title])


def test_captions_are_the_recorded_scores(tested, config, monkeypatch):
    """What is drawn is what was predicted: its IoU is that of the record."""
    cells = []
    draw = compared_episodes.draw_episode_panel

    def spy(**arguments):
        cells.append(arguments)
        return draw(**arguments)

    monkeypatch.setattr(compared_episodes, 'draw_episode_panel', spy)
    results = json.loads(tested[1].read_text())
    dataset = compared_episodes.recorded_dataset(str(config), results)
    for record in results['episodes']:
        item = compared_episodes.load_recorded(dataset, record, EPISODES)
        mask = compared_episodes.decode_prediction(record, 'SSP')
        compared_episodes.draw_compared(item, dict(A=mask, B=mask))
        truth, drawn = cells[-1]['truth'], cells[-1]['predictions']['B']
        assert (truth == item['data_samples'].gt_sem_seg.data[0].numpy()).all()
        counts = pixel_counts(*(torch.tensor(x) for x in (drawn, truth)))
        assert counts['intersection'] == record['intersection']
        assert counts['union'] == record['union']


def test_predictions_of_another_size_are_drawn_at_theirs(tested, config, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        compared_episodes, 'draw_episode_panel', lambda **given: seen.update(given)
    )
    results = json.loads(tested[0].read_text())
    dataset = compared_episodes.recorded_dataset(str(config), results)
    small, large = np.zeros((24, 30), np.uint8), np.zeros((48, 48), np.uint8)
    compared_episodes.draw_compared(dataset[0], dict(A=small, B=small))
    assert seen['truth'].shape == seen['query_image'].shape[:2] == (24, 30)
    # with one of the truth's own size, that one is kept
    compared_episodes.draw_compared(dataset[0], dict(A=small, B=large))
    assert {mask.shape for mask in seen['predictions'].values()} == {(48, 48)}
    assert seen['truth'].shape == (48, 48)


@pytest.mark.parametrize('height', [1, 7])
def test_any_mask_is_decoded_as_it_was(height):
    mask = (np.random.default_rng(0).random((height, 5)) < 0.5).astype(np.uint8)
    for own in (mask, np.zeros_like(mask), np.ones_like(mask)):
        rle = mask_utils.encode(np.asfortranarray(own))
        record = dict(
            run=0,
            index=0,
            prediction=dict(size=rle['size'], counts=rle['counts'].decode()),
        )
        assert (compared_episodes.decode_prediction(record, 'A') == own).all()


@pytest.mark.parametrize(
    'prediction', [dict(size=[5, 5]), dict(size=[2, 2], counts='01'), dict(size=3), 'x']
)
def test_damaged_predictions_are_named(prediction):
    record = dict(run=3, index=4, prediction=prediction)
    with pytest.raises(ValueError, match='run 3, episode 4 of A has a damaged'):
        compared_episodes.decode_prediction(record, 'A')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            ['test_dataloader.dataset.fold_order=interleaved'],
            'by the config it is class',
        ),
        (['test_dataloader.dataset.dataset.data_root=nowhere'], 'nowhere not found'),
    ],
)
def test_another_config_is_refused(changes, message, tested, config, compare, tmp_path):
    code, _, errors = compare(
        *tested, '--resamples', 50, '--config', config, '--show-dir', tmp_path / 'D',
        '--cfg-options', *changes,
    )  # fmt: skip
    assert code == 1
    assert last_line(errors).startswith('error: ')
    assert message in last_line(errors)


def last_line(text: str) -> str:
    assert 'Traceback' not in text
    return text.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--show-dir', '{tmp}/D'], '--show-dir needs --config'),
        (
            ['--show-dir', '{tmp}/D', '--config', '{config}'],
            'has no prediction to draw',
        ),
        (['--show-dir', '{tmp}/D', '--config', 'gone.py'], 'no prediction'),
        (['--resamples', '0'], 'resamples=0'),
        (['--seed', '-1'], 'seed=-1'),
        (['--num-panels', '0'], '0 episodes'),
        (['--names', 'x', 'x'], 'expected two different ones'),
        (['--out', '{tmp}/first.json/C.json'], 'cannot be written'),
        (['--out', '{tmp}'], 'is a folder'),
    ],
)
def test_mistakes_end_with_one_sentence(
    args, message, made_up, config, compare, tmp_path
):
    args = [arg.format(tmp=tmp_path, config=config) for arg in args]
    code, _, errors = compare(*made_up, *args)
    assert code == 1
    assert len(errors.strip().splitlines()) == 1
    assert errors.startswith('error: ')
    assert message in errors


@pytest.mark.parametrize('content', ['', '{"mIoU": 3}', None])
def test_foreign_files_end_with_one_sentence(content, made_up, compare, tmp_path):
    path = tmp_path / 'foreign.json'
    if content is not None:
        path.write_text(content)
    code, _, errors = compare(made_up[0], path)
    assert code == 1
    assert errors.startswith(f'error: {path} ')
    assert len(errors.strip().splitlines()) == 1


def test_panels_that_cannot_be_written_are_named_before_the_work(
    tested, config, compare, tmp_path
):
    (tmp_path / 'file').touch()
    code, printed, errors = compare(
        *tested, '--config', config, '--show-dir', tmp_path / 'file' / 'D'
    )
    assert (code, printed) == (1, '')
    assert 'cannot be written' in last_line(errors)


@pytest.mark.parametrize('own', [False, True], ids=['benchmark', 'own data'])
@pytest.mark.parametrize(
    ('protocol', 'original_size', 'size'),
    [(None, False, 48), ('hsnet', False, 400), ('hsnet', True, 48)],
)
def test_episodes_are_loaded_as_the_protocol_of_the_test_had_it(
    protocol, original_size, size, own, config
):
    options = {'test_dataloader.dataset.min_pixels': 16}
    if own:
        names = ('background', *(f'part {c}' for c in range(1, 21)))
        options |= {
            'test_dataloader.dataset.dataset.type': 'BaseSegDataset',
            'test_dataloader.dataset.dataset.metainfo': dict(classes=names),
        }
    cfg = Config.fromfile(config)
    set_protocol(cfg, protocol, original_size)
    cfg.merge_from_dict(options)
    set_episodes(cfg, 'test_dataloader', fold=FOLD, seed=[0], num_episodes=3)
    tested = DATASETS.build(cfg.test_dataloader.dataset)
    results = dict(tested.metainfo, protocol=protocol or 'ssp')
    results['episodes'] = [record_of(tested, 0, 1)]
    assert (tested.benchmark, bool(tested.departures)) == (
        (None, False) if own else ('pascal5i', True)
    )
    again = compared_episodes.recorded_dataset(str(config), results, options)
    for i in range(3):
        episode, expected = again[i], tested[i]
        assert episode['data_samples'].gt_sem_seg.shape == (size, size)
        assert torch.equal(episode['inputs']['query'], expected['inputs']['query'])


def test_padding_of_the_query_is_not_drawn(tested, config, monkeypatch):
    """An input that was shrunk onto a larger square, its truth at the original size."""
    seen = {}
    monkeypatch.setattr(
        compared_episodes, 'draw_episode_panel', lambda **given: seen.update(given)
    )
    results = json.loads(tested[0].read_text())
    dataset = compared_episodes.recorded_dataset(str(config), results)
    item = dataset[0]
    query = item['inputs']['query']
    item['inputs']['query'] = query.new_zeros(3, 40, 40)
    item['inputs']['query'][:, :24, :24] = 200
    item['data_samples'].set_metainfo(dict(scale_factor=(0.5, 0.5)))
    compared_episodes.draw_compared(item, dict(A=np.zeros((48, 48), np.uint8)))
    assert seen['query_image'].shape == (48, 48, 3)
    assert (seen['query_image'] == 200).all()


def test_cells_are_as_wide_as_the_widest_image(tested, config):
    results = json.loads(tested[0].read_text())
    dataset = compared_episodes.recorded_dataset(str(config), results)
    items = [dataset[0], dataset[1]]
    assert compared_episodes.common_width(items, cell_height=96) == 96
    support = items[1]['inputs']['support']
    support[0] = support[0].repeat(1, 1, 2)
    assert compared_episodes.common_width(items, cell_height=96) == 192
    assert compared_episodes.common_width(items, 96, max_aspect=1.5) == 144

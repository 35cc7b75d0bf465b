"""The benchmark: its plain side against the oracle, its measurements, every subject."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import exit_code
from mmseg.registry import MODELS

sys.path.append(str(Path(__file__).parents[1] / 'test_models'))

import ssp_oracle

from mmssp.utils.command import run as run_command

FOLDER = Path(__file__).parents[2] / 'tools' / 'analysis_tools'
# the published architecture, thin, with small images in batches that this process loads
THIN = {
    'model.backbone.base_channels': 8,
    'model.backbone.stem_channels': 16,
    'model.decode_head.in_channels': 128,
}


@pytest.fixture(scope='module')
def bench():
    """The modules of the tool, by name."""
    sys.path.insert(0, str(FOLDER))
    try:
        # the profiler prints lines of its own unless the tool has said otherwise first
        import benchmark
        from benchmarks import models, plain_ssp, report, scenes, suite, timing
    finally:
        sys.path.remove(str(FOLDER))
    return SimpleNamespace(
        command=benchmark,
        tool=suite,
        models=models,
        plain=plain_ssp,
        report=report,
        scenes=scenes,
        timing=timing,
        Setup=suite.Setup,
    )


def episodes(seed: int, count: int = 2, shots: int = 2) -> list[tuple]:
    """(query, its mask, supports, their masks) with confident pixels of both kinds."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(7, 1, 1))

    def features() -> np.ndarray:
        return base + rng.normal(size=(7, 5, 6))

    def mask() -> np.ndarray:
        return rng.choice([0, 0, 1, 1, 255], (11, 13)).astype(np.uint8)

    return [
        (
            features(),
            mask(),
            [features() for _ in range(shots)],
            [mask() for _ in range(shots)],
        )
        for _ in range(count)
    ]


def stacked(batch: list[tuple]) -> dict[str, torch.Tensor]:
    names = ('query', 'query_mask', 'support', 'support_mask')
    columns = zip(*batch, strict=True)
    return {
        name: torch.tensor(np.stack(x)) for name, x in zip(names, columns, strict=True)
    }


class Identity(torch.nn.Module):
    """Encodes features as they are."""

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        return image


@pytest.mark.parametrize('refine', [True, False])
@pytest.mark.parametrize('seed', range(3))
def test_plain_matching_agrees_with_the_oracle(bench, seed, refine):
    batch = episodes(seed)
    x = stacked(batch)
    found = bench.plain.plain_match(
        x['query'], x['support'], x['support_mask'], refine=refine
    )
    for i, (query, _, supports, masks) in enumerate(batch):
        expected = ssp_oracle.match(query, supports, masks)
        expected['final'] = expected['refined' if refine else 'stage1']
        for stage in ('baseline', 'stage1', 'final'):
            np.testing.assert_allclose(
                found[stage][i].numpy(), expected[stage], rtol=0, atol=1e-9
            )


def test_plain_matching_takes_the_best_pixels_where_none_is_confident(bench):
    """All features alike: the twelve best are as good as any."""
    (query, mask, supports, masks) = episodes(0, count=1)[0]
    flat = 100 + 0.01 * query
    found = bench.plain.plain_match(
        torch.tensor(flat)[None],
        torch.tensor(np.stack(supports))[None],
        torch.tensor(np.stack(masks))[None],
    )
    expected = ssp_oracle.match(flat, supports, masks)
    probability = ssp_oracle.softmax(expected['baseline'])
    assert (probability[1] < 0.7).all() or (probability[0] < 0.6).all()
    np.testing.assert_allclose(found['final'][0], expected['refined'], atol=1e-9)


@pytest.mark.parametrize('refine', [True, False])
def test_plain_loss_agrees_with_the_oracle(bench, refine):
    batch = episodes(3)
    x = stacked(batch)
    loss = bench.plain.plain_loss(
        Identity(),
        x['query'],
        x['query_mask'],
        x['support'],
        x['support_mask'],
        refine=refine,
    )
    expected = sum(ssp_oracle.losses(batch, refine).values())
    assert loss.item() == pytest.approx(expected, abs=1e-9)


def test_plain_prediction_agrees_with_the_oracle(bench):
    query, truth, supports, masks = episodes(4, count=1)[0]
    mask = bench.plain.plain_predict(
        Identity(),
        torch.tensor(query),
        [torch.tensor(s) for s in supports],
        [torch.tensor(m) for m in masks],
        truth.shape,
    )
    logits = ssp_oracle.match(query, supports, masks)['refined']
    background, foreground = (ssp_oracle.resize(x, *truth.shape) for x in logits)
    np.testing.assert_array_equal(mask.numpy(), foreground > background)


def test_plain_matching_agrees_with_the_head_on_a_scene(bench):
    scene = bench.scenes.feature_scene(2, 2, 64, (12, 12))
    scene.pop('query_mask')
    head = MODELS.build(dict(type='SSPHead', in_channels=64, refine=True))
    plain, ours = bench.plain.plain_match(**scene), head.match(**scene)
    for stage, logits in ours.items():
        torch.testing.assert_close(plain[stage], logits, rtol=0, atol=1e-4)


def test_scenes_have_confident_pixels_of_both_kinds(bench):
    scene = bench.scenes.feature_scene(2, 1, 256, (40, 40))
    scene.pop('query_mask')
    shares = bench.scenes.confident_shares(bench.plain.plain_match(**scene)['baseline'])
    assert 0.15 <= shares['foreground'] <= 0.3
    assert 0.55 <= shares['background'] <= 0.8


def test_random_backbone_gives_confident_pixels_of_both_kinds(bench):
    """Without calibration all features point the same way and no pixel is confident."""
    photo, mask = bench.scenes.draw_photo((161, 161), [1, 2], seed=9)
    model = bench.models.random_model(bench.Setup(), THIN)
    with torch.no_grad():
        features = model.encode(bench.models.normalised(model, photo)[None])
    one = torch.tensor(mask == 1).to(torch.uint8)[None, None]
    logits = model.decode_head.match(features, features[None], one)['baseline']
    shares = bench.scenes.confident_shares(logits)
    assert 0.05 <= shares['foreground'] <= 0.5
    assert 0.3 <= shares['background'] <= 0.9


def test_every_class_is_large_in_six_images(bench, tmp_path):
    root = bench.scenes.write_voc(tmp_path / 'voc', 15, (375, 500))
    counts = dict.fromkeys(range(1, 6), 0)
    for path in (root / bench.scenes.MASKS).iterdir():
        mask = np.array(bench.scenes.Image.open(path))
        for label in counts:
            counts[label] += (mask == label).sum() >= 2048
    assert counts == dict.fromkeys(range(1, 6), 6)


def test_peak_memory_is_the_most_that_is_alive_at_once(bench):
    before = torch.ones(100, 1000)

    def call() -> torch.Tensor:
        first = torch.ones(1000, 1000)
        second = first + before.sum()  # two of 4 MB at once
        del first
        third = torch.ones(500, 1000)  # one of 4 MB and one of 2
        return third + second[:500]  # and another of 2

    assert bench.timing.peak_memory(call) == pytest.approx(8e6, rel=0.01)


def test_peak_memory_counts_what_backward_allocates(bench):
    x = torch.ones(1000, 1000, requires_grad=True)
    forward = bench.timing.peak_memory(lambda: x.exp())
    both = bench.timing.peak_memory(lambda: torch.autograd.grad(x.exp().sum(), x))
    assert forward == pytest.approx(4e6, rel=0.01)
    assert both >= 8e6


def test_operations_are_two_for_each_product_of_a_matrix_multiplication(bench):
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    assert bench.timing.operations(lambda: a @ b) == 2 * 3 * 5 * 7


def test_calls_are_timed_in_turns(bench):
    order = []
    calls = dict(a=lambda: order.append('a'), b=lambda: order.append('b'))
    assert set(bench.timing.interleaved(calls, repeats=3)) == {'a', 'b'}
    assert order == ['a', 'b'] * 3


def test_rows_hold_rates_and_ratios(bench):
    row = bench.timing.make_row(
        'x', 2.0, 6.0, peaks=dict(ours=5, plain=20), operations=4e9, rate=8e9,
        items=10, unit='images/s',
    )  # fmt: skip
    assert (row['ours'], row['plain'], row['times_faster']) == (5.0, 10 / 6, 3.0)
    assert (row['memory_ratio'], row['gflop'], row['matmul_share']) == (0.25, 4.0, 0.25)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_matching_gives_a_row_for_inference_and_one_for_training(bench, dtype):
    inference, training = bench.tool.matching.run(
        bench.Setup(dtype=dtype),
        episodes=2, channels=32, size=(9, 9), repeats=1, matmul_size=64,
    )  # fmt: skip
    assert inference['gflop'] < training['gflop']
    assert inference['ours_peak'] > 0
    assert inference['times_faster'] > 0
    difference = float(inference['notes'][1].split(' by ')[1].split()[0])
    assert (difference < 1e-4) == (dtype == 'float32')


def test_encoding_counts_images(bench):
    setup = bench.Setup(repeats=1, channels_last=True)
    one, two = bench.tool.encode.run(
        setup, batches=(1, 2), size=65, options=THIN, matmul_size=64
    )
    assert two['gflop'] == pytest.approx(2 * one['gflop'])
    assert one['unit'] == 'images/s'


def test_training_steps_of_both_sides_have_one_loss(bench):
    (row,) = bench.tool.train_step.run(
        bench.Setup(repeats=1), episodes=2, shots=2, size=65, options=THIN,
        matmul_size=64,
    )  # fmt: skip
    ours, plain = row['notes'][0].removeprefix('training step: loss ').split(', ')
    assert float(ours) == pytest.approx(float(plain.split()[-1]), abs=1e-4)


def test_prediction_with_prototypes_is_the_plain_one(bench):
    (row,) = bench.tool.prediction.run(
        bench.Setup(repeats=1), shots=2, size=97, options=THIN, matmul_size=64
    )
    assert row['notes'][1].startswith('prediction: 0 of 9409')


def test_index_is_scanned_and_started(bench):
    one, every, start = bench.tool.index.run(
        bench.Setup(repeats=1), masks=40, plain_masks=10, size=(60, 80)
    )
    assert one['unit'] == every['unit'] == 'masks/s/core'
    assert start['unit'] == 's'
    assert start['ours'] > 0


def test_plain_scan_counts_what_the_index_counts(bench, tmp_path):
    root = bench.scenes.write_masks(tmp_path / 'voc', 5, (60, 80))
    index = bench.tool.index.build(root, tmp_path / 'cache', workers=1)
    found = bench.tool.index.plain_scan(root, 5)
    assert found == [index.classes_in(i) for i in range(5)]


def test_evaluation_counts_the_same_pixels_on_both_sides(bench):
    options = {
        **THIN,
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'test_dataloader.dataset.min_pixels': 64,
        'test_dataloader.dataset.workers': 1,
        'test_dataloader.dataset.seed': [0, 1],
    }
    (row,) = bench.tool.evaluation.run(
        bench.Setup(), shots=(2,), images=10, size=(75, 100), episodes=3,
        plain_episodes=3, options=options, matmul_size=64,
    )  # fmt: skip
    assert 'differ by 0 pixel(s) at most' in row['notes'][0]
    assert '3 of 6 episodes' in row['notes'][1]


@pytest.mark.filterwarnings('ignore:.*these classes are left out')
def test_precision_compares_scores(bench):
    options = {
        'model.backbone.pretrained': False,
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'test_dataloader.dataset.allow_missing_classes': True,
    }
    (row,) = bench.tool.precision.run(
        bench.Setup(), episodes=2, images=12, options=options
    )
    assert row['difference'] == row['bfloat16 mIoU'] - row['float32 mIoU']


@pytest.mark.slow
def test_processes_are_measured_and_expected(bench, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))  # they import the tool anew
    options = {**THIN, 'test_dataloader.dataset.min_pixels': 64}
    rows = bench.tool.processes.run(
        bench.Setup(repeats=1), measured=(1, 2), expected=(4,), batch=1, size=65,
        images=10, image_size=(75, 100), episodes=6,
        options={**options, 'test_dataloader.dataset.workers': 1},
    )  # fmt: skip
    training, evaluation = rows[:3], rows[3:]
    assert [row['training'].split()[0] for row in training] == ['1', '2', '4']
    for rate in ('iterations/s', 'episodes/s'):
        measured = [row[f'{rate}, measured'] for row in training]
        assert measured[2] == '–'
        assert all(float(value) > 0 for value in measured[:2])
        assert all(float(row[f'{rate}, expected']) > 0 for row in training)
    sent = [float(row['MiB sent by each']) for row in training]
    assert sent[0] == 0
    assert sent[2] == pytest.approx(1.5 * sent[1], abs=0.1)
    assert len({row['images encoded, of all'].split()[-1] for row in evaluation}) == 1
    assert float(evaluation[1]['episodes/s, measured']) > 0


def test_expected_rates_follow_from_bytes_and_shares(bench):
    """1 MiB sent in 1 s by two, who slow each other; four send half as much again."""
    one = dict(
        gradient_bytes=2**20, iteration=2.0, evaluation=14.0, encoding=1.0, threads=1,
        shares={
            '1': [[10, 4]], '2': [[5, 3]] * 2, '4': [[3, 2], [3, 2], [2, 1], [2, 1]],
        },
    )  # fmt: skip
    two = dict(one, all_reduce=1.0, alone=3.0, iteration=4.0, encoding=2.0)
    tool = bench.tool.processes
    training = tool.training_rows({1: one, 2: two}, [4], batch=5)
    assert [row['iterations/s, expected'] for row in training] == [
        '0.5',
        '0.25',
        '0.286',
    ]
    evaluation = tool.evaluation_rows({1: one, 2: two}, [4])
    assert [row['episodes/s, expected'] for row in evaluation] == [
        '0.714',
        '0.625',
        '2',
    ]
    assert [row['images encoded, of all'] for row in evaluation] == [
        '4 of 4', '6 of 4', '6 of 4',
    ]  # fmt: skip


@pytest.fixture
def command(bench, capsys):
    """Run the command line: (exit code, stdout, stderr)."""

    def run(*args: str) -> tuple[int, str, str]:
        code = exit_code(
            lambda: run_command(bench.tool.main, bench.command.parse_args), *args
        )
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def fake(bench, monkeypatch):
    """A benchmark in the place of them all; what it was called with."""
    calls = []

    def run(setup, **options) -> list[dict]:
        calls.append((setup, options))
        return [bench.timing.make_row('faked', 1.0, 3.0)]

    for name, (_, known) in bench.tool.BENCHMARKS.items():
        monkeypatch.setitem(bench.tool.BENCHMARKS, name, (run, known))
    return calls


def test_the_command_knows_all_subjects_and_precisions(bench):
    import benchmarks
    from benchmarks.machine import DTYPES

    assert tuple(bench.tool.BENCHMARKS) == benchmarks.SUBJECTS
    assert tuple(DTYPES) == benchmarks.PRECISIONS


def test_command_prints_a_table_and_writes_json(command, fake, tmp_path):
    path = tmp_path / 'F.json'
    code, out, _ = command('matching', '--json', str(path), '--repeats', '2')
    assert code == 0
    assert 'faked' in out
    assert '3.0×' in out
    assert f'torch {torch.__version__}' in out
    assert fake[0][0].repeats == 2
    written = json.loads(path.read_text())
    assert written['rows'][0]['times_faster'] == 3.0
    assert written['machine']['threads'] == torch.get_num_threads()


def test_command_prints_markdown(command, fake):
    _, out, _ = command('all', '--markdown')
    lines = out.splitlines()
    assert lines[0].startswith('| what')
    assert set(lines[1]) <= set('| :-')
    assert len(fake) == 8


def test_command_hands_options_to_who_takes_them(command, fake):
    command('all', '--shots', '3', '--size', '65')
    given = [options for _, options in fake]
    assert dict(shots=3, size=65) in given
    assert dict(shots=(3,)) in given


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['nothing'], "invalid choice: 'nothing'"),
        (['matching', '--repeats', '0'], '0: expected 1 or more'),
        (['matching', '--dtype', 'int8'], "invalid choice: 'int8'"),
        (['matching', '--tf32'], '--tf32 is about GPUs'),
    ],
)
def test_mistakes_end_with_one_sentence(command, fake, args, message):
    code, _, err = command(*args)
    assert code in (1, 2)
    assert message in err.strip().splitlines()[-1]
    assert fake == []


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without GPU')
def test_missing_gpu_is_explained(command, fake):
    code, _, err = command('matching', '--device', 'cuda')
    assert code == 1
    assert err.strip() == 'error: --device cuda: PyTorch finds no GPU here'


def test_interruption_ends_quietly(command, bench, monkeypatch):
    def run(setup, **options):
        raise KeyboardInterrupt

    monkeypatch.setitem(bench.tool.BENCHMARKS, 'index', (run, ()))
    code, _, err = command('index')
    assert code == 130
    assert err.strip().splitlines()[-1] == 'interrupted'


def test_threads_are_set(command, fake):
    before = torch.get_num_threads()
    try:
        _, out, _ = command('matching', '--threads', '1')
        assert 'threads 1' in out
    finally:
        torch.set_num_threads(before)
    assert os.environ['KINETO_LOG_LEVEL'] == '99'

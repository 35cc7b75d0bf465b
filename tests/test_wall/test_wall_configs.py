"""Configs with broken values: what is built works, the rest is refused in a sentence."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, METRICS, MODELS
from mutations import STRANGE, broken_json, changed, damaged
from sandbox import FUZZ, Sandbox, inputs, left_over
from tiny_data import write_voc

from mmssp.protocols import PROTOCOLS, get_protocol
from mmssp.runtime.config import episodic_datasets, load_config, set_protocol, set_runs

TOOLS = Path(__file__).parents[2] / 'tools'
# what no machine has the memory for, and what would be a working value
VALUES = (*STRANGE, 'ssp', 'base', 'novel', 3, 0.25, [0.5, 0.2, 0.3], ['a', 'b'])
HEAD = dict(
    type='SSPHead',
    in_channels=4,
    in_index=0,
    method='ssp',
    refine=True,
    similarity_scale=10.0,
    foreground_threshold=0.7,
    background_threshold=0.6,
    top_k=12,
    affinity_temperature=2.0,
    support_weight=0.5,
    global_background_weight=0.3,
    refine_weights=[0.5, 0.2, 0.3],
    refine_logit_weight=0.7,
    align_corners=True,
    ignore_index=255,
)


def build_and_match(config: dict) -> None:
    init_default_scope('mmseg')
    head = MODELS.build(config)
    assert type(head).__name__ == 'SSPHead'
    torch.manual_seed(0)
    query, support = torch.randn(1, 4, 5, 6), torch.randn(1, 2, 4, 5, 6)
    mask = torch.randint(0, 2, (1, 2, 10, 12))
    logits = head.match(query, support, mask)
    for value in logits.values():
        assert value.shape == (1, 2, 5, 6)
        assert torch.isfinite(value).all()
    losses = head.loss(query, support, mask[:, 0], mask)
    assert all(torch.isfinite(loss) for loss in losses.values())


@inputs(300)
@given(config=changed(HEAD, most=2, strange=VALUES))
def test_heads(config, heads):
    heads(config)


EPISODES = dict(
    type='EpisodicDataset',
    dataset=dict(
        type='PascalVOCDataset',
        data_root='data',
        ann_file='ImageSets/Segmentation/train.txt',
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    ),
    pipeline=[dict(type='LoadImage'), dict(type='LoadMask')],
    support_pipeline=None,
    protocol='ssp',
    original_size=False,
    split='novel',
    shots=1,
    num_episodes=4,
    seed=[0, 1],
    sampling='images',
    split_file=None,
    ignored_support='ignore',
    fold=1,
    num_folds=4,
    fold_order='contiguous',
    base_classes=None,
    novel_classes=None,
    remove_novel_images=False,
    background_classes=['background'],
    min_pixels=16,
    allow_missing_classes=False,
    workers=1,
)


def build_and_draw(folder: Path, config: dict) -> None:
    init_default_scope('mmseg')
    data = folder / 'voc'
    if not data.exists():
        write_voc(data)
    own = config.get('dataset') if isinstance(config, dict) else None
    if isinstance(own, dict) and own.get('data_root') == 'data':
        own['data_root'] = str(data)
    cache = folder / 'cache'
    if isinstance(config, dict):
        config.setdefault('cache_dir', str(cache))
    try:
        dataset = DATASETS.build(config)
    finally:
        assert not cache.exists() or not left_over(cache)
    assert len(dataset) == dataset.num_episodes * len(dataset.seeds)
    for i in (0, len(dataset) - 1):
        episode, item = dataset.episode(i), dataset[i]
        assert len(item['inputs']['support']) == dataset.shots
        assert episode.query not in episode.supports
        assert dataset.class_id(i) in dataset.class_ids
        assert item['data_samples'].class_id == dataset.class_id(i)
        for mask in (
            *item['inputs']['support_mask'],
            item['data_samples'].gt_sem_seg.data,
        ):
            assert set(np.unique(mask)) <= {0, 1, 255}


@inputs(250)
@given(config=changed(EPISODES, most=2, strange=VALUES))
def test_data_sets(config, datasets):
    datasets(config)


METRIC = dict(
    type='FewShotIoUMetric',
    departures=['x'],
    out_file=None,
    ignore_index=255,
    prefix=None,
)


def build_and_score(folder: Path, config: dict) -> None:
    init_default_scope('mmseg')
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if isinstance(config.get('out_file'), str):
        config['out_file'] = str(
            folder / Path(config['out_file'].replace('\x00', '')).name
        )
    metric = METRICS.build(config)
    truth = torch.tensor([[[0, 1, 1, 255]]])
    metric.process(
        {},
        [
            dict(
                pred_sem_seg=dict(data=torch.tensor([[[0, 1, 0, 1]]])),
                gt_sem_seg=dict(data=truth),
                img_path='a',
                support_img_paths=['b'],
                class_id=1,
                episode=0,
            )
        ],
    )
    try:
        scores = metric.evaluate(1)
    finally:
        assert not left_over(folder)
    name = next(name for name in scores if name.endswith('mIoU'))
    assert scores[name] == pytest.approx(
        50 if metric.ignore_index == 255 else scores[name]
    )


@inputs(120)
@given(config=changed(METRIC, most=2, strange=VALUES))
def test_metrics(config, metrics):
    metrics(config)


def use_protocol(name: object, original_size: object, runs: object) -> None:
    protocol = get_protocol(name)
    assert PROTOCOLS[name] is protocol
    cfg = load_config(str(TOOLS.parent / 'configs' / 'ssp_r50_pascal5i_1shot.py'))
    set_protocol(cfg, name, original_size)
    set_runs(cfg, runs)
    for dataset in episodic_datasets(cfg, 'test_dataloader'):
        assert runs is None or len(dataset['seed']) == runs


@inputs(60)
@given(
    name=st.sampled_from((*PROTOCOLS, *VALUES, 'SSP', 'hsnet ')),
    runs=st.sampled_from((None, 0, -1, 1, 7)),
)
def test_protocols(name, runs, protocols):
    refused = protocols(name, False, runs)
    known = isinstance(name, str) and name in PROTOCOLS
    assert (refused is None) == (known and (runs is None or runs > 0))


CODE = (TOOLS.parent / 'configs/_base_/models/ssp_r50.py').read_bytes()
SETTINGS = dict(
    model=dict(type='FewShotEncoderDecoder', decode_head=HEAD),
    test_dataloader=dict(batch_size=1, dataset=EPISODES),
    test_evaluator=METRIC,
    default_hooks=dict(logger=dict(interval=1)),
)


def read_config(folder: Path, data: bytes, suffix: str) -> None:
    path = folder / f'config{suffix}'
    path.write_bytes(data)
    cfg = load_config(str(path))
    assert cfg.get('model') is None or isinstance(cfg.model, dict)
    for dataset in episodic_datasets(cfg):
        assert dataset['type'] == 'EpisodicDataset'


# Where code is damaged, only such damage as leaves no new code: configs are trusted.
@inputs(100)
@given(
    place=st.integers(0, len(CODE)), what=st.sampled_from((b'', b'\x00', b'(', b'\xff'))
)
def test_broken_python_files(place, what, configs):
    configs(CODE[:place] + what, '.py')


@inputs(150)
@given(data=broken_json(SETTINGS))
def test_broken_json_files(data, configs):
    configs(data, '.json')


@inputs(60)
@given(
    data=damaged(b'model:\n  type: X\n  decode_head: {type: SSPHead, in_channels: 4}\n')
)
def test_broken_yaml_files(data, configs):
    configs(data, '.yaml')


def run_test(folder: Path, config: dict) -> None:
    """tools/test.py with a config; the file of results is whole or not there."""
    out = folder / 'F.json'
    out.unlink(missing_ok=True)
    path = folder / 'config.json'
    path.write_text(
        json.dumps(config).replace('"DATA"', json.dumps(str(folder / 'voc')))
    )
    if not (folder / 'voc').exists():
        write_voc(folder / 'voc')
    sys.argv = [
        'test.py',
        str(path),
        'none',
        '--work-dir',
        str(folder),
        '--out',
        str(out),
    ]
    tool = runpy.run_path(str(TOOLS / 'test.py'))
    tool['main'](tool['parse_args']())
    report = json.loads(out.read_text())
    assert report['episodes']
    assert 0 <= report['mIoU'] <= 100


WHOLE = dict(
    default_scope='mmseg',
    custom_imports=dict(imports=['mmssp'], allow_failed_imports=False),
    model=dict(
        type='FewShotEncoderDecoder',
        data_preprocessor=dict(
            type='FewShotDataPreProcessor', mean=[127.0] * 3, std=[60.0] * 3
        ),
        backbone=dict(type='PatchBackbone', channels=4),
        decode_head=HEAD,
        test_cfg=dict(mode='whole'),
    ),
    test_dataloader=dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='episode_collate'),
        dataset=dict(
            EPISODES,
            num_episodes=2,
            dataset=dict(EPISODES['dataset'], data_root='DATA'),
        ),
    ),
    test_evaluator=dict(type='FewShotIoUMetric'),
    test_cfg=dict(type='TestLoop'),
    default_hooks=dict(
        visualization=dict(type='FewShotVisualizationHook'),
        timer=dict(type='IterTimerHook'),
    ),
    visualizer=dict(type='SegLocalVisualizer', name='visualizer'),
)


@pytest.mark.slow
@inputs(60)
@given(config=changed(WHOLE, most=1))
def test_whole_commands(config, commands):
    if FUZZ or isinstance(config, dict):
        commands(config)


def in_folder(function, name: str):
    @pytest.fixture(scope='module')
    def fixture(tmp_path_factory):
        folder = tmp_path_factory.mktemp(name) / 'f'
        folder.mkdir()
        with Sandbox(lambda *args: function(folder, *args)) as sandbox:
            yield sandbox

    return fixture


datasets = in_folder(build_and_draw, 'datasets')
metrics = in_folder(build_and_score, 'metrics')
configs = in_folder(read_config, 'configs')
commands = in_folder(run_test, 'commands')


@pytest.fixture(scope='module')
def heads():
    with Sandbox(build_and_match) as sandbox:
        yield sandbox


@pytest.fixture(scope='module')
def protocols():
    with Sandbox(use_protocol) as sandbox:
        yield sandbox

"""The episodic loops give what mmengine's loops give, and encode each image once."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import toy_models  # noqa: F401  registers adapters and refiners
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
from tiny_data import write_voc
from torch.utils.data import Dataset
from toy_datasets import write_folders, write_photos

from mmssp.datasets.episodes import Episode
from mmssp.engine.loops import episodic_loop
from mmssp.engine.loops.episode_plan import plan_visits, share
from mmssp.evaluation import PROTOCOLS, few_shot_iou_metric
from mmssp.runtime.config import set_protocol

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_voc(tmp_path_factory.mktemp('loop') / 'voc')


@pytest.fixture
def config(root, tmp_path):
    """A small test on fold 0: five classes, eight images each."""
    cfg = Config.fromfile(CONFIGS / 'ssp_r50_pascal5i_1shot.py')
    cfg.work_dir = str(tmp_path / 'work')
    cfg.model.backbone = dict(type='PatchBackbone', channels=12, stride=16)
    cfg.model.decode_head.in_channels = 12
    cfg.train_dataloader = cfg.train_cfg = cfg.optim_wrapper = None
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.param_scheduler = None
    cfg.log_level = 'WARNING'
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.update(min_pixels=16, workers=1, num_episodes=12)
    cfg.test_dataloader.dataset.dataset.data_root = str(root)
    return cfg


def records(cfg: Config, loop: dict, out: Path) -> list[dict]:
    """Records of all episodes, predictions included."""
    cfg = Config(cfg.to_dict())
    cfg.test_cfg = loop
    cfg.test_evaluator = dict(type='FewShotIoUMetric', out_file=str(out))
    cfg.experiment_name = f'{out.parent.name}_{out.stem}'
    torch.manual_seed(0)
    runner = Runner.from_cfg(cfg)
    runner.test()
    return json.loads(out.read_text())['episodes']


PLAIN, SHARED = dict(type='TestLoop'), dict(type='EpisodicTestLoop')


@pytest.mark.parametrize('protocol', sorted(PROTOCOLS))
@pytest.mark.parametrize('shots', [1, 3])
def test_every_protocol_gives_what_the_plain_loop_gives(
    protocol, shots, config, tmp_path
):
    set_protocol(config, protocol, original_size=False)
    config.test_dataloader.dataset.update(min_pixels=16, num_episodes=12, shots=shots)
    plain = records(config, PLAIN, tmp_path / 'plain.json')
    assert len(plain) == 12 * len(PROTOCOLS[protocol].seeds)
    assert records(config, SHARED, tmp_path / 'shared.json') == plain


@pytest.mark.parametrize('shots', [1, 3])
@pytest.mark.parametrize(
    'head',
    [
        dict(type='BaselineHead'),
        dict(type='SSPHead', refine=True, affinity='dense'),
        dict(type='TokenHead'),
        dict(type='ScaledHead'),
        dict(type='SSPHead', memory=dict(type='PartPrototypes', parts=3)),
        dict(type='SSPHead', memory=dict(type='WhitenedPrototypes')),
        dict(type='SSPHead', refine=True, adaptive_foreground_weight=0.5),
        dict(
            type='SSPHead',
            memory=dict(type='SupportTokens', compared='mean', reverse_check=True),
            grouping=dict(type='QueryClusters', clusters=6, weight=0.5),
        ),
    ],
    ids=lambda head: '-'.join([head['type'], *list(head)[1:]]),
)
def test_every_head_gives_what_the_plain_loop_gives(head, shots, config, tmp_path):
    config.model.decode_head = dict(head, in_channels=12, in_index=0)
    config.test_dataloader.dataset.update(shots=shots, seed=0)
    plain = records(config, PLAIN, tmp_path / 'plain.json')
    assert len({record['prediction']['counts'] for record in plain}) > 6
    assert records(config, SHARED, tmp_path / 'shared.json') == plain


@pytest.mark.parametrize(
    'model',
    [
        dict(decode_head=dict(type='BaselineHead')),
        dict(decode_head=dict(type='SSPHead', refine=True, affinity='dense')),
        dict(decode_head=dict(type='SSPHead', affinity='dense', largest_matrix=0)),
        dict(
            decode_head=dict(
                type='SSPHead',
                affinity='dense',
                memory=dict(type='PartPrototypes', parts=3),
                grouping=dict(type='QueryClusters', clusters=6),
            )
        ),
        dict(
            decode_head=dict(
                type='BaselineHead', grouping=dict(type='QueryClusters', clusters=6)
            )
        ),
        dict(decode_head=dict(type='SSPHead')),
        # states of several sizes
        dict(decode_head=dict(type='TokenHead')),
        dict(
            decode_head=dict(type='SSPHead', affinity='dense'),
            tta=dict(flip=True, scales=[0.5, 1.0]),
            refiner=dict(type='RedRefiner'),
        ),
    ],
    ids=lambda model: '-'.join([*model['decode_head'], *list(model)[1:]]),
)
@pytest.mark.parametrize('bytes_at_once', [2**30, 2**20])
def test_episodes_of_a_query_can_be_matched_at_once(
    bytes_at_once, model, config, tmp_path, monkeypatch
):
    """As on a GPU, which then has a tenth of the kernels to start."""
    head = model['decode_head']
    # sums over confident pixels, no matrix to share, and a query of the head's own kind
    alone = head in (dict(type='SSPHead'), dict(type='TokenHead')) or (
        'largest_matrix' in head
    )
    config.model.pop('decode_head')
    config.model.update(model)
    config.model.decode_head.update(in_channels=12, in_index=0)
    config.test_dataloader.dataset.update(num_episodes=120, seed=0)
    expected = records(config, SHARED, tmp_path / 'alone.json')
    monkeypatch.setattr(episodic_loop, 'ONE_BY_ONE', ())
    monkeypatch.setattr(episodic_loop, 'AT_ONCE', bytes_at_once)
    matched = []
    kind = MODELS.get(head['type'])
    match_state = kind.match_state

    def counted(self, query, state):
        matched.append(len(next(iter(state.values()))))
        return match_state(self, query, state)

    monkeypatch.setattr(kind, 'match_state', counted)
    found = records(config, SHARED, tmp_path / 'together.json')
    views = 4 if 'tta' in model else 1
    assert sum(matched) == 120 * views
    assert (max(matched) == 1) == alone
    if bytes_at_once < 2**30:
        assert max(matched) < 10
    for one, other in zip(found, expected, strict=True):
        for name in ('intersection', 'union'):
            assert one.pop(name) == pytest.approx(other.pop(name), abs=2)
        del one['prediction'], other['prediction']
        assert one == other


def test_debiased_features_are_those_of_the_plain_loop(config, tmp_path):
    config.test_dataloader.dataset.update(seed=0, shots=2)
    config.model.backbone = dict(type='PlacedBackbone', channels=12, strength=0.5)
    biased = records(config, SHARED, tmp_path / 'biased.json')
    config.model.decode_head.debiasing = dict(type='PositionalDebiasing')
    found = records(config, SHARED, tmp_path / 'shared.json')
    assert found != biased
    assert found == records(config, PLAIN, tmp_path / 'plain.json')


@pytest.mark.parametrize('protocol', ['ssp', 'pfenet'])
@pytest.mark.parametrize(
    ('backbone', 'divisor'), [('PatchBackbone14', 14), ('Pyramid32', 32)]
)
def test_sizes_of_a_backbone_change_nothing(
    backbone, divisor, protocol, config, tmp_path
):
    set_protocol(config, protocol, original_size=False)
    config.test_dataloader.dataset.update(min_pixels=16, num_episodes=6, seed=0)
    config.model.backbone = dict(type=backbone, channels=12)
    config.model.size_divisor = divisor
    plain = records(config, PLAIN, tmp_path / 'plain.json')
    assert records(config, SHARED, tmp_path / 'shared.json') == plain


@pytest.mark.parametrize('kind', ['dinov2', 'dinov3_vit', 'swin', 'sam2_vision_model'])
@pytest.mark.parametrize('protocol', ['ssp', 'pfenet'])
def test_backbones_of_transformers_give_what_the_plain_loop_gives(
    protocol, kind, config, tmp_path
):
    pytest.importorskip('transformers')
    from hf_models import segmentor_config, tiny

    set_protocol(config, protocol, original_size=False)
    config.test_dataloader.dataset.update(min_pixels=16, num_episodes=6, seed=0)
    config.model = segmentor_config(tiny(kind))
    plain = records(config, PLAIN, tmp_path / 'plain.json')
    assert len({record['prediction']['counts'] for record in plain}) > 1
    assert records(config, SHARED, tmp_path / 'shared.json') == plain


@pytest.mark.parametrize('kind', ['RedRefiner', 'GuidedFilterRefiner'])
@pytest.mark.parametrize('protocol', ['ssp', 'hsnet', 'pfenet'])
def test_refined_masks_are_those_of_the_plain_loop_and_say_so(
    protocol, kind, config, tmp_path
):
    if kind == 'GuidedFilterRefiner':
        pytest.importorskip('kornia')
    set_protocol(config, protocol, original_size=False)
    config.test_dataloader.dataset.update(min_pixels=16, num_episodes=6, seed=0)
    unrefined = records(config, SHARED, tmp_path / 'unrefined.json')
    config.model.refiner = dict(type=kind)
    found = records(config, SHARED, tmp_path / 'shared.json')
    assert found != unrefined
    assert found == records(config, PLAIN, tmp_path / 'plain.json')
    report = json.loads((tmp_path / 'shared.json').read_text())
    said = report['departures'][-1]
    assert said.startswith(f'masks refined by the image ({kind}(')


TTA = dict(flip=True, scales=[1, 0.75, 1.5])


@pytest.mark.parametrize('scales', [[1, 0.75, 1.5], [1.5], [1]], ids=str)
@pytest.mark.parametrize('protocol', ['ssp', 'hsnet', 'pfenet'])
def test_views_of_queries_are_those_of_the_plain_loop(
    protocol, scales, config, encoded, tmp_path
):
    set_protocol(config, protocol, original_size=False)
    config.test_dataloader.dataset.update(min_pixels=16, num_episodes=6, seed=0)
    as_it_is = records(config, SHARED, tmp_path / 'as_it_is.json')
    encoded.clear()
    config.model.tta = dict(flip=True, scales=scales)
    found = records(config, SHARED, tmp_path / 'shared.json')
    # what an image is as a support and as a view of a query, once
    assert len(encoded) == len(set(encoded))
    assert found != as_it_is
    assert found == records(config, PLAIN, tmp_path / 'plain.json')
    report = json.loads((tmp_path / 'shared.json').read_text())
    assert report['departures'][-1] == (
        'logits averaged over views of the query (flip=True, '
        f'scales={tuple(map(float, scales))})'
    )


def test_views_wait_for_their_supports_within_the_budget(config, encoded, tmp_path):
    """Without one, queries are encoded again, and nothing else changes."""
    config.test_dataloader.dataset.update(min_pixels=16, num_episodes=12, seed=0)
    config.model.tta = TTA
    found = records(config, SHARED, tmp_path / 'shared.json')
    number = len(encoded)
    config.test_cfg = dict(SHARED, feature_budget=0)
    again = records(config, config.test_cfg, tmp_path / 'again.json')
    assert again == found
    assert len(encoded) - number > number


ADAPTER = dict(type='ChannelAdapter', steps=3)


@pytest.mark.parametrize('where', ['loop', 'model'])
def test_a_model_that_adapts_is_tested_the_plain_way_and_says_so(
    where, config, encoded, tmp_path
):
    config.test_dataloader.dataset.update(seed=0, num_episodes=4)
    unadapted = records(config, SHARED, tmp_path / 'unadapted.json')
    encoded.clear()
    if where == 'model':
        config.model.adapter = ADAPTER
        loop = SHARED
    else:
        loop = dict(SHARED, adapt=ADAPTER)
    found = records(config, loop, tmp_path / 'adapted.json')
    assert found != unadapted
    assert encoded == []
    report = json.loads((tmp_path / 'adapted.json').read_text())
    assert report['departures'][-1] == (
        'adapted to the supports of each episode (ChannelAdapter(steps=3))'
    )
    config.model.adapter = ADAPTER
    assert records(config, PLAIN, tmp_path / 'plain.json') == found


@pytest.mark.parametrize('workers', [1, 2])
def test_workers_change_nothing(workers, config, tmp_path):
    expected = records(config, SHARED, tmp_path / 'none.json')
    config.test_dataloader.num_workers = workers
    assert records(config, SHARED, tmp_path / 'some.json') == expected


def test_pipelines_that_differ_change_nothing(config, tmp_path):
    load = [dict(type='LoadImage'), dict(type='LoadMask')]
    resize = dict(type='Resize', scale=(64, 40), keep_ratio=False)
    config.test_dataloader.dataset.pipeline = [load[0], resize, load[1]]
    config.test_dataloader.dataset.support_pipeline = [*load, resize]
    plain = records(config, PLAIN, tmp_path / 'plain.json')
    assert records(config, SHARED, tmp_path / 'shared.json') == plain


def test_supports_of_another_size_than_queries_change_nothing(config, tmp_path):
    load = [dict(type='LoadImage'), dict(type='LoadMask')]
    resize = dict(type='Resize', scale=(64, 40), keep_ratio=False)
    config.test_dataloader.dataset.support_pipeline = [*load, resize]
    config.test_dataloader.dataset.pipeline = load
    plain = records(config, PLAIN, tmp_path / 'plain.json')
    assert records(config, SHARED, tmp_path / 'shared.json') == plain


@pytest.mark.parametrize('protocol', ['ssp', 'hsnet', 'pfenet'])
@pytest.mark.parametrize('kind', ['FolderPerClass', 'Overlapping'])
def test_data_sets_that_read_their_class_masks_give_the_same(
    kind, protocol, config, tmp_path
):
    write = dict(FolderPerClass=write_folders, Overlapping=write_photos)[kind]
    size = dict(FolderPerClass=(300, 3), Overlapping=(16,))[kind]
    set_protocol(config, protocol, original_size=False)
    config.test_dataloader.dataset.update(
        dataset=dict(type=kind, data_root=str(write(tmp_path / 'toys', *size))),
        # labels beyond 8 bits among them
        fold=dict(FolderPerClass=5, Overlapping=0)[kind],
        num_folds=dict(FolderPerClass=6, Overlapping=2)[kind],
        seed=0,
        shots=2,
    )
    del config.test_dataloader.dataset.dataset['ann_file']
    del config.test_dataloader.dataset.dataset['data_prefix']
    config.test_dataloader.dataset.update(min_pixels=16, num_episodes=12)
    plain = records(config, PLAIN, tmp_path / 'plain.json')
    assert len(plain) == 12
    assert records(config, SHARED, tmp_path / 'shared.json') == plain


@TRANSFORMS.register_module(force=True)
class ByClass(BaseTransform):
    """A transform that depends on the mask of the class: it changes it, or the image."""

    def __init__(self, key: str) -> None:
        self.key = key

    def transform(self, results: dict) -> dict:
        top = int((results['gt_seg_map'] == 1).argmax()) // results['img_shape'][1]
        results[self.key] = np.roll(results[self.key], top, axis=0)
        return results

    def __repr__(self) -> str:
        return f'ByClass({self.key!r})'


def by_class(config: Config, key: str) -> None:
    load = [dict(type='LoadImage'), dict(type='LoadMask')]
    config.test_dataloader.dataset.pipeline = load
    config.test_dataloader.dataset.support_pipeline = [
        *load,
        dict(type='ByClass', key=key),
    ]


def test_transforms_may_change_masks_by_class(config, tmp_path):
    by_class(config, 'gt_seg_map')
    plain = records(config, PLAIN, tmp_path / 'plain.json')
    assert records(config, SHARED, tmp_path / 'shared.json') == plain


def test_transforms_that_change_images_by_class_are_refused_with_a_way_out(
    config, tmp_path
):
    by_class(config, 'img')
    with pytest.raises(ValueError, match=r"for each of the labels .*'TestLoop'"):
        records(config, SHARED, tmp_path / 'shared.json')


@pytest.fixture
def encoded(monkeypatch) -> list:
    """What was encoded, in order."""
    images = []
    original = episodic_loop._Episodes._encode

    def encode(self, image):
        images.append(image.numpy().tobytes())
        return original(self, image)

    monkeypatch.setattr(episodic_loop._Episodes, '_encode', encode)
    return images


def test_every_image_is_encoded_once(config, encoded, tmp_path):
    found = records(config, SHARED, tmp_path / 'shared.json')
    paths = {p for r in found for p in (r['query'], *r['supports'])}
    assert len(encoded) == len(set(encoded)) == len(paths)


@pytest.mark.parametrize('budget', [0, 9_000])
def test_a_small_budget_is_kept_and_changes_nothing(
    budget, config, encoded, tmp_path, monkeypatch
):
    held = []
    original = episodic_loop._Episodes._query

    def query(self, *args):
        held.append(sum(q.nbytes for q in self.held.values()))
        return original(self, *args)

    monkeypatch.setattr(episodic_loop._Episodes, '_query', query)
    expected = records(config, SHARED, tmp_path / 'free.json')
    once = len(encoded)
    assert max(held) > 9_000
    encoded.clear()
    held.clear()
    loop = dict(SHARED, feature_budget=budget)
    assert records(config, loop, tmp_path / 'small.json') == expected
    assert max(held) <= budget
    assert once < len(encoded) <= 2 * once


def one_share(records: list, size: int, meta: dict) -> list:
    """Lets one of several processes that are only played score its records."""
    return sorted(records, key=lambda r: (r['run'], r['index']))


def test_processes_share_all_episodes(config, tmp_path, monkeypatch):
    """Each process by itself: together their records are those of one."""
    expected = records(config, SHARED, tmp_path / 'one.json')
    found = []
    for rank in range(3):
        monkeypatch.setattr(episodic_loop, 'get_dist_info', lambda r=rank: (r, 3))
        monkeypatch.setattr(few_shot_iou_metric, 'each_once', one_share)
        found += records(config, SHARED, tmp_path / f'{rank}.json')
    assert len(found) == len(expected)
    assert sorted(found, key=lambda r: (r['run'], r['index'])) == expected


def test_processes_encode_no_image_twice_and_few_in_common(
    config, encoded, tmp_path, monkeypatch
):
    """Shares of whole classes have fewer images in common than shares in turn."""

    def encodes(ranks: int) -> int:
        total = 0
        for rank in range(ranks):
            encoded.clear()
            info = (rank, ranks)
            monkeypatch.setattr(episodic_loop, 'get_dist_info', lambda i=info: i)
            monkeypatch.setattr(few_shot_iou_metric, 'each_once', one_share)
            records(config, SHARED, tmp_path / f'{ranks}_{rank}_{total}.json')
            assert len(encoded) == len(set(encoded))
            total += len(encoded)
        return total

    def in_turn(episodes: dict, rank: int, world_size: int) -> list[int]:
        return sorted(episodes)[rank::world_size]

    config.test_dataloader.dataset.seed = 0
    by_class = encodes(2)
    monkeypatch.setattr(episodic_loop, 'share', in_turn)
    assert encodes(1) <= by_class < encodes(2)


def test_processes_with_a_class_each_encode_every_image_once():
    """Where images have one class and classes are as frequent."""
    episodes = {
        i: Episode(
            query=10 * (i % 4) + i // 4, label=i % 4, supports=(10 * (i % 4) + 9,)
        )
        for i in range(24)
    }
    visits = [
        plan_visits({i: episodes[i] for i in share(episodes, rank, 4)})
        for rank in range(4)
    ]
    images = [visit.image for part in visits for visit in part]
    assert len(images) == len(set(images)) == 4 * 7


@pytest.mark.parametrize('ranks', [1, 2, 3, 7, 30])
def test_shares_hold_every_episode_once_and_are_equal(ranks):
    episodes = {i: Episode(query=i % 5, label=i % 3, supports=(9,)) for i in range(23)}
    shares = [share(episodes, rank, ranks) for rank in range(ranks)]
    assert sorted(item for part in shares for item in part) == list(range(23))
    sizes = [len(part) for part in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize('rank', [0, 40])
def test_a_process_without_episodes_decides_as_the_others(
    rank, config, encoded, tmp_path, monkeypatch
):
    """Whether pipelines draw at random, which it has no episode to try on."""
    config.test_dataloader.dataset.update(seed=0, num_episodes=12)
    config.test_dataloader.dataset.pipeline = [
        dict(type='LoadImage'),
        dict(type='PhotoMetricDistortion'),
        dict(type='LoadMask'),
    ]
    monkeypatch.setattr(episodic_loop, 'get_dist_info', lambda: (rank, 41))
    monkeypatch.setattr(few_shot_iou_metric, 'each_once', one_share)
    # the plain loop, whose sampler knows of no other process here
    assert len(records(config, SHARED, tmp_path / 'plain.json')) == 12


def test_random_pipelines_go_the_plain_way(config, encoded, tmp_path):
    config.test_dataloader.dataset.pipeline = [
        dict(type='LoadImage'),
        dict(type='PhotoMetricDistortion'),
        dict(type='LoadMask'),
    ]
    plain = records(config, PLAIN, tmp_path / 'plain.json')
    assert records(config, SHARED, tmp_path / 'shared.json') == plain
    assert encoded == []


@DATASETS.register_module(force=True)
class Wrapper(Dataset):
    """Another data set that gives episodes."""

    def __init__(self, dataset: dict) -> None:
        self.inner = DATASETS.build(dataset)
        self.metainfo = self.inner.metainfo

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, i: int) -> dict:
        return self.inner[i]


def test_another_data_set_goes_the_plain_way(config, encoded, tmp_path):
    config.test_dataloader.dataset = dict(
        type='Wrapper', dataset=config.test_dataloader.dataset
    )
    found = records(config, SHARED, tmp_path / 'shared.json')
    assert len(found) == 60
    assert encoded == []


@HOOKS.register_module(force=True)
class WatchingHook(Hook):
    """Keeps what hooks are given."""

    seen: list = []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        paths = [sample.img_path for sample in data_batch['data_samples']]
        assert paths == [sample.img_path for sample in outputs]
        self.seen.append((batch_idx, data_batch['inputs']['query'][0].shape))


def test_hooks_get_the_batch_and_the_outputs(config, tmp_path):
    WatchingHook.seen.clear()
    config.custom_hooks = [dict(type='WatchingHook')]
    found = records(config, SHARED, tmp_path / 'shared.json')
    numbers = [number for number, _ in WatchingHook.seen]
    assert numbers == list(range(len(found)))


@METRICS.register_module(force=True)
class CountingMetric(BaseMetric):
    """How many episodes were scored, as mIoU."""

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return dict(mIoU=len(results))


def test_training_validates_with_it(config, root, tmp_path):
    full = Config.fromfile(CONFIGS / 'ssp_r50_pascal5i_1shot.py')
    config.val_dataloader = config.test_dataloader
    config.val_dataloader.dataset.seed = 0
    config.val_cfg = full.val_cfg
    config.val_evaluator = dict(type='CountingMetric')
    config.test_dataloader = config.test_cfg = config.test_evaluator = None
    config.default_hooks.checkpoint = None
    config.experiment_name = 'validates'
    assert full.val_cfg.type == 'EpisodicValLoop'
    assert Runner.from_cfg(config).val() == dict(mIoU=12)


def test_lower_precision_is_named(config, tmp_path):
    out = tmp_path / 'half.json'
    records(config, dict(SHARED, dtype='bfloat16'), out)
    report = json.loads(out.read_text())
    assert 'features in bfloat16' in report['departures']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(feature_budget=-1), 'feature_budget=-1'),
        (dict(dtype='int8'), "dtype='int8'"),
    ],
)
def test_nonsense_is_refused(options, message, config, tmp_path):
    with pytest.raises(ValueError, match=message):
        records(config, dict(SHARED, **options), tmp_path / 'no.json')

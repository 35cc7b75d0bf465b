"""Every config is built and run: a training step, a validation, a test."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from tiny_data import write_coco, write_voc

from mmssp.apis import FewShotInferencer
from mmssp.apis.models import find_config
from mmssp.datasets import COCO20iDataset
from mmssp.protocols import PROTOCOLS
from mmssp.runtime.config import episodic_datasets, set_episodes

CONFIGS = sorted((Path(__file__).parents[1] / 'configs').glob('*.py'))
HF_MODELS = [
    path
    for path in sorted((CONFIGS[0].parent / '_base_' / 'models').glob('*.py'))
    if Config.fromfile(path).model.backbone.type == 'HFBackbone'
]
LARGE = tuple(f'ssp_{name}-{size}_' for name in ('dinov2', 'dinov3') for size in 'bl')
EVERY_FILE = sorted((Path(__file__).parents[1] / 'configs').rglob('*.py'))


@pytest.fixture(scope='session')
def tiny_roots(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp('data')
    voc = write_voc(folder / 'voc')
    categories = list(COCO20iDataset.METAINFO['classes'][1:])
    coco = write_coco(folder / 'coco', categories)
    mine = write_coco(folder / 'mine', ['screw', 'nut', 'washer', 'bolt'], 12)
    (mine / 'images').symlink_to('train2017')
    (mine / 'labels.json').symlink_to('annotations/instances_train2017.json')
    return dict(
        PascalVOCDataset=voc,
        Shapes5iDataset=voc,
        COCO20iDataset=coco,
        CocoSegDataset=mine,
    )


def shrink(transforms: list) -> None:
    """Every size in a pipeline becomes 64×64."""
    for transform in transforms:
        for key in ('size', 'crop_size', 'scale'):
            if key in transform:
                transform[key] = (64, 64)


def thin(model: Config) -> None:
    """A tiny model of the same kind, with random weights."""
    pytest.importorskip('transformers')
    from hf_models import TINY

    kind = model.backbone.config.model_type
    stage = 3 if kind in ('convnext', 'swin') else -1
    model.backbone.update(
        weights=None, config=dict(TINY[kind], model_type=kind), out_indices=(stage,)
    )
    model.decode_head.in_channels = MODELS.build(model.backbone).out_channels[0]


@pytest.mark.parametrize('path', HF_MODELS, ids=lambda path: path.stem)
def test_a_model_of_the_hub_fits_its_head(path):
    """As its config says, at full size; without memory."""
    pytest.importorskip('transformers')
    model = Config.fromfile(path).model
    with torch.device('meta'):
        backbone = MODELS.build(dict(model.backbone, weights=None)).eval()
        (features,) = backbone(torch.zeros(1, 3, 2 * model.size_divisor, 64 * 7))
    assert model.size_divisor == backbone.size_divisor
    assert features.shape[1] == model.decode_head.in_channels
    assert not any(p.requires_grad for p in backbone.parameters())


def test_a_model_of_the_hub_is_taken_by_name(tmp_path, monkeypatch):
    hub = pytest.importorskip('huggingface_hub')
    pytest.importorskip('transformers')
    # a built wheel's copy, where there is one, or the checkout's
    found = [find_config(path.stem) for path in HF_MODELS]
    assert [path.name for path in found] == [path.name for path in HF_MODELS]
    monkeypatch.setattr(hub.constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    # all but its weights is there
    with pytest.raises(FileNotFoundError, match='facebook/dinov2-small'):
        FewShotInferencer('ssp_dinov2-s', device='cpu')


def test_base_names_are_unique():
    names = [path.name for path in EVERY_FILE]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    'path',
    [
        # small ones are as large ones here
        pytest.param(path, marks=pytest.mark.slow)
        if path.stem.startswith(LARGE)
        else path
        for path in CONFIGS
    ],
    ids=lambda path: path.stem,
)
def test_config_trains_validates_and_tests(path, tiny_roots, tmp_path):
    if 'efficientnet' in path.stem:
        pytest.importorskip('efficientnet_lite_pytorch')
    cfg = Config.fromfile(path)
    cfg.work_dir = str(tmp_path)
    trained = cfg.train_cfg is not None
    if trained:
        cfg.train_cfg.update(max_iters=1, val_interval=1)
    if 'init_cfg' in cfg.model.backbone:
        # thin; test_unused.py builds it as it is
        cfg.model.backbone.update(init_cfg=None, base_channels=4, stem_channels=8)
        cfg.model.decode_head.in_channels = 64
    if cfg.model.backbone.type == 'HFBackbone':
        thin(cfg.model)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg[name]:
            cfg[name].update(batch_size=1, num_workers=0, persistent_workers=False)
    set_episodes(cfg, num_episodes=2, min_pixels=16, workers=1)
    for dataset in episodic_datasets(cfg):
        wrapped = dataset.dataset
        wrapped.data_root = str(tiny_roots[wrapped.type])
        shrink(dataset.get('pipeline') or [])
        shrink(dataset.get('support_pipeline') or [])
    runner = Runner.from_cfg(cfg)
    if trained:
        runner.train()
        assert (tmp_path / 'iter_1.pth').is_file()
    assert trained != path.stem.endswith('_frozen')
    scores = runner.test()
    assert 0 <= scores['mIoU'] <= 100
    assert runner.test_dataloader.dataset.shots == (5 if '5shot' in path.stem else 1)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_validation_draws_no_episode_of_a_test(path):
    cfg = Config.fromfile(path)
    (validation,) = episodic_datasets(cfg, 'val_dataloader')
    tested = {seed for protocol in PROTOCOLS.values() for seed in protocol.seeds}
    for dataset in episodic_datasets(cfg, 'test_dataloader', 'train_dataloader'):
        seeds = dataset.get('seed')
        tested |= {seeds} if isinstance(seeds, int) else set(seeds or ())
    assert isinstance(validation.seed, int)
    # further runs of a test count on from the last seed
    assert validation.seed > max(tested) + 1000


def selecting(name: str) -> tuple[str, str | None]:
    """Split that a config validates on, and what it selects by."""
    cfg = Config.fromfile(CONFIGS[0].parent / f'{name}.py')
    (validation,) = episodic_datasets(cfg, 'val_dataloader')
    return validation.split, cfg.default_hooks.checkpoint.save_best


def test_configs_beside_the_published_one_select_by_no_novel_class():
    assert selecting('ssp_r50_pascal5i_1shot') == ('novel', 'mIoU')
    assert selecting('ssp_r50_pascal5i_1shot_select-base') == ('base', 'mIoU')
    assert selecting('ssp_r50_pascal5i_1shot_last') == ('base', None)

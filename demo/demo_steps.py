"""What demo.py does: draw, train, test, and say what came out."""

import argparse
import copy
import platform
import sys
import time
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from prettytable import PrettyTable

import mmssp
from mmssp.datasets import EpisodicDataset, episode_collate
from mmssp.evaluation import get_protocol
from mmssp.models import FewShotEncoderDecoder
from mmssp.runtime.checkpoints import load_for_test
from mmssp.runtime.config import load_config, set_episodes
from mmssp.visualization import draw_episode_panel, stack_panels, to_rgb, write_png

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs' / 'ssp_efficientnet-lite0_shapes5i_1shot.py'
HEADS = {
    'baseline': dict(_delete_=True, type='BaselineHead'),
    'SSP': dict(refine=False),
    'SSP, refined': dict(refine=True),
}


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    start = time.monotonic()
    # before the first runner there would be a line for each parameter of the model
    MMLogger.get_instance('demo', log_level='ERROR')
    out = Path(args.out)
    data_root = out / 'shapes5i'
    draw_data(data_root)
    cfg = demo_config(data_root, args.episodes, args.iters)
    init_default_scope('mmseg')

    step(start, 'training SSP on the base classes')
    ssp = train(cfg, out / 'ssp')
    step(start, 'training the baseline on the base classes')
    baseline = train(as_baseline(cfg), out / 'baseline')

    scores = {}
    for name, head in HEADS.items():
        step(start, f'testing on the novel classes: {name}')
        folder = out / ('baseline' if name == 'baseline' else 'ssp')
        trained = (folder / 'last_checkpoint').read_text()
        scores[name] = [
            test(cfg, folder, checkpoint, **head) for checkpoint in ('none', trained)
        ]
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    picture = out / 'episodes.png'
    write_png(picture, draw_episodes(ssp, baseline, dataset))
    step(start, 'done')
    print(report(scores, dataset))
    print(f'Episodes to look at: {picture}')


def step(start: float, text: str) -> None:
    print(f'[{time.monotonic() - start:5.0f} s] {text}', flush=True)


def draw_data(root: Path) -> None:
    """Draw Shapes-5i if it is not there."""
    sys.path.insert(0, str(ROOT / 'tools' / 'dataset_converters'))
    from shapes5i import draw_shapes5i

    draw_shapes5i(root)


def demo_config(data_root: Path, episodes: int, iters: int | None) -> Config:
    """The config with its data here, quiet, and without validation.

    No checkpoint is chosen by its score on novel classes: the last one counts.
    """
    cfg = load_config(str(CONFIG))
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].dataset.dataset.data_root = str(data_root)
    set_episodes(cfg, 'test_dataloader', num_episodes=episodes)
    if iters is not None:
        cfg.train_cfg.max_iters = iters
        cfg.param_scheduler[0].milestones = [iters // 3, 2 * iters // 3]
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=-1
    )
    cfg.log_level = 'ERROR'
    return cfg


def as_baseline(cfg: Config) -> Config:
    """The same training for the baseline: support prototypes alone, no self-support."""
    cfg = Config(cfg.to_dict())
    set_head(cfg, HEADS['baseline'])
    return cfg


def set_head(cfg: Config, options: dict) -> None:
    """Change settings of the head; with ``_delete_``, another that takes its features."""
    head = cfg.model.decode_head
    kept = dict(in_channels=head.in_channels, in_index=head.in_index)
    cfg.merge_from_dict({'model.decode_head': dict(kept, **options)})


def train(cfg: Config, work_dir: Path) -> FewShotEncoderDecoder:
    """Train as tools/train.py does, and return the model."""
    cfg = Config(cfg.to_dict())
    cfg.work_dir = str(work_dir)
    return Runner.from_cfg(cfg).train()


def test(cfg: Config, work_dir: Path, checkpoint: str, **head) -> dict[str, float]:
    """Test as tools/test.py does.

    Args:
        cfg: Full config.
        work_dir: For logs.
        checkpoint: Trained weights, or ``'none'``.
        **head: Settings of the decode head.

    Returns:
        ``mIoU`` and ``mIoU_std`` in percent.
    """
    cfg = Config(cfg.to_dict())
    set_head(cfg, head)
    cfg.work_dir = str(work_dir)
    runner = Runner.from_cfg(cfg)
    load_for_test(runner, checkpoint)
    return runner.test()


def draw_episodes(
    ssp: FewShotEncoderDecoder,
    baseline: FewShotEncoderDecoder,
    dataset: EpisodicDataset,
) -> np.ndarray:
    """The first episode of each novel class, as rows of one picture."""
    panels = {}
    for i in range(len(dataset)):
        class_id = dataset.class_id(i)
        if class_id in panels:
            continue
        item = dataset[i]
        inputs, sample = item['inputs'], item['data_samples']
        size = sample.ori_shape
        predictions = {
            name: predict(model, item)
            for name, model in (('baseline', baseline), ('SSP', ssp))
        }
        panels[class_id] = draw_episode_panel(
            support_images=[to_rgb(image) for image in inputs['support']],
            support_masks=[mask.numpy() for mask in inputs['support_mask']],
            query_image=mmcv.imresize(to_rgb(inputs['query']), size[::-1]),
            truth=sample.gt_sem_seg.data[0].numpy().astype(np.uint8),
            predictions=predictions,
            class_name=sample.class_name,
            cell_width=240,
        )
        if len(panels) == len(dataset.class_ids):
            break
    return stack_panels([panels[class_id] for class_id in sorted(panels)])


@torch.no_grad()
def predict(model: FewShotEncoderDecoder, item: dict) -> np.ndarray:
    """The mask (H,W) of one episode, uint8 in {0, 1}."""
    (sample,) = model.eval().test_step(episode_collate([copy.deepcopy(item)]))
    return sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)


def report(scores: dict, dataset: EpisodicDataset) -> str:
    """The table, and what is needed to read it.

    Args:
        scores: Row → scores untrained and trained.
        dataset: That was tested.
    """
    table = PrettyTable(['mIoU, novel classes', 'untrained', 'trained'])
    table.align = 'l'
    for name, columns in scores.items():
        table.add_row(
            [name, *(f'{s["mIoU"]:.1f} ± {s["mIoU_std"]:.1f}' for s in columns)]
        )
    protocol = get_protocol(dataset.protocol)
    return '\n'.join(
        [
            f'Shapes-5i fold {dataset.fold}, {dataset.shots}-shot; mean ± deviation over '
            f'{len(dataset.seeds)} runs of {dataset.num_episodes} episodes.',
            f'Protocol {protocol.name} v{protocol.version}, but:',
            *(f'- {text}' for text in dataset.departures),
            'Untrained: ImageNet features, EfficientNet-Lite0. Trained: the baseline by '
            'itself, SSP with\nrefinement, the same number of episodes each.',
            str(table),
            f'mmssp {mmssp.__version__}, torch {torch.__version__}, Python '
            f'{platform.python_version()}, {torch.get_num_threads()} threads on '
            f'{platform.machine()}',
        ]
    )

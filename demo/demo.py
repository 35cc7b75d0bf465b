"""The whole of mmssp in minutes on a CPU: draw data, train, test, table, picture.

Everything is made here: the data set is drawn, the ImageNet features come with a package.
"""

import argparse
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
from mmseg.registry import DATASETS, MODELS
from prettytable import PrettyTable

import mmssp
from mmssp.datasets import EpisodicDataset, episode_collate
from mmssp.evaluation import get_protocol, pixel_counts, score_runs
from mmssp.models import FewShotEncoderDecoder
from mmssp.utils.cli import run
from mmssp.utils.config import load_config, set_episodes
from mmssp.visualization import draw_episode_panel, stack_panels, to_rgb, write_png

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs' / 'ssp_efficientnet-lite0_shapes5i_1shot.py'
STAGES = {'baseline': 'baseline', 'SSP': 'stage1', 'SSP, refined': 'final'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw Shapes-5i, train SSP and its baseline on fold 0, test both on '
        'the five novel classes.'
    )
    parser.add_argument(
        '--out', default='demo_output', help='folder for data, checkpoints and pictures'
    )
    parser.add_argument(
        '--episodes', type=int, default=200, help='test episodes per run (default: 200)'
    )
    parser.add_argument(
        '--iters', type=int, help="training iterations (default: the config's)"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    # before the first runner there would be a line for each parameter of the model
    MMLogger.get_instance('demo', log_level='ERROR')
    out = Path(args.out)
    data_root = out / 'shapes5i'
    draw_data(data_root)
    cfg = demo_config(data_root, args.episodes, args.iters)
    init_default_scope('mmseg')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)

    step(start, 'testing the untrained model: ImageNet features alone')
    model = MODELS.build(cfg.model)
    model.init_weights()
    untrained = evaluate(model, dataset)

    step(start, 'training SSP on the base classes')
    ssp = train(cfg, out / 'ssp')
    step(start, 'training the baseline on the base classes')
    baseline = train(as_baseline(cfg), out / 'baseline')

    step(start, 'testing the trained models on the novel classes')
    trained = evaluate(ssp, dataset)
    trained['baseline'] = evaluate(baseline, dataset)['baseline']
    picture = out / 'episodes.png'
    write_png(picture, draw_episodes(ssp, baseline, dataset))
    step(start, 'done')
    print(report(untrained, trained, dataset, cfg.test_evaluator))
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
    cfg.model.decode_head.update(
        method='baseline', refine=False, loss_query_self=None, loss_support_self=None
    )
    return cfg


def train(cfg: Config, work_dir: Path) -> FewShotEncoderDecoder:
    """Train as tools/train.py does, and return the model."""
    cfg = Config(cfg.to_dict())
    cfg.work_dir = str(work_dir)
    return Runner.from_cfg(cfg).train()


@torch.no_grad()
def match(
    model: FewShotEncoderDecoder, item: dict, features: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Masks (H,W) of all stages for one episode.

    Args:
        model: In eval mode.
        item: Of an :class:`EpisodicDataset` that loads query and support alike.
        features: Features by image path; filled, so that no image is encoded twice.

    Returns:
        Stage → (H,W) in {0, 1}, at the query's original size.
    """
    inputs = model.data_preprocessor(episode_collate([item]))['inputs']
    sample = item['data_samples']

    def encode(path: str, image: torch.Tensor) -> torch.Tensor:
        if path not in features:
            features[path] = model.encode(image[None])[0]
        return features[path]

    query = encode(sample.img_path, inputs['query'][0])
    support = [
        encode(path, image)
        for path, image in zip(
            sample.support_img_paths, inputs['support'][0], strict=True
        )
    ]
    logits = model.decode_head.match(
        query[None], torch.stack(support)[None], inputs['support_mask']
    )
    masks = {}
    for stage, value in logits.items():
        background, foreground = model.decode_head.upsample(value, sample.ori_shape)[0]
        # as argmax, which is slow over so short a dimension on a CPU
        masks[stage] = (foreground > background).long()
    return masks


def evaluate(model: FewShotEncoderDecoder, dataset: EpisodicDataset) -> dict[str, dict]:
    """Scores of all stages, in one pass over the episodes of all runs.

    Returns:
        Stage → what :func:`mmssp.evaluation.score_runs` gives.
    """
    model.eval()
    features: dict[str, torch.Tensor] = {}
    records = {stage: [] for stage in STAGES.values()}
    for item in dataset:
        sample = item['data_samples']
        truth = sample.gt_sem_seg.data[0]
        for stage, mask in match(model, item, features).items():
            counts = pixel_counts(mask, truth)
            records[stage].append(
                dict(run=sample.run, class_id=sample.class_id, **counts)
            )
    return {stage: score_runs(r, dataset.class_ids) for stage, r in records.items()}


def draw_episodes(
    ssp: FewShotEncoderDecoder,
    baseline: FewShotEncoderDecoder,
    dataset: EpisodicDataset,
) -> np.ndarray:
    """The first episode of each novel class, as rows of one picture."""
    features = {}, {}
    panels = {}
    for i in range(len(dataset)):
        class_id = dataset.class_id(i)
        if class_id in panels:
            continue
        item = dataset[i]
        inputs, sample = item['inputs'], item['data_samples']
        size = sample.ori_shape
        predictions = {
            'baseline': match(baseline, item, features[0])['baseline'],
            'SSP': match(ssp, item, features[1])['final'],
        }
        panels[class_id] = draw_episode_panel(
            support_images=[to_rgb(image) for image in inputs['support']],
            support_masks=[mask.numpy() for mask in inputs['support_mask']],
            query_image=mmcv.imresize(to_rgb(inputs['query']), size[::-1]),
            truth=sample.gt_sem_seg.data[0].numpy().astype(np.uint8),
            predictions={
                name: mask.numpy().astype(np.uint8)
                for name, mask in predictions.items()
            },
            class_name=sample.class_name,
            cell_width=240,
        )
        if len(panels) == len(dataset.class_ids):
            break
    return stack_panels([panels[class_id] for class_id in sorted(panels)])


def report(
    untrained: dict, trained: dict, dataset: EpisodicDataset, metric: dict
) -> str:
    """The table, and what is needed to read it."""

    def text(scores: dict) -> str:
        return f'{scores["mIoU"]:.1f} ± {scores["mIoU_std"]:.1f}'

    table = PrettyTable(['mIoU, novel classes', 'untrained', 'trained'])
    table.align = 'l'
    for name, stage in STAGES.items():
        table.add_row([name, text(untrained[stage]), text(trained[stage])])
    protocol = get_protocol(metric['protocol'])
    return '\n'.join(
        [
            f'Shapes-5i fold {dataset.fold}, {dataset.shots}-shot; mean ± deviation over '
            f'{len(dataset.seeds)} runs of {dataset.num_episodes} episodes.',
            f'Protocol {protocol.name} v{protocol.version}, but '
            f'{", ".join(metric["departures"])}.',
            'Untrained: ImageNet features, EfficientNet-Lite0. Trained: the baseline by '
            'itself, SSP with\nrefinement, the same number of episodes each.',
            str(table),
            f'mmssp {mmssp.__version__}, torch {torch.__version__}, Python '
            f'{platform.python_version()}, {torch.get_num_threads()} threads on '
            f'{platform.machine()}',
        ]
    )


if __name__ == '__main__':
    run(main)

"""Train a few-shot segmentor: python tools/train.py CONFIG [--fold N] [--shots K] …"""

import argparse
import os
from pathlib import Path

__options_first__ = True

from mmssp.arguments.shared_options import add_cfg_options, add_launcher
from mmssp.utils.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a few-shot segmentor.')
    parser.add_argument(
        'config', help='config file, e.g. configs/ssp_r50_pascal5i_1shot.py'
    )
    parser.add_argument(
        '--fold', type=int, help='0-based fold whose classes are novel (kept out)'
    )
    parser.add_argument('--shots', type=int, help='supports per episode')
    parser.add_argument(
        '--work-dir',
        type=os.path.expanduser,
        help='folder for logs and checkpoints; work_dirs/CONFIG/foldN by default',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from the newest checkpoint of the work dir that can be read, or '
        'from the one named',
    )
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision (needs a GPU)'
    )
    add_launcher(parser)
    add_cfg_options(
        parser,
        'override settings of the config, e.g. train_cfg.max_iters=100; lists as '
        'key="[a,b]" or key=a,b',
    )
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='print what is in the log file as well: environment, config, hooks',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    # late, so that help and wrong options are answered at once
    from mmengine.runner import Runner

    from mmssp.engine import QuietRunner
    from mmssp.models.backbones.hub_files import check_at_hand
    from mmssp.runtime.checkpoints import check_pretrained, safe_reading
    from mmssp.runtime.config import (
        built_from,
        episodic_datasets,
        load_config,
        set_amp,
        set_episodes,
        tell_of_small_shared_memory,
    )
    from mmssp.runtime.initial_weights import tell_of_random_weights
    from mmssp.runtime.launch import (
        leave_together,
        set_launcher,
        watch_each_other,
    )
    from mmssp.runtime.vis_backends import check_vis_backends
    from mmssp.utils.files import check_folder_writable

    cfg = load_config(args.config, args.cfg_options)
    if not cfg.get('train_cfg'):
        raise ValueError(
            f'{args.config}: no train_cfg, so nothing is trained by this config; test it '
            f'as it is: python tools/test.py {args.config} none'
        )
    set_episodes(cfg, fold=args.fold, shots=args.shots)
    set_launcher(cfg, args.launcher, args.local_rank)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        folds = {dataset.get('fold') for dataset in episodic_datasets(cfg)} - {None}
        parts = [f'fold{fold}' for fold in sorted(folds)]
        cfg.work_dir = str(Path('work_dirs', Path(args.config).stem, *parts))
    if args.amp:
        set_amp(cfg)
    start_from = None
    if args.resume == 'auto':
        start_from = cfg.get('load_from')
        cfg.resume, cfg.load_from = True, None
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume
    if cfg.get('resume') and not cfg.setdefault('default_hooks', {}).get('resume'):
        # it is also what keeps an unsafe checkpoint from being read
        cfg.default_hooks['resume'] = dict(type='ExactResumeHook')
    if start_from:
        cfg.default_hooks['resume']['start_from'] = start_from
    check_vis_backends(cfg)
    tell_of_small_shared_memory(cfg, 'train_dataloader', 'val_dataloader')
    check_folder_writable(cfg.work_dir)
    check_pretrained(cfg)
    # before the data are scanned
    check_at_hand((cfg.get('model') or {}).get('backbone'))
    with safe_reading():
        with built_from(cfg):
            runner = (Runner if args.verbose else QuietRunner).from_cfg(cfg)
        watch_each_other()
        tell_of_random_weights(cfg)
        runner.train()
    leave_together()


if __name__ == '__main__':
    run(main, parse_args)

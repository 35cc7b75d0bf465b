"""Train a few-shot segmentor: python tools/train.py CONFIG [--fold N] [--shots K] …"""

import argparse
from pathlib import Path

import mmssp  # noqa: F401  first of all: it checks what the others need

# isort: split
from mmengine.config import DictAction
from mmengine.runner import Runner

from mmssp.runtime.checkpoints import check_pretrained, safe_reading
from mmssp.runtime.config import (
    built_from,
    episodic_datasets,
    load_config,
    set_amp,
    set_episodes,
)
from mmssp.runtime.launch import (
    add_launcher,
    leave_together,
    set_launcher,
    watch_each_other,
)
from mmssp.utils.command import run
from mmssp.utils.files import check_folder_writable


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
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. train_cfg.max_iters=100; lists as '
        'key="[a,b]" or key=a,b',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
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
    check_folder_writable(cfg.work_dir)
    check_pretrained(cfg)
    with safe_reading():
        with built_from(cfg):
            runner = Runner.from_cfg(cfg)
        watch_each_other()
        runner.train()
    leave_together()


if __name__ == '__main__':
    run(main)

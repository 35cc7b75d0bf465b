"""Test a few-shot segmentor: python tools/test.py CONFIG CHECKPOINT [--fold N] …"""

import argparse
import logging
import os
from pathlib import Path

__options_first__ = True

from mmssp.arguments.shared_options import add_cfg_options, add_launcher
from mmssp.protocols import PROTOCOLS
from mmssp.utils.command import run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Test a few-shot segmentor on episodes of novel classes.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'checkpoint',
        help='trained weights; "none" tests the model as its config builds it, with its '
        'pre-trained backbone (matching itself has no parameters)',
    )
    parser.add_argument('--fold', type=int, help='0-based fold whose classes are novel')
    parser.add_argument('--shots', type=int, help='supports per episode')
    parser.add_argument(
        '--protocol',
        choices=sorted(PROTOCOLS),
        help="evaluation protocol, complete; the config's by default",
    )
    parser.add_argument(
        '--original-size',
        action='store_true',
        help='score at the original size where the protocol does not (hsnet)',
    )
    parser.add_argument(
        '--runs',
        type=int,
        help="runs to average; the protocol's by default",
    )
    parser.add_argument(
        '--episodes', type=int, help="episodes per run; the protocol's by default"
    )
    parser.add_argument(
        '--out',
        type=os.path.expanduser,
        metavar='F.json',
        help='write scores and a record of every episode',
    )
    parser.add_argument(
        '--show-dir',
        type=os.path.expanduser,
        metavar='D',
        help='draw episodes (support, query, truth, predictions) into D',
    )
    parser.add_argument(
        '--show-interval',
        type=int,
        default=1,
        metavar='N',
        help='with --show-dir: draw every Nth episode (default: every one)',
    )
    parser.add_argument(
        '--work-dir',
        type=os.path.expanduser,
        help='folder for logs; work_dirs/CONFIG by default',
    )
    add_launcher(parser)
    add_cfg_options(
        parser,
        'override settings of the config, e.g. model.decode_head.refine=False',
    )
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='print what is in the log file as well: environment, config, hooks',
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    # late, so that help and wrong options are answered at once
    from mmengine.logging import print_log
    from mmengine.runner import Runner

    from mmssp.engine import QuietRunner
    from mmssp.evaluation import FewShotIoUMetric
    from mmssp.evaluation.departures import (
        add_departures,
        model_departures,
        rounding_departures,
        training_departures,
    )
    from mmssp.runtime.checkpoints import load_for_test, safe_reading
    from mmssp.runtime.config import (
        built_from,
        few_shot_metric,
        load_config,
        override,
        set_episodes,
        set_protocol,
        set_runs,
        show_episodes,
        tell_of_small_shared_memory,
    )
    from mmssp.runtime.launch import (
        leave_together,
        set_launcher,
        watch_each_other,
    )
    from mmssp.runtime.vis_backends import check_vis_backends
    from mmssp.utils.files import check_folder_writable, check_writable

    if args.out:
        check_writable(args.out)
    for folder in filter(None, (args.show_dir, args.work_dir)):
        check_folder_writable(folder)
    cfg = load_config(args.config)
    set_protocol(cfg, args.protocol, args.original_size)
    # after the protocol, so that they count, as departures from it
    override(cfg, args.cfg_options)
    set_runs(cfg, args.runs)
    set_episodes(
        cfg,
        'test_dataloader',
        fold=args.fold,
        shots=args.shots,
        num_episodes=args.episodes,
    )
    set_launcher(cfg, args.launcher, args.local_rank)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        cfg.work_dir = str(Path('work_dirs', Path(args.config).stem))
    if args.out:
        few_shot_metric(cfg).out_file = args.out
    show_episodes(cfg, args.show_dir, args.show_interval)
    check_vis_backends(cfg)
    tell_of_small_shared_memory(cfg, 'test_dataloader')
    cfg.load_from, cfg.resume = None, False
    with built_from(cfg), safe_reading():
        runner = (Runner if args.verbose else QuietRunner).from_cfg(cfg)
    watch_each_other()
    trained_on = load_for_test(runner, args.checkpoint)
    with built_from(cfg):
        evaluator = runner.test_loop.evaluator
    for metric in evaluator.metrics:
        if isinstance(metric, FewShotIoUMetric):
            found = training_departures(trained_on, metric.dataset_meta)
            add_departures([metric], found)
            for text in found:
                print_log(f'{args.checkpoint}: {text}', 'current', logging.WARNING)
    # what any loop does; the episodic one knows of more
    model = runner.model
    add_departures(
        evaluator.metrics,
        [
            *rounding_departures(next(model.parameters()).device),
            *model_departures(getattr(model, 'module', model)),
        ],
    )
    runner.test()
    leave_together()


if __name__ == '__main__':
    run(main, parse_args)

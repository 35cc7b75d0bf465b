"""Test all folds and print one table: python tools/test_folds.py CONFIG CHECKPOINT …

CHECKPOINT has {fold} where the fold stands, and may have wildcards, in quotes:

  python tools/test_folds.py configs/ssp_r50_pascal5i_1shot.py \\
      'work_dirs/ssp_r50_pascal5i_1shot/fold{fold}/best_mIoU_iter_*.pth'

Other options are those of tools/test.py, which is run for one fold after the other;
{fold} is filled in there too, e.g. --show-dir 'panels/fold{fold}'.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

__options_first__ = True

from prettytable import PrettyTable

from mmssp.utils.command import cleaning_up_on_sigterm, run
from mmssp.utils.files import check_writable

TOOLS = Path(__file__).resolve().parent
OWN = {
    '--fold': 'the folds are given by --folds',
    '--launcher': 'several processes are started by --nproc N',
    '--out': 'write --out in full',
}
GRACE = 10.0  # seconds in which a test ends by itself after Ctrl-C


def parse_args() -> tuple[argparse.Namespace, list[str]]:
    """The options that are known here, and those for tools/test.py."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage='%(prog)s CONFIG CHECKPOINT [--folds N …] [--out F.json] [--nproc N] '
        '[options of tools/test.py]',
        # else --fold would be taken for --folds
        allow_abbrev=False,
    )
    parser.add_argument('config', metavar='CONFIG', help='config file')
    parser.add_argument(
        'checkpoint',
        metavar='CHECKPOINT',
        help='trained weights, with {fold} in the place of the fold; exactly one file '
        'must match for each. "none" tests the model as its config builds it',
    )
    parser.add_argument(
        '--folds',
        type=int,
        nargs='+',
        default=[0, 1, 2, 3],
        metavar='N',
        help='0-based (default: 0 1 2 3)',
    )
    parser.add_argument(
        '--out',
        type=os.path.expanduser,
        metavar='F.json',
        help="write all folds' scores, and each fold's scores and records beside it as "
        'F_foldN.json (default: work_dirs/CONFIG/folds.json)',
    )
    parser.add_argument(
        '--nproc', type=int, metavar='N', help='processes, by tools/dist_test.sh'
    )
    args, rest = parser.parse_known_args()
    for word in rest:
        name = word.split('=')[0]
        for own, instead in OWN.items():
            # tools/test.py takes beginnings of names too
            if len(name) > 2 and own.startswith(name):
                parser.error(f'{name} cannot be passed on: {instead}')
    if args.nproc is not None and args.nproc < 1:
        parser.error(f'--nproc {args.nproc}: expected 1 or more')
    return args, rest


def main(options: tuple[argparse.Namespace, list[str]]) -> None:
    # late, so that help and wrong options are answered at once
    from mmssp.evaluation.fold_results import (
        PLACE,
        fold_checkpoints,
        mean_over_folds,
        read_fold,
    )
    from mmssp.evaluation.results import write_report
    from mmssp.runtime.config import load_config

    args, rest = options
    load_config(args.config)
    checkpoints = fold_checkpoints(args.checkpoint, args.folds)
    out = Path(args.out or Path('work_dirs', Path(args.config).stem, 'folds.json'))
    check_writable(out)
    results, files = {}, {}
    for fold, checkpoint in checkpoints.items():
        files[fold] = out.with_name(f'{out.stem}_fold{fold}.json')
        before = _written_at(files[fold])
        words = [word.replace(PLACE, str(fold)) for word in rest]
        print(f'fold {fold}: {checkpoint}', flush=True)
        code = run_to_end(
            [
                *_command(args.config, checkpoint, args.nproc),
                *words,
                *('--fold', str(fold), '--out', str(files[fold])),
            ]
        )
        if code:
            sys.stderr.write(f'error: fold {fold}: tools/test.py ended with {code}\n')
            sys.exit(code)
        if _written_at(files[fold]) == before:
            sys.exit(f'error: fold {fold}: tools/test.py did not write {files[fold]}')
        results[fold] = read_fold(files[fold], fold)
    report = mean_over_folds(results)
    for row in report['folds']:
        row.update(file=str(files[row['fold']]), checkpoint=checkpoints[row['fold']])
    write_report(out, dict(config=args.config, **report))
    _print(report)
    print(f'scores: {out}')


def _command(config: str, checkpoint: str, processes: int | None) -> list[str]:
    if processes is None:
        return [sys.executable, str(TOOLS / 'test.py'), config, checkpoint]
    return [str(TOOLS / 'dist_test.sh'), config, checkpoint, str(processes)]


def _written_at(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.exists() else None


def run_to_end(command: list[str]) -> int:
    """Run a command that ends no later than this process.

    Ctrl-C reaches it too, by the terminal; it gets :data:`GRACE` to end by itself.

    Args:
        command: Program and arguments.

    Returns:
        Its exit code; 128 + n where signal n ended it.
    """
    child = subprocess.Popen(command, env=dict(os.environ, PYTHON=sys.executable))
    try:
        code = child.wait()
    except KeyboardInterrupt:
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.terminate()
        raise
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
    return code if code >= 0 else 128 - code


def _print(report: dict) -> None:
    table = PrettyTable(['fold', 'mIoU', '± over runs', '95 %', 'FB-IoU'])
    table.align = 'r'
    rows = [*report['folds'], dict(report['mean'], fold='mean')]
    for row in rows:
        low, high = row['mIoU_95']
        deviation = row['mIoU_std']
        table.add_row(
            [
                row['fold'],
                f'{row["mIoU"]:.2f}',
                'n/a' if deviation is None else f'{deviation:.2f}',
                f'{low:.2f} to {high:.2f}',
                f'{row["FB-IoU"]:.2f}',
            ]
        )
    print(f'\n{table}')
    protocol = f'protocol {report["protocol"]} v{report["protocol_version"]}'
    own_data = report['benchmark'] is None
    print(f'{"own data, no benchmark" if own_data else protocol}; 95 % over episodes')
    for text in report['departures']:
        print(f'{"note" if own_data else "departs from the protocol"}: {text}')


if __name__ == '__main__':
    with cleaning_up_on_sigterm():
        run(main, parse_args)

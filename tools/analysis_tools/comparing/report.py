"""Printing and drawing how two tests compare."""

import argparse
import sys
from pathlib import Path

from prettytable import PrettyTable
from torch.utils.data import Dataset

from mmssp.engine.hooks.visualization_hook import panel_name
from mmssp.evaluation.compared_episodes import (
    common_width,
    decode_prediction,
    draw_compared,
    load_recorded,
    recorded_dataset,
)
from mmssp.evaluation.comparison import (
    check_comparable,
    compare,
    gains_and_losses,
)
from mmssp.evaluation.results import read_results, write_report
from mmssp.runtime.config import load_config
from mmssp.utils.files import check_folder_writable, check_writable, file_name
from mmssp.visualization import stack_panels, write_png

SHOWN_CLASSES = 20  # printed; --out holds all


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    if args.show_dir and not args.config:
        sys.exit('error: --show-dir needs --config, the config that was tested')
    names = args.names or _names(args.a, args.b)
    if names[0] == names[1] or not all(names):
        sys.exit(
            f'error: --names {names[0]!r} {names[1]!r}: expected two different ones'
        )
    results = [read_results(path) for path in (args.a, args.b)]
    check_comparable(*results, names)
    gains, losses = gains_and_losses(*results, args.num_panels)
    chosen = dict(gains=gains, losses=losses)
    if args.out:
        check_writable(args.out)
    if args.show_dir:
        # what is missing is found before the work
        predictions = _predictions(results, names, [*gains, *losses])
        load_config(args.config)
        check_folder_writable(args.show_dir)

    compared = compare(*results, args.resamples, args.seed)
    _print(compared, chosen, results, names, args)
    if args.out:
        write_report(args.out, _report(compared, chosen, results, names, args))
        print(f'comparison: {args.out}')
    if args.show_dir:
        dataset = recorded_dataset(args.config, results[0], args.cfg_options)
        _draw(dataset, chosen, results[0], predictions, Path(args.show_dir))


def _scored_by(report: dict) -> str:
    if report['benchmark'] is None:
        return 'own data, no benchmark'
    return f'protocol {report["protocol"]} v{report["protocol_version"]}'


def _names(a: str, b: str) -> tuple[str, str]:
    """The files' names, where they tell the two apart."""
    stems = Path(a).stem, Path(b).stem
    return ('A', 'B') if stems[0] == stems[1] else stems


def _print(
    compared: dict,
    chosen: dict[str, list],
    results: list[dict],
    names: tuple[str, str],
    args: argparse.Namespace,
) -> None:
    a = results[0]
    runs = len({record['run'] for record in a['episodes']})
    print(f'{names[0]}: {args.a}\n{names[1]}: {args.b}')
    settings = [
        text
        for text, value in (
            (f'fold {a.get("fold")}', a.get('fold')),
            (f'{a.get("shots")}-shot', a.get('shots')),
        )
        if value is not None
    ]
    print(
        ', '.join([_scored_by(a), *settings])
        + f', {runs} run(s), {len(a["episodes"])} episodes'
    )
    own = [set(report['departures']) for report in results]
    protocol = a['benchmark'] is not None
    for text in sorted(own[0] & own[1]):
        print(f'{"both depart from the protocol" if protocol else "note"}: {text}')
    for name, mine, other in ((names[0], *own), (names[1], *own[::-1])):
        for text in sorted(mine - other):
            what = f'only {name}' + ' departs from the protocol' * protocol
            print(f'warning: {what}: {text}')

    table = PrettyTable(['', *names, 'difference', '95 %', 'p'])
    for score in ('mIoU', 'FB-IoU'):
        table.add_row(
            [
                score,
                *_numbers(compared[score]),
                _p(compared[score]['p'], args.resamples),
            ]
        )
    print(f'\n{_aligned(table)}')
    print(
        f'difference {names[1]} - {names[0]}; interval and two-sided p by paired '
        f'bootstrap over episodes,\nwithin each run: {args.resamples} resamples, seed '
        f'{args.seed}; another training is not in it'
    )

    table = PrettyTable(['class', *names, 'difference', '95 %'])
    per_class = compared['per_class']
    for row in per_class[:SHOWN_CLASSES]:
        table.add_row([row['class_name'], *_numbers(row)])
    print(f'\nclasses that differ most; intervals of each by itself\n{_aligned(table)}')
    if len(per_class) > SHOWN_CLASSES:
        print(f'… and {len(per_class) - SHOWN_CLASSES} more')

    for title, rows in chosen.items():
        table = PrettyTable(['run', 'episode', 'class', 'query', *names, 'difference'])
        for row in rows:
            texts = [f'{row["a"]:.1f}', f'{row["b"]:.1f}', f'{row["difference"]:+.1f}']
            place = row['run'], row['index'], row['class_name']
            table.add_row([*place, file_name(row['query']), *texts])
        print(f'\nlargest {title}, IoU of an episode')
        print(_aligned(table) if rows else 'none')


def _aligned(table: PrettyTable) -> PrettyTable:
    """Words to the left, numbers to the right."""
    table.align = 'r'
    for name in ('', 'class', 'query'):
        if name in table.field_names:
            table.align[name] = 'l'
    return table


def _numbers(row: dict) -> list[str]:
    """Two scores, their difference and its interval, which a rare class may lack."""
    interval = row['interval']
    between = f'{interval[0]:+.2f} to {interval[1]:+.2f}' if interval else 'n/a'
    return [f'{row["a"]:.2f}', f'{row["b"]:.2f}', f'{row["difference"]:+.2f}', between]


def _p(p: float, resamples: int) -> str:
    """The least p that so many resamples can give is a bound."""
    least = 2 / (resamples + 1)
    return f'≤ {least:.1g}' if p <= least else f'{p:.2g}'


def _report(
    compared: dict,
    chosen: dict[str, list],
    results: list[dict],
    names: tuple[str, str],
    args: argparse.Namespace,
) -> dict:
    a = results[0]
    return {
        'names': dict(zip('ab', names, strict=True)),
        'files': dict(a=args.a, b=args.b),
        'protocol': a['protocol'],
        'protocol_version': a['protocol_version'],
        'departures': dict(
            zip('ab', (report['departures'] for report in results), strict=True)
        ),
        **{name: a.get(name) for name in ('split', 'fold', 'shots', 'seeds')},
        'episodes': len(a['episodes']),
        'resamples': args.resamples,
        'seed': args.seed,
        **compared,
        **chosen,
    }


def _predictions(
    results: list[dict], names: tuple[str, str], rows: list[dict]
) -> dict[tuple, dict]:
    """(run, episode) → name → mask, of the episodes that are to be drawn."""
    wanted = {(row['run'], row['index']) for row in rows}
    masks: dict[tuple, dict] = {key: {} for key in wanted}
    for report, name in zip(results, names, strict=True):
        for record in report['episodes']:
            key = record['run'], record['index']
            if key in wanted:
                masks[key][name] = decode_prediction(record, name)
    return masks


def _draw(
    dataset: Dataset,
    chosen: dict[str, list],
    results: dict,
    predictions: dict[tuple, dict],
    folder: Path,
) -> None:
    items = {
        (r['run'], r['index']): load_recorded(dataset, r, results['num_episodes'])
        for r in results['episodes']
        if (r['run'], r['index']) in predictions
    }
    # so that the columns meet
    width = common_width(list(items.values())) if items else None
    for title, rows in chosen.items():
        panels = []
        for number, row in enumerate(rows, start=1):
            key = row['run'], row['index']
            subtitle = f'run {key[0]}, episode {key[1]}: {row["difference"]:+.1f}'
            panels.append(
                draw_compared(items[key], predictions[key], subtitle, cell_width=width)
            )
            name = panel_name(f'{title}{number}', items[key]['data_samples'])
            write_png(folder / f'{name}.png', panels[-1])
        if panels:
            write_png(folder / f'{title}.png', stack_panels(panels))
            print(f'largest {title}: {folder / title}.png')

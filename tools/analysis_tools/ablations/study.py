"""Measuring the rows of tables, trained and untrained."""

import argparse
import platform
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS

import mmssp
from ablations.evaluation import Measured, build_head, measure
from ablations.rows import Row, rows_of
from ablations.store import Store, key_of
from ablations.tables import figures, markdown, picture, write_json
from ablations.training import train, training_key, with_head
from mmssp.models import FewShotEncoderDecoder
from mmssp.runtime.checkpoints import (
    check_pretrained,
    load_weights,
    read_checkpoint,
    safe_reading,
)
from mmssp.runtime.config import load_config, set_episodes, set_protocol, set_runs
from mmssp.utils.files import atomic_path, check_folder_writable
from mmssp.utils.progress import shown_progress
from mmssp.utils.quiet import quiet


def main(args: argparse.Namespace) -> None:
    """Run the command with its options."""
    out = Path(args.out)
    check_folder_writable(out)
    init_default_scope('mmseg')
    cfg = load_config(args.config, args.cfg_options)
    set_protocol(cfg, args.protocol, False)
    set_runs(cfg, args.runs)
    set_episodes(cfg, fold=args.fold)
    set_episodes(cfg, 'test_dataloader', num_episodes=args.episodes)
    store = Store(out / 'records.json')
    cells = planned(cfg, args)
    results = []
    for group in grouped(cells):
        results += measured(cfg, group, args, store)
        report(cfg, args, in_order(cells, results))


def planned(cfg: Config, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every cell of every table: a row with its weights and shots."""
    cells = []
    for weights in args.weights:
        for table, row in rows_of(args.tables):
            for shots in [row.shots] if row.shots else args.shots:
                column = weights if row.shots else f'{weights}, {shots}-shot'
                cells.append(
                    dict(
                        table=table,
                        row=row,
                        weights=weights,
                        shots=shots,
                        column=column,
                    )
                )
    return cells


def grouped(cells: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Cells that share a model's features, and their episodes."""
    groups = defaultdict(list)
    for cell in cells:
        row: Row = cell['row']
        training = None if cell['weights'] == 'untrained' else training_head(row)
        key = key_of(training, row.model, cell['shots'])
        groups[key].append(cell)
    return list(groups.values())


def training_head(row: Row) -> dict[str, Any]:
    return row.head if row.training is None else row.training


def in_order(
    cells: list[dict[str, Any]], results: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Results as the tables have them."""
    place = {
        (cell['table'], cell['row'].name, cell['column']): i
        for i, cell in enumerate(cells)
    }
    return sorted(results, key=lambda r: place[r['table'], r['row'], r['column']])


def measured(
    cfg: Config, group: list[dict[str, Any]], args: argparse.Namespace, store: Store
) -> list[dict[str, Any]]:
    """Figures of cells that share a model and episodes."""
    first: Row = group[0]['row']
    head = training_head(first)
    trained = group[0]['weights'] == 'trained'
    base = with_head(cfg, head, first.model)
    set_episodes(base, 'test_dataloader', shots=group[0]['shots'])
    checkpoint = train(base, Path(args.out) / 'training') if trained else None
    made_by = training_key(base) if trained else None
    dataset = DATASETS.build(base.test_dataloader.dataset)
    model = build_model(base, checkpoint, args.device)
    rows = []
    for cell in group:
        config = with_head(cfg, cell['row'].head, first.model).model
        described = (config.to_dict(), base.test_dataloader.dataset.to_dict())
        key = key_of(described, made_by, cell['row'].marks, mmssp.__version__)
        rows.append(
            Measured(cell['row'], key, build_head(model, config.decode_head.to_dict()))
        )
    print(
        f'{group[0]["column"]}: {len(rows)} rows, {len(dataset)} episodes', flush=True
    )
    with shown_progress('episodes', len(dataset)) as told:
        for i in measure(model, dataset, rows, store):
            told(i + 1)
    return [
        dict(
            table=cell['table'],
            row=cell['row'].name,
            column=cell['column'],
            weights=cell['weights'],
            shots=cell['shots'],
            checkpoint=checkpoint and str(checkpoint),
            head=cell['row'].head,
            departures=dataset.departures,
            **figures(store.of(each.key), dataset.class_ids),
        )
        for cell, each in zip(group, rows, strict=True)
    ]


def build_model(
    cfg: Config, checkpoint: Path | None, device: str | None
) -> FewShotEncoderDecoder:
    """The model of a config, trained or as it begins, in eval mode."""
    if checkpoint is None:
        check_pretrained(cfg)
    with safe_reading():
        model: FewShotEncoderDecoder = MODELS.build(cfg.model)
        if checkpoint is None:
            with quiet():
                model.init_weights()
        else:
            load_weights(model, read_checkpoint(checkpoint), checkpoint)
    wanted = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    return model.to(wanted).eval()


def report(
    cfg: Config, args: argparse.Namespace, results: list[dict[str, Any]]
) -> None:
    """Write what there is so far, and print it."""
    out = Path(args.out)
    machine = (
        f'{torch.get_num_threads()} threads of {processor()}'
        if not torch.cuda.is_available() or args.device == 'cpu'
        else torch.cuda.get_device_name()
    )
    about = dict(
        config=Path(cfg.filename).name,
        protocol=f'{results[0]["episodes"]} episodes a cell',
        versions=(
            f'mmssp {mmssp.__version__}, torch {torch.__version__}, Python '
            f'{platform.python_version()}'
        ),
        machine=machine,
    )
    notes = [
        '; '.join(about.values()),
        'mIoU in percent, ± over runs, in brackets the difference from the first row; ms '
        'of matching a query, median; KiB of a state',
        *dict.fromkeys(f'departs from the protocol: {t}' for r in results
                       for t in r['departures']),
    ]  # fmt: skip
    text = markdown(results, notes)
    with atomic_path(out / 'table.md') as path:
        path.write_text(text)
    write_json(out / 'table.json', results, about)
    picture(out / 'table.png', results)
    print(text, flush=True)


def processor() -> str:
    """The CPU by its name, where the system tells it."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(':', 1)[1].strip() for line in lines if 'model name' in line]
    return names[0] if names else platform.machine()

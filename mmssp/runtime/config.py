"""Changing a config by what experiments differ in: fold, shots, runs, precision."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict

from ..protocols import OPTIONS, get_protocol
from ..utils.checks import whole_number
from ..utils.command import explanation
from ..utils.shared_memory import small_shared_memory
from .own_configs import MARK, own_bases, own_config

DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
HOME = re.compile(r'~[\w.-]*(/|$)')
"""How a path in somebody's home begins."""
AS_MODULE = (
    ". mmssp's configs are no modules: _base_ = 'mmssp::NAME.py' takes one, and docs/"
    'install.md shows how read_base() does'
)
"""What to say of ``from mmssp.configs.NAME import *``."""
SETTINGS = (
    *DATALOADERS,
    *('model', 'default_hooks', 'visualizer', 'optim_wrapper', 'env_cfg'),
    *('train_cfg', 'val_cfg', 'test_cfg'),
)


def load_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """Read a config file and override settings of it.

    Args:
        path: A ``.py``, ``.json`` or ``.yaml`` config, or ``mmssp::NAME.py`` for one that
            comes with mmssp, which may also be a base of others.
        options: Dotted names and their values.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or what should be settings is something else.
    """
    if path.startswith(MARK):
        path = str(own_config(path.removeprefix(MARK)))
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {path} not found')
    try:
        with own_bases():
            cfg = Config.fromfile(path)
    # a config is code, which may raise anything
    except Exception as error:
        raise ValueError(
            f'config {path} cannot be read ({type(error).__name__}: {_line(error)})'
            + (AS_MODULE if 'from mmssp.configs' in str(error) else '')
        ) from error
    override(cfg, options)
    return cfg


def override(cfg: Config, options: dict[str, Any] | None) -> None:
    """Override settings, and check that those which contain others still do.

    Args:
        cfg: Changed in place.
        options: Dotted names and their values.

    Raises:
        ValueError: If a name leads nowhere, or a value is of another kind.
    """
    try:
        cfg.merge_from_dict(options or {})
    except (TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(
            f'{", ".join(map(str, options or {}))} cannot be set in {cfg.filename}: '
            f'{_line(error)}'
        ) from error
    _expand_homes(cfg._cfg_dict)
    for name in SETTINGS:
        value = cfg.get(name)
        if value is not None and not isinstance(value, dict):
            raise ValueError(
                f'{cfg.filename}: {name} is {str(value)[:80]!r}; expected settings '
                '(a dict)'
            )
    for name in DATALOADERS:
        dataset = (cfg.get(name) or {}).get('dataset')
        if dataset is not None and not isinstance(dataset, dict):
            raise ValueError(
                f'{cfg.filename}: {name}.dataset is {str(dataset)[:80]!r}; expected '
                'settings (a dict)'
            )


def _expand_homes(part: Any) -> Any:
    """Home directories in the place of ``~`` at the beginning of texts, in place."""
    if isinstance(part, str):
        return os.path.expanduser(part) if HOME.match(part) else part
    if isinstance(part, ConfigDict):
        # as they stand: what is imported lazily stays so
        for key, value in dict.items(part):
            dict.__setitem__(part, key, _expand_homes(value))
    elif isinstance(part, list):
        part[:] = map(_expand_homes, part)
    elif type(part) is tuple:
        return tuple(map(_expand_homes, part))
    return part


def tell_of_small_shared_memory(cfg: Config, *dataloaders: str) -> None:
    """Warn, in the first process, where batches of workers may not find room.

    Args:
        cfg: A full config.
        *dataloaders: Names of those that will be used.
    """
    given = [(cfg.get(name) or {}).get('num_workers') for name in dataloaders]
    # anything else is refused when the data loader is built
    text = small_shared_memory(sum(n for n in given if isinstance(n, int) and n > 0))
    if text is not None and os.environ.get('RANK', '0') == '0':
        print(f'warning: {text}', file=sys.stderr)


@contextmanager
def built_from(cfg: Config) -> Iterator[None]:
    """A sentence for what mmengine's runner raises for a config that lacks something.

    Args:
        cfg: What is built inside.

    Raises:
        ValueError: In the place of errors that nothing explains.
    """
    try:
        yield
    except (TypeError, KeyError, AttributeError, AssertionError, ValueError) as error:
        if explanation(error):
            raise
        raise ValueError(
            f'{cfg.filename} cannot be run ({type(error).__name__}: {_line(error)}): '
            'something is missing there, or of another kind; MMSSP_TRACEBACK=1 shows where'
        ) from error


def _line(error: Exception) -> str:
    """The first line of what an error says."""
    return str(error).strip().partition('\n')[0][:300]


def type_name(config: Mapping[str, Any]) -> str:
    """The name in ``type``: without a scope, or that of a class (Python-style configs).

    Args:
        config: Of any component; without a type the name is empty.
    """
    kind = config.get('type', '')
    if isinstance(kind, str):
        return kind.rpartition('.')[2]
    return str(getattr(kind, '__name__', kind))


def episodic_datasets(cfg: Config, *dataloaders: str) -> Iterator[ConfigDict]:
    """The EpisodicDataset configs inside dataloaders, wrapped ones included.

    Args:
        cfg: A full config.
        *dataloaders: Names of dataloaders; all three by default.

    Yields:
        Each config, to be changed in place.
    """
    for name in dataloaders or DATALOADERS:
        dataset = (cfg.get(name) or {}).get('dataset')
        while isinstance(dataset, dict):
            if type_name(dataset) == 'EpisodicDataset':
                yield dataset
            dataset = dataset.get('dataset')


def few_shot_metric(cfg: Config) -> ConfigDict:
    """The FewShotIoUMetric of a config's test, alone or among other metrics.

    Raises:
        ValueError: If there is none.
    """
    evaluator = cfg.get('test_evaluator') or []
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]
    for metric in metrics:
        if isinstance(metric, dict) and type_name(metric) == 'FewShotIoUMetric':
            return metric
    raise ValueError(f'{cfg.filename}: no FewShotIoUMetric in test_evaluator')


def set_episodes(cfg: Config, *dataloaders: str, **options: Any) -> None:
    """Set options of every EpisodicDataset in a config; None leaves one as it is.

    Args:
        cfg: A full config, changed in place.
        *dataloaders: Names of dataloaders; all three by default.
        **options: Arguments of EpisodicDataset, e.g. ``fold=1, shots=5``.

    Raises:
        ValueError: If there is no EpisodicDataset to set them on.
    """
    options = {name: value for name, value in options.items() if value is not None}
    datasets = list(episodic_datasets(cfg, *dataloaders))
    if options and not datasets:
        raise ValueError(
            f'{cfg.filename}: no EpisodicDataset in {dataloaders or DATALOADERS}, so '
            f'{", ".join(options)} cannot be set'
        )
    for dataset in datasets:
        dataset.update(options)
        if options.get('fold') is not None:
            # a fold takes the place of classes by name
            dataset.pop('base_classes', None)
            dataset.pop('novel_classes', None)


def set_protocol(cfg: Config, protocol: str | None, original_size: bool) -> None:
    """Let a protocol decide all about a config's test that it has a say in.

    Args:
        cfg: Changed in place.
        protocol: Name, or None for the config as it is.
        original_size: Score at the original size, whatever the protocol.

    Raises:
        ValueError: If the protocol is unknown, or there is no EpisodicDataset to test.
    """
    if protocol is not None:
        get_protocol(protocol)  # known, or an error
        set_episodes(cfg, 'test_dataloader', protocol=protocol)
        for dataset in episodic_datasets(cfg, 'test_dataloader'):
            for name in (*OPTIONS, 'original_size'):
                dataset.pop(name, None)
    if original_size:
        set_episodes(cfg, 'test_dataloader', original_size=True)


def set_runs(cfg: Config, runs: int | None) -> None:
    """Number of runs of a config's test: the first of its seeds, then further ones.

    Args:
        cfg: Changed in place.
        runs: None leaves all as it is.

    Raises:
        ValueError: If it is less than 1, or there is no EpisodicDataset to test.
    """
    if runs is None:
        return
    if runs < 1:
        raise ValueError(f'--runs {runs}: expected 1 or more')
    known = []
    for dataset in episodic_datasets(cfg, 'test_dataloader'):
        seeds = dataset.get('seed')
        if seeds is None:
            seeds = get_protocol(dataset.get('protocol', 'ssp')).seeds
        known = [seeds] if np.ndim(seeds) == 0 else list(seeds)
        for seed in known:
            whole_number('seed', seed, 0)
    further = range(max(known, default=-1) + 1, max(known, default=-1) + 1 + runs)
    set_episodes(cfg, 'test_dataloader', seed=[*known, *further][:runs])


def set_amp(cfg: Config) -> None:
    """Put the optimizer into mmengine's wrapper for mixed precision.

    Raises:
        ValueError: Without a GPU.
    """
    if not torch.cuda.is_available():
        raise ValueError('--amp: mixed precision needs a GPU, and none was found')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def show_episodes(cfg: Config, folder: str | None, interval: int) -> None:
    """Draw every ``interval``-th episode of a test into a folder, or none at all.

    Args:
        cfg: Changed in place.
        folder: None draws nothing, whatever the config says of validation.
        interval: 1 draws every episode.

    Raises:
        ValueError: If the config has no visualization hook to draw with.
    """
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if folder is None:
        if hook is not None:
            hook.draw = False
        return
    if hook is None or cfg.get('visualizer') is None:
        raise ValueError(
            f'--show-dir: {cfg.filename} has no default_hooks.visualization, or no '
            "visualizer; add dict(type='FewShotVisualizationHook')"
        )
    hook.update(draw=True, interval=interval)
    cfg.visualizer.save_dir = folder

"""Changing a config by what experiments differ in: fold, shots, runs."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def episodic_datasets(cfg: Config, *dataloaders: str) -> Iterator[dict]:
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
            if dataset.get('type') == 'EpisodicDataset':
                yield dataset
            dataset = dataset.get('dataset')


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

"""Checkpoints: is the initial one there, and does the one to test fit the model?"""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..evaluation.protocols import get_protocol


def check_pretrained(cfg: Config) -> None:
    """Fail early where a config names a local file of initial weights that is missing.

    Args:
        cfg: A full config.

    Raises:
        FileNotFoundError: Naming the file and the way to get it.
    """
    init = (cfg.model.get('backbone') or {}).get('init_cfg') or {}
    path = init.get('checkpoint') if isinstance(init, dict) else None
    if path is None or '://' in path or Path(path).exists():
        return
    published = Path(path).name.replace('_mmssp', '')
    raise FileNotFoundError(
        f'initial weights {path} not found: convert the file published with the method, '
        f'python tools/model_converters/ssp_to_mmssp.py {published} {path}, or train '
        'from scratch with --cfg-options model.backbone.init_cfg=None'
    )


def load_for_test(runner: Runner, checkpoint: str) -> dict[str, Any]:
    """Load trained weights into a runner's model, all of them and nothing else.

    Args:
        runner: Its model is changed in place.
        checkpoint: A file, a URL mmengine can open, or ``'none'``: the model as its
            config builds it, initial weights included.

    Returns:
        What the checkpoint records of the data it was trained on: the metainfo of an
        :class:`EpisodicDataset`, or an empty dict.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a checkpoint, or belongs to another model.
    """
    if checkpoint == 'none':
        check_pretrained(runner.cfg)
        model = getattr(runner.model, 'module', runner.model)
        model.init_weights()
        return {}
    if '://' not in checkpoint and not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f'checkpoint {checkpoint} not found; "none" tests the model as its config '
            'builds it'
        )
    try:
        loaded = runner.load_checkpoint(checkpoint, strict=True)
    except (RuntimeError, KeyError, EOFError, OSError, UnpicklingError) as error:
        raise ValueError(
            f'{checkpoint} does not fit the model of {runner.cfg.filename}: {error}'
        ) from error
    meta = loaded.get('meta')
    trained_on = meta.get('dataset_meta') if isinstance(meta, dict) else None
    return trained_on if isinstance(trained_on, dict) else {}


def training_departures(
    trained_on: dict[str, Any], tested_on: dict[str, Any]
) -> list[str]:
    """What a checkpoint's training has against a few-shot test of it, in words.

    Args:
        trained_on: From :func:`load_for_test`.
        tested_on: Metainfo of the tested :class:`EpisodicDataset`.

    Returns:
        A sentence for each: tested classes that were trained on, and training images
        with novel classes where the protocol removes them.
    """
    if trained_on.get('split') != 'base':
        return []
    found = []
    tested = list(tested_on.get('class_names', {}).values())
    both = sorted(set(tested) & set(trained_on.get('class_names', {}).values()))
    if both:
        found.append(
            f'trained on {len(both)} of the {len(tested)} tested classes '
            f'({", ".join(both)}): they are not novel; test the fold, and the order of '
            'folds, that the checkpoint was trained on'
        )
    protocol = get_protocol(tested_on.get('protocol', 'ssp'))
    if protocol.remove_novel_images and not trained_on.get('remove_novel_images'):
        found.append(
            'trained on images with novel classes (train_dataloader.dataset.'
            'remove_novel_images=True leaves them out)'
        )
    return found

"""Checkpoints: is the initial one there, and does the one to test fit the model?"""

from pathlib import Path
from pickle import UnpicklingError

from mmengine.config import Config
from mmengine.runner import Runner


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


def load_for_test(runner: Runner, checkpoint: str) -> None:
    """Load trained weights into a runner's model, all of them and nothing else.

    Args:
        runner: Its model is changed in place.
        checkpoint: A file, a URL mmengine can open, or ``'none'``: the model as its
            config builds it, initial weights included.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not a checkpoint, or belongs to another model.
    """
    if checkpoint == 'none':
        check_pretrained(runner.cfg)
        model = getattr(runner.model, 'module', runner.model)
        model.init_weights()
        return
    if '://' not in checkpoint and not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f'checkpoint {checkpoint} not found; "none" tests the model as its config '
            'builds it'
        )
    try:
        runner.load_checkpoint(checkpoint, strict=True)
    except (RuntimeError, KeyError, EOFError, OSError, UnpicklingError) as error:
        raise ValueError(
            f'{checkpoint} does not fit the model of {runner.cfg.filename}: {error}'
        ) from error

"""Where MMEngine sends scores and pictures to, and what has to be installed for it."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from mmengine.config import Config

from .config import type_name

PACKAGES = {
    'TensorboardVisBackend': ('tensorboard',),
    'WandbVisBackend': ('wandb',),
    'MLflowVisBackend': ('mlflow',),
    'ClearMLVisBackend': ('clearml',),
    'NeptuneVisBackend': ('neptune',),
    'DVCLiveVisBackend': ('dvclive', 'pygit2'),
    'AimVisBackend': ('aim',),
}
"""What MMEngine's backends import when they are used; pip knows it by the same name."""


def check_vis_backends(cfg: Config) -> None:
    """Fail now rather than with the first score, in the middle of a log.

    Args:
        cfg: A full config.

    Raises:
        ImportError: If a backend of the visualizer needs what is not installed; the
            message has the command that installs it.
    """
    for name in _backends(cfg.get('visualizer')):
        missing = [
            package for package in PACKAGES.get(name, ()) if not _is_there(package)
        ]
        if missing:
            raise ImportError(
                f'visualizer.vis_backends: {name} needs {" and ".join(missing)}, not '
                f'installed here: pip install {" ".join(missing)}, or leave it out '
                "(LocalVisBackend's files need nothing)"
            )


def _backends(visualizer: Any) -> Iterator[str]:
    """Names of the backends in a visualizer's config, however they are written."""
    given = visualizer.get('vis_backends') if isinstance(visualizer, Mapping) else None
    for backend in [given] if isinstance(given, Mapping) else given or ():
        if isinstance(backend, Mapping):
            yield type_name(backend)


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # imported already, and without a spec
        return True

"""The configs that come with mmssp, wherever it is installed, and by ``mmssp::NAME``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs')
"""Of a wheel or an editable install, and of a checkout."""
MARK = 'mmssp::'


def own_config(name: str) -> Path:
    """A config of mmssp's by its path in the folder of configs.

    Args:
        name: Such as ``'ssp_r50_pascal5i_1shot.py'`` or ``'_base_/models/ssp_r50.py'``.

    Raises:
        FileNotFoundError: If there is none.
    """
    for folder in FOLDERS:
        if (folder / name).is_file():
            return folder / name
    names = sorted({path.name for folder in FOLDERS for path in folder.glob('*.py')})
    close = get_close_matches(name, names, n=3, cutoff=0.1)
    raise FileNotFoundError(
        f'mmssp has no config {name}; the closest of its {len(names)} are '
        f'{", ".join(close)}'
    )


@contextmanager
def own_bases() -> Iterator[None]:
    """Let configs name mmssp's as bases, ``_base_ = 'mmssp::NAME.py'``, inside.

    MMEngine does that for packages that it has a list of. The scope of what is found
    stays as it is, since mmssp registers its parts with MMSegmentation.
    """
    usual = Config._get_cfg_path

    def found(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(MARK):
            return os.fspath(own_config(cfg_path.removeprefix(MARK))), None
        path, scope = usual(cfg_path, filename)
        return path, scope

    Config._get_cfg_path = staticmethod(found)
    try:
        yield
    finally:
        Config._get_cfg_path = staticmethod(usual)

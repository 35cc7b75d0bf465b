"""Folders of Hugging Face models: on this machine, or fetched once, and never a pickle."""

import json
import os
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

HUB_NAME = re.compile(r'[\w-][\w.-]*/[\w.-]+')
WANTED = ('config.json', '*.safetensors', '*.safetensors.index.json')
PICKLES = ('*.bin', '*.pth', '*.pt', '*.ckpt')
GATED = {
    'facebook/dinov3': 'the DINOv3 License',
}
"""How the names of models begin whose licence has to be accepted first, and which."""


def needed(package: str, by: str, extra: str) -> ModuleType:
    """Import a package that an extra of mmssp brings.

    Args:
        package: To import.
        by: What needs it, for the message.
        extra: Of mmssp.

    Raises:
        ImportError: It cannot be imported.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ImportError(
            f'{by} needs the package {package}, which cannot be imported ({error}); '
            f'run: pip install "mmssp[{extra}]"'
        ) from error


def read_config(weights: str, revision: str | None) -> dict[str, Any]:
    """What ``config.json`` says of a model.

    Args:
        weights: A folder, or a name of the hub.
        revision: Of the hub's model: a commit, branch or tag; None for its newest.

    Raises:
        FileNotFoundError: There is none, or the hub cannot be reached.
        ValueError: It is not a JSON object with ``model_type``.
    """
    path = model_folder(weights, revision, needs_weights=False) / 'config.json'
    try:
        config = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is no JSON ({error}); download it again') from error
    if not isinstance(config, dict) or not isinstance(config.get('model_type'), str):
        raise ValueError(
            f'{path} names no model_type; expected a model of transformers'
        )
    return config


def check_at_hand(backbone: Any) -> None:
    """Fail early where the weights of an ``HFBackbone`` are missing.

    Args:
        backbone: Config of any backbone.

    Raises:
        FileNotFoundError: See :func:`model_folder`.
        ValueError: Likewise.
    """
    if isinstance(backbone, Mapping) and backbone.get('type') == 'HFBackbone':
        weights = backbone.get('weights')
        if weights is not None:
            model_folder(weights, backbone.get('revision'))


def model_folder(
    weights: str | os.PathLike[str], revision: str | None, needs_weights: bool = True
) -> Path:
    """The folder of a model, on this machine.

    Args:
        weights: A folder, or a name of the hub such as ``'facebook/dinov2-small'``, which
            is looked for in the hub's cache first, and else downloaded into it.
        revision: Of the hub's model: a commit, branch or tag; None for its newest. Counts
            for nothing for a folder.
        needs_weights: Whether ``config.json`` alone is not enough.

    Raises:
        FileNotFoundError: There is no such folder and no such model in the cache, and the
            hub cannot be reached or does not give it; or a file is missing in it.
        ValueError: It holds weights as a pickle alone, which could run code.
    """
    name = os.fspath(weights)
    folder = Path(name).expanduser()
    if folder.is_dir():
        check_folder(folder, needs_weights)
        return folder
    if not HUB_NAME.fullmatch(name):
        raise FileNotFoundError(
            f'weights={name!r}: found no such folder; expected one with config.json and '
            "model.safetensors, or a name of the hub such as 'facebook/dinov2-small'"
        )
    hub = needed('huggingface_hub', 'HFBackbone', 'transformers')
    patterns = list(WANTED) if needs_weights else [WANTED[0]]
    try:
        cached = Path(
            hub.snapshot_download(
                name, revision=revision, allow_patterns=patterns, local_files_only=True
            )
        )
        check_folder(cached, needs_weights)
        return cached
    except FileNotFoundError:
        pass  # not there, or not all of it: the hub is asked
    try:
        found = Path(
            hub.snapshot_download(name, revision=revision, allow_patterns=patterns)
        )
    # no connection, no access and no such model all are of it
    except (OSError, ValueError) as error:
        raise FileNotFoundError(_advice(name, revision, error)) from error
    check_folder(found, needs_weights)
    return found


def check_folder(folder: Path, needs_weights: bool = True) -> None:
    """Refuse a folder without ``config.json`` or without safetensors.

    Args:
        folder: Of a model.
        needs_weights: Whether ``config.json`` alone is not enough.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: Its weights are a pickle.
    """
    if not (folder / 'config.json').is_file():
        raise FileNotFoundError(
            f'{folder} holds no config.json; expected what save_pretrained() of '
            'transformers writes: config.json and model.safetensors'
        )
    if not needs_weights or any(folder.glob('*.safetensors')):
        return
    pickles = sorted(path.name for kind in PICKLES for path in folder.glob(kind))
    if pickles:
        raise ValueError(
            f'{folder} holds {pickles[0]} but no model.safetensors: a pickle can run '
            'code when it is read, so it is refused; take a revision that has '
            'model.safetensors, or have transformers write one by save_pretrained() '
            'where you trust the file'
        )
    raise FileNotFoundError(
        f'{folder} holds no model.safetensors; download it into that folder, beside '
        'config.json'
    )


def _advice(name: str, revision: str | None, error: Exception) -> str:
    """What to do where the hub does not give a model."""
    reason = str(error).strip().partition('\n')[0][:200]
    at = f' --revision {revision}' if revision else ''
    licence = next(
        (text for start, text in GATED.items() if name.startswith(start)), ''
    )
    gate = (
        f' It is gated: log in there and accept {licence} first (then `hf auth login`).'
        if licence
        else ''
    )
    return (
        f'weights={name!r} are not on this machine and cannot be fetched '
        f'({type(error).__name__}: {reason}). Get config.json and model.safetensors of '
        f'https://huggingface.co/{name} where there is a connection: `hf download '
        f'{name}{at} --include config.json "*.safetensors" --local-dir FOLDER`, copy '
        f'FOLDER here and name it as weights (model.backbone.weights=FOLDER); or copy '
        f'{_cache_folder(name)} to the same place here, and the name works.{gate}'
    )


def _cache_folder(name: str) -> str:
    return f'$HF_HOME/hub/models--{name.replace("/", "--")}'

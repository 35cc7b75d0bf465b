"""Weights of a Hugging Face model, put into a module that stands: safetensors alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import nn

from .hub_files import model_folder, needed

NAMED = 3
"""Of the tensors that are wrong."""
MAY_BE_NEW = ('hidden_states_norms', 'fpn')
"""How the names begin of what a backbone adds to the model in the file."""
UNSEEN = ('mask_token',)
"""In the names of what no image passes."""
BASE = '.base_layer'
"""Inserted by peft into the names of layers that it adds matrices to."""


def load_hf_weights(
    model: nn.Module,
    weights: str,
    revision: str | None,
    renamed: Mapping[str, str],
) -> None:
    """Put the weights of a folder or of the hub into a model, in place.

    Args:
        model: Of transformers; LoRA may have been put in by peft.
        weights: See :func:`model_folder`.
        revision: Likewise.
        renamed: Patterns of names in the files, and what they are in the model.

    Raises:
        FileNotFoundError: They are not there.
        ValueError: They are not safetensors, or not of this model.
    """
    folder = model_folder(weights, revision)
    transformers = needed('transformers', 'HFBackbone', 'transformers')
    kind: Any = type(model)
    where = f'{weights} ({folder})' if str(folder) != weights else weights
    with silent(transformers):
        try:
            loaded, info = kind.from_pretrained(
                folder,
                config=model.config,
                use_safetensors=True,
                local_files_only=True,
                dtype=torch.float32,
                key_mapping=dict(renamed) or None,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        # safetensors raises an error of its own for a damaged file
        except Exception as error:
            raise ValueError(
                f'{where} cannot be read as {kind.__name__} ({type(error).__name__}: '
                f'{str(error).strip().partition(chr(10))[0][:200]}); download it again, '
                'or name a folder of this kind of model'
            ) from error
    wrong = sorted(own[0] for own in info['mismatched_keys'])
    if wrong:
        raise ValueError(
            f'{where} has other shapes in {len(wrong)} tensors '
            f'({", ".join(wrong[:NAMED])}); expected those of config='
            f'{_described(model.config)}: name the weights of this model, or the config '
            'of these weights'
        )
    new = [n for n in info['missing_keys'] if n.startswith(MAY_BE_NEW)]
    missing = sorted(
        name
        for name in set(info['missing_keys']) - set(new)
        if not any(part in name for part in UNSEEN)
    )
    if missing:
        raise ValueError(
            f'{where} lacks {len(missing)} tensors of {kind.__name__} '
            f'({", ".join(missing[:NAMED])}); expected a file of this kind of model'
        )
    broken = [n for n, v in loaded.state_dict().items() if not v.isfinite().all()]
    if broken:
        raise ValueError(
            f'{where} holds NaN or infinite weights in {len(broken)} tensors '
            f'({", ".join(broken[:NAMED])}): the file is damaged; download it again'
        )
    own = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name, value in loaded.state_dict().items():
            own[name if name in own else _adapted_name(name)].copy_(value)
    text = f'weights of {where}'
    commit = _commit(folder)
    if commit and commit != revision:
        text += f'; pin them by revision={commit!r}'
    if new:
        text += f'; as built, since the file has none: {", ".join(sorted(new))}'
    print_log(text, 'current')


@contextmanager
def silent(transformers: Any) -> Iterator[None]:
    """Without the reports and bars of transformers: what matters is said here."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _adapted_name(name: str) -> str:
    """Of a tensor of a layer to which peft adds matrices."""
    layer, _, own = name.rpartition('.')
    return f'{layer}{BASE}.{own}'


def _commit(folder: Path) -> str | None:
    """Of a folder in the hub's cache."""
    return folder.name if folder.parent.name == 'snapshots' else None


def _described(config: Any) -> str:
    sizes = ('hidden_size', 'hidden_sizes', 'embed_dim', 'num_hidden_layers', 'depths')
    own = {name: getattr(config, name) for name in sizes if hasattr(config, name)}
    return f'{config.model_type} of {own}'

"""Checkpoints: read without running anything in them, and fitted to their model."""

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmengine.utils import is_method_overridden
from torch import Tensor, nn

from ..utils.archives import check_archive
from .initial_weights import tell_of_random_weights
from .safe_globals import mmengine_allowed, restricted_pickle

NAMED = 3
"""Of the tensors that are wrong."""
REFUSED = re.compile(r'GLOBAL (\S+)|asks for (\S+)')
"""In the words of PyTorch, and of :mod:`mmssp.runtime.safe_globals`."""

SELECTED_ON = 'selected_on'
"""In a checkpoint's ``meta``: the split and classes by whose scores it was selected."""

MapLocation = str | torch.device | Callable[..., Any] | None


class UnreadableCheckpoint(ValueError):
    """A checkpoint's file is incomplete or damaged."""


def read_checkpoint(
    path: str | os.PathLike[str], map_location: MapLocation = 'cpu', mmap: bool = False
) -> dict[str, Any]:
    """Read what ``torch.save`` or mmengine saved; nothing in the file is run.

    Besides tensors and plain containers, a file may hold what mmengine's checkpoints do,
    see :mod:`mmssp.runtime.safe_globals`. Checksums are compared, so that flipped bits do
    not pass for weights (PyTorch's format from before 1.6 has none).

    Args:
        path: The file.
        map_location: As for :func:`torch.load`.
        mmap: Leave tensors on the disk until they are used; not in PyTorch's old format.

    Returns:
        Its dictionary.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableCheckpoint: It is truncated, damaged or no checkpoint, or claims to hold
            more than its bytes.
        ValueError: It holds something that could run code, or no dictionary.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} not found')
    try:
        if zipfile.is_zipfile(path):
            check_archive(path, path.stat().st_size)
        loaded = _load(path, map_location, mmap)
    # damaged bytes make PyTorch raise nearly anything
    except Exception as error:
        raise _refusal(path, error) from error
    if not isinstance(loaded, dict):
        raise ValueError(
            f'{path} holds a {type(loaded).__name__}; expected a checkpoint: a '
            'dictionary of tensors by name, or with one under "state_dict"'
        )
    return loaded


def _load(path: Path, map_location: MapLocation, mmap: bool) -> Any:
    with mmengine_allowed() as allowed:
        if allowed:
            return torch.load(path, map_location, weights_only=True, mmap=mmap)
    return torch.load(
        path,
        map_location=map_location,
        weights_only=False,
        pickle_module=restricted_pickle(),
    )


def _refusal(path: Path, error: Exception) -> ValueError:
    refused = REFUSED.search(str(error))
    if refused:
        return ValueError(
            f'{path} holds {refused[1] or refused[2]} besides tensors, which could run '
            'code when loaded, so it is refused; expected a checkpoint of tensors and of '
            'what mmengine logs. If you trust it, save its state_dict alone'
        )
    reason = str(error).strip().partition('\n')[0][:200]
    return UnreadableCheckpoint(
        f'{path} is not a whole checkpoint ({type(error).__name__}: {reason}); copy or '
        'download it again, or name the one before'
    )


def state_dict_of(
    loaded: Mapping[str, Any], path: str | os.PathLike[str]
) -> Mapping[str, Tensor]:
    """The weights in a checkpoint.

    Args:
        loaded: From :func:`read_checkpoint`.
        path: For messages.

    Returns:
        What lies under ``state_dict``, or all of it; finite dense tensors by name.

    Raises:
        ValueError: It is not so.
    """
    state = loaded.get('state_dict', loaded)
    if not isinstance(state, Mapping) or not state:
        raise ValueError(
            f'{path} holds no weights ({type(state).__name__}); expected tensors by name'
        )
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f'{path} holds a {type(value).__name__} under {str(name)[:80]!r}; '
                'expected tensors by name, bare or under "state_dict"'
            )
        if value.layout != torch.strided or value.is_quantized:
            raise ValueError(
                f'{path} holds a sparse or quantized tensor under {name[:80]!r}; '
                'expected dense ones'
            )
    broken = [name for name, value in state.items() if not _is_finite(value)]
    if broken:
        raise ValueError(
            f'{path} holds NaN or infinite weights in {len(broken)} of {len(state)} '
            f'tensors ({", ".join(broken[:NAMED])}): its training had diverged, or the '
            'file is damaged; name an earlier checkpoint'
        )
    return state


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


@contextmanager
def safe_reading() -> Iterator[None]:
    """Have mmengine read files and ``http(s)`` URLs by :func:`read_checkpoint`, inside.

    For resumed training, ``load_from`` and initial weights (``init_cfg``), which mmengine
    reads itself. mmssp's commands and its inferencer do all of their work inside; a
    program of one's own that trains by ``Runner`` may. Outside, and after it, mmengine's
    readers are those that they were: other plugins read their own checkpoints.
    """
    schemes = CheckpointLoader._schemes
    own = {'': read_checkpoint, 'http://': load_from_http, 'https://': load_from_http}
    before = {prefix: schemes[prefix] for prefix in own}
    schemes.update(own)
    try:
        yield
    finally:
        schemes.update(before)


def load_from_http(filename: str, map_location: MapLocation = None) -> dict[str, Any]:
    """Download into ``torch.hub``'s folder, unless it is there, and read it as a file.

    Args:
        filename: The URL.
        map_location: As for :func:`torch.load`.

    Raises:
        ValueError: See :func:`read_checkpoint`.
        OSError: It cannot be downloaded.
    """
    # the whole URL counts: what differs after a question mark may be another file
    digest = hashlib.sha256(filename.encode()).hexdigest()[:16]
    name = re.sub(r'[^\w.-]', '_', filename.split('?')[0].rpartition('/')[2])[-100:]
    path = Path(torch.hub.get_dir(), 'checkpoints', 'mmssp', f'{digest}_{name}')
    # once on each machine
    if int(os.environ.get('LOCAL_RANK', 0)) == 0 and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:  # whole or not at all
            torch.hub.download_url_to_file(filename, str(path), progress=False)
        except OSError as error:
            raise OSError(
                f'{filename} cannot be downloaded ({error}); download it otherwise, and '
                'name the file'
            ) from error
    dist.barrier()
    return read_checkpoint(path, map_location)


def check_pretrained(cfg: Config) -> None:
    """Fail early where a config names a local file of initial weights that is missing.

    Args:
        cfg: A full config.

    Raises:
        FileNotFoundError: Naming the file and the way to get it.
    """
    backbone = (cfg.get('model') or {}).get('backbone')
    init = (backbone.get('init_cfg') if isinstance(backbone, dict) else None) or {}
    path = init.get('checkpoint') if isinstance(init, dict) else None
    if not isinstance(path, str) or '://' in path or Path(path).exists():
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
        :class:`EpisodicDataset`, and as ``selected_on`` that of the data it was selected
        by; or an empty dict.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is damaged or no checkpoint, holds code or weights that are not
            finite, or belongs to another model.
    """
    if checkpoint == 'none':
        check_pretrained(runner.cfg)
        tell_of_random_weights(runner.cfg)
        model = getattr(runner.model, 'module', runner.model)
        with safe_reading():
            model.init_weights()
        return {}
    scheme = checkpoint.partition('://')[0] if '://' in checkpoint else ''
    if scheme not in ('', 'http', 'https'):
        raise ValueError(
            f'checkpoint {checkpoint}: expected a file or an http(s) URL; download it '
            'and name the file'
        )
    if not scheme and not Path(checkpoint).expanduser().is_file():
        raise FileNotFoundError(
            f'checkpoint {checkpoint} not found; "none" tests the model as its config '
            'builds it'
        )
    loaded = (load_from_http if scheme else read_checkpoint)(checkpoint, 'cpu')
    state_dict_of(loaded, checkpoint)
    trained_on = _trained_on(loaded, checkpoint)
    _tell_hooks(runner, loaded)
    model = getattr(runner.model, 'module', runner.model)
    load_weights(model, loaded, checkpoint, f'the model of {runner.cfg.filename}')
    return trained_on


def _tell_hooks(runner: Runner, loaded: dict[str, Any]) -> None:
    """Let hooks see a checkpoint that is loaded before the runner runs.

    Those that get ready in ``before_run``, as mmengine's ``EMAHook`` makes its model there,
    are not yet, and will find the weights loaded.
    """
    for hook in runner.hooks:
        if not is_method_overridden('before_run', Hook, hook):
            hook.after_load_checkpoint(runner, checkpoint=loaded)


def load_weights(
    model: nn.Module,
    loaded: Mapping[str, Any],
    path: str | os.PathLike[str],
    what: str = 'the model',
) -> None:
    """Put a checkpoint's weights into a model, all of them and nothing else.

    Args:
        model: Changed in place.
        loaded: From :func:`read_checkpoint`.
        path: For messages.
        what: Word for the model in messages.

    Raises:
        ValueError: They are no finite tensors, or those of another model.
    """
    state = {
        k.removeprefix('module.'): v for k, v in state_dict_of(loaded, path).items()
    }
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f'{path} does not fit {what}: {error}') from error


def _trained_on(loaded: Mapping[str, Any], path: str) -> dict[str, Any]:
    meta = loaded.get('meta')
    if not isinstance(meta, dict):
        return {}
    found = {}
    for key, what in (('dataset_meta', 'trained on'), (SELECTED_ON, 'selected by')):
        record = meta.get(key)
        if not isinstance(record, dict):
            continue
        names = record.get('class_names', {})
        if not isinstance(names, dict) or not all(
            isinstance(n, (str, int, float)) for n in names.values()
        ):
            raise ValueError(
                f'{path}: its record of the classes it was {what} (meta.{key}.'
                f'class_names) is {str(names)[:200]}, expected names by class id; another '
                'program may have written it, or it is damaged'
            )
        own = {number: str(name) for number, name in names.items()}
        found[key] = dict(record, class_names=own) if own else record
    trained_on = dict(found.get('dataset_meta', {}))
    if SELECTED_ON in found:
        trained_on[SELECTED_ON] = found[SELECTED_ON]
    return trained_on

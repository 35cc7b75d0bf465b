"""Which checkpoint a training goes on from: the newest that is whole, and safe to read."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from .checkpoints import UnreadableCheckpoint, read_checkpoint

POINTER = 'last_checkpoint'
NEEDED = ('meta', 'state_dict', 'message_hub', 'optimizer')
SAME_EPISODES = (
    'split',
    'fold',
    'class_names',
    'shots',
    'seeds',
    'remove_novel_images',
)
_NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)\.pth')
_UNFINISHED = re.compile(
    r'\.(?:(?:iter|epoch|best)_.+|last_checkpoint)\.\w{8}(?:\.pth)?'
)


def read_training(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint that a training can go on from.

    Tensors stay on the disk until they are used.

    Args:
        path: A local file.

    Returns:
        ``meta``, ``state_dict``, ``message_hub``, ``optimizer`` and what else was saved.

    Raises:
        FileNotFoundError: If the file is missing.
        UnreadableCheckpoint: If it is incomplete, or its checksums don't fit.
        ValueError: If it asks for code to be run, or is not of a training.
    """
    found = read_checkpoint(path, mmap=True)
    missing = [name for name in NEEDED if not isinstance(found.get(name), dict)]
    if missing:
        raise ValueError(
            f'{path} has no {", ".join(missing)}, so a training cannot go on from it (a '
            'best_* file holds weights alone): resume from an iter_*.pth, or start anew '
            'from its weights with --cfg-options load_from=FILE'
        )
    return found


def find_checkpoints(work_dir: str | os.PathLike[str]) -> list[Path]:
    """Checkpoints of a training, the one to resume from first.

    That is the one that ``last_checkpoint`` names, then older ones: a work dir may also
    hold newer numbers, of an earlier training. Without that file, all by their numbers.

    Args:
        work_dir: Copied or moved folders are fine.

    Returns:
        Paths; some may be damaged, none has to exist.
    """
    folder, newest = Path(work_dir), _named_newest(Path(work_dir))
    if newest is not None:
        folder = newest.parent
    numbers = {path: _number(path) for path in folder.glob('*.pth')}
    older = [
        path
        for path, number in numbers.items()
        if number >= 0
        and (newest is None or (path != newest and number <= _number(newest)))
    ]
    older.sort(key=numbers.__getitem__, reverse=True)
    return older if newest is None else [newest, *older]


def _named_newest(folder: Path) -> Path | None:
    """What ``last_checkpoint`` names, at best in the folder where it is itself."""
    pointer = folder / POINTER
    named = Path(pointer.read_text().strip()) if pointer.is_file() else Path()
    if _number(named) < 0:
        return None
    if (folder / named.name).is_file() or not named.parent.is_dir():
        return folder / named.name
    return named


def _number(path: Path) -> int:
    """Of iterations, or epochs; -1 where the name has none."""
    match = _NUMBERED.fullmatch(path.name)
    return int(match[1]) if match else -1


def choose_checkpoint(
    work_dir: str | os.PathLike[str],
) -> tuple[Path | None, list[str]]:
    """The newest checkpoint of a work dir that can be read.

    Args:
        work_dir: Folder of a training, finished or not.

    Returns:
        Its path, None if there is no checkpoint at all; and what is wrong with those that
        were passed over.

    Raises:
        ValueError: If there are checkpoints, and none can be read; or one asks for code
            to be run.
    """
    passed_over: list[str] = []
    for path in find_checkpoints(work_dir):
        try:
            read_training(path)
        except (UnreadableCheckpoint, FileNotFoundError) as error:
            passed_over.append(str(error))
        else:
            return path, passed_over
    if passed_over:
        raise ValueError(
            f'none of the checkpoints in {work_dir} can be read ({"; ".join(passed_over)}'
            '): bring one back, or train anew without --resume'
        )
    return None, []


def check_same_training(
    checkpoint: dict[str, Any], model: nn.Module, episodes: Any
) -> None:
    """A checkpoint to resume from belongs to this model and to these episodes.

    Args:
        checkpoint: From :func:`read_training`.
        model: Without a wrapper for several processes.
        episodes: Metainfo of the training's data set, a dict, or None if it has none.

    Raises:
        ValueError: Saying what is different.
    """
    own, saved = model.state_dict(), checkpoint['state_dict']
    wrong = sorted(own.keys() ^ saved.keys())
    wrong += [k for k in own if k in saved and own[k].shape != saved[k].shape]
    if wrong:
        raise ValueError(
            f'the checkpoint is of another model: {_some(wrong)} differ; resume with the '
            'config that it was made with'
        )
    before = checkpoint['meta'].get('dataset_meta')
    if not isinstance(before, dict) or not isinstance(episodes, dict):
        return
    wrong = [
        f'{name} ({before[name]} then, {episodes[name]} now)'
        if not isinstance(episodes[name], dict)
        else name
        for name in SAME_EPISODES
        if name in before and name in episodes and before[name] != episodes[name]
    ]
    if wrong:
        raise ValueError(
            f'the checkpoint is of a training on other episodes: {_some(wrong)} '
            'differ; resume with the same ones, or start anew from its weights with '
            '--cfg-options load_from=FILE'
        )


def remove_unfinished(folder: str | os.PathLike[str]) -> list[Path]:
    """Remove what a killed process was just writing in a folder of checkpoints.

    Args:
        folder: Of one training; no other may be writing to it.

    Returns:
        The removed files.
    """
    found = [p for p in Path(folder).glob('.*') if _UNFINISHED.fullmatch(p.name)]
    for path in found:
        path.unlink(missing_ok=True)
    return found


def _some(names: Sequence[str], most: int = 4) -> str:
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more

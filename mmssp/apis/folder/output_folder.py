"""The folder of outputs: whose it is, and with which settings it was filled."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from .inputs import EXPORTS, OUTPUT_SUFFIXES, VIDEOS
from .writers import whole_file

SETTINGS = 'settings.json'
GROWING = ('support', 'classes', 'adapt')
"""Settings that change where the support grows: its images, classes, time to learn."""
SUMMARIES = ('annotations.json', 'areas.csv', 'index.html')


def prepare_output(
    output: str | os.PathLike[str], settings: dict[str, Any], *, overwrite: bool = False
) -> str:
    """Make the folder of outputs, or check that it holds results of the same settings.

    Results of a support that has grown since may be taken: they will be made anew.

    Args:
        output: The folder.
        settings: Plain JSON, kept in ``settings.json``.
        overwrite: Take the folder whatever it holds.

    Returns:
        A digest of the settings, which goes into each record.

    Raises:
        ValueError: It holds results of other settings, or files of somebody else where
            the outputs would go.
        OSError: It cannot be written.
    """
    output = check_folder(output)
    settings = json.loads(json.dumps(settings, sort_keys=True))
    path = output / SETTINGS
    if not overwrite:
        way_out = (
            'Choose another output folder, or overwrite them (overwrite=True, '
            '--overwrite on the command line).'
        )
        found = read_settings(output)
        if found is not None:
            if found != settings and growth(found, settings) is None:
                raise ValueError(
                    f'{output} holds results made with other settings: '
                    f'{_difference(found, settings)}. {way_out}'
                )
        else:
            others = [
                name
                for name in (*OUTPUT_SUFFIXES, EXPORTS, VIDEOS, *SUMMARIES)
                if (output / name).exists()
            ]
            if others:
                raise ValueError(
                    f'{output} holds {", ".join(others)}, but no {SETTINGS}: they are '
                    f'not results that could be gone on with. {way_out}'
                )
    text = json.dumps(settings, sort_keys=True, indent=1)
    with whole_file(path) as temporary:
        temporary.write_text(text + '\n', encoding='utf-8')
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_folder(path: str | os.PathLike[str]) -> Path:
    """A folder that is there, or can be.

    Raises:
        ValueError: It is a file.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise ValueError(f'{path} is a file; expected a folder for the outputs.')
    return path


def read_settings(output: str | os.PathLike[str]) -> dict[str, Any] | None:
    """With which settings a folder was filled; None for none, {} for unreadable ones.

    Raises:
        OSError: They cannot be read.
    """
    path = Path(output) / SETTINGS
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise OSError(f'{path} cannot be read ({error.strerror}).') from error
    except (ValueError, RecursionError):
        found = None
    # Not readable as settings: other settings, then, of which nothing is known.
    return found if isinstance(found, dict) else {}


def growth(found: dict[str, Any], wanted: dict[str, Any]) -> tuple[int, int] | None:
    """Whether settings differ by more labelled images alone.

    Args:
        found: Settings of before.
        wanted: Of now.

    Returns:
        Numbers of labelled images before and now; None if anything else differs, or
        what was there is not there any more.
    """
    before, now = found.get('support'), wanted.get('support')
    if not (isinstance(before, list) and isinstance(now, list)):
        return None
    left = list(now)
    for one in before:
        if one not in left:
            return None
        left.remove(one)
    same = all(
        found.get(key) == value for key, value in wanted.items() if key not in GROWING
    )
    learns = ('adapt' in found) == ('adapt' in wanted)
    return (len(before), len(now)) if left and same and learns else None


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    words = [
        f'{key} was {_short(found.get(key))}, is {_short(wanted.get(key))}'
        for key in sorted({*found, *wanted})
        if found.get(key) != wanted.get(key)
    ]
    return '; '.join(words)


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > 1:
        return f'{len(value)} ({_short(value[0])}, …)'
    text = json.dumps(value)
    return text if len(text) <= 60 else f'{text[:57]}...'

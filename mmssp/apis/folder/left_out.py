"""What lies among the inputs and is not segmented: counted, and named."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PIL import Image

from ...utils.image_formats import OTHER_SUFFIXES

NAMED = 5
PAGED = {'.apng', '.avif', '.gif', '.tif', '.tiff', '.webp'}
"""Suffixes of files that may hold several pages or frames, of which the first is read."""


def say_what_is_left_out(
    patterns: Iterable[str | os.PathLike[str]],
    files: Iterable[Path],
    excluded: Path | None,
    is_output: Callable[[Path, Path | None], bool],
) -> None:
    """Print to stderr what a user may miss in the results.

    Args:
        patterns: Of the inputs; folders among them are searched.
        files: That were found.
        excluded: Folder of the outputs.
        is_output: Whether a folder belongs to it.
    """
    files = list(files)
    others = []
    for folder in (Path(p) for p in patterns if os.path.isdir(p)):
        for parent, folders, names in os.walk(folder, followlinks=False):
            folders[:] = [
                name
                for name in folders
                if name[0] != '.' and not is_output(Path(parent, name), excluded)
            ]
            others += [
                Path(parent, name).relative_to(folder).as_posix()
                for name in names
                if Path(name).suffix.lower() in OTHER_SUFFIXES and name[0] != '.'
            ]
    if others:
        print(
            f'{len(others)} picture(s) of formats that are not looked for: '
            f'{_named(sorted(others))}; convert them to JPEG or PNG',
            file=sys.stderr,
        )
    paged = [
        (file, pages)
        for file in files
        if file.suffix.lower() in PAGED and (pages := count_pages(file)) > 1
    ]
    if paged:
        listed = [f'{file.name} ({pages} pages)' for file, pages in paged]
        print(
            f'{len(paged)} file(s) of several pages or frames, only the first of which '
            f'is segmented: {_named(listed)}; store each page as a file of its own',
            file=sys.stderr,
        )


def count_pages(path: Path) -> int:
    """Pages or frames of a picture file; 1 where it cannot be told."""
    try:
        with Image.open(path) as image:
            return int(getattr(image, 'n_frames', 1))
    except Exception:  # what is wrong with it is said when it is read
        return 1


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ', '.join(names[:NAMED]) + (f' and {more} more' if more > 0 else '')

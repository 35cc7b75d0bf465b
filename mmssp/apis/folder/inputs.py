"""What is to be segmented: images and video frames found behind paths and patterns."""

import glob
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ...utils.image_formats import IMAGE_SUFFIXES
from ..images import read_any_image
from .left_out import say_what_is_left_out

VIDEO_SUFFIXES = {'.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm'}
OUTPUT_SUFFIXES = dict(masks='.png', overlays='.jpg', thumbs='.jpg', records='.json')
"""Folder of outputs → how the files in it end, after an item's stem."""
EXPORTS, VIDEOS = 'exports', 'overlay_videos'
"""Other folders of outputs: those of other tools' formats, and videos of overlays."""
WILDCARDS = '*?['
NAME_BYTES = 255
"""Longest name of a file."""

Pattern = str | os.PathLike[str]


@dataclass(frozen=True)
class InputItem:
    """One image, or one frame of a video.

    Attributes:
        source: The file.
        name: How it is called in results: the path relative to the inputs' folder, for
            a frame with ``#`` and its number.
        stem: What its outputs are called, without suffix; no other item has it.
        frame: 0-based number in the video; None for an image.
    """

    source: Path
    name: str
    stem: str
    frame: int | None = None


def list_inputs(
    patterns: Pattern | Sequence[Pattern],
    *,
    every: int = 1,
    exclude: Pattern | None = None,
) -> list[InputItem]:
    """All images behind files, folders, wildcards and videos.

    A folder is searched with its subfolders, linked ones too, for
    :data:`IMAGE_SUFFIXES`, hidden files and folders left out. Pictures that are not read,
    and further pages of files of several, are counted and named on stderr. What exists
    by the very name of a pattern is not a wildcard.

    Args:
        patterns: One or several. Names are relative to the folder common to all.
        every: Of videos, take each that many'th frame, the first one included.
        exclude: Folder of the outputs, which may lie among the inputs: what an earlier
            run has left there is no input.

    Returns:
        The items in the order of their names, each file once, frames ascending.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: A folder or pattern without a single image, an unreadable video.
    """
    if every < 1:
        raise ValueError(f'every={every}: expected 1 or more frames')
    if isinstance(patterns, (str, os.PathLike)):
        patterns = [patterns]
    if not patterns:
        raise ValueError('no input given: expected an image, a folder or a pattern')
    excluded = Path(exclude).resolve() if exclude is not None else None
    roots, files = [], []
    for pattern in patterns:
        root, found = _files(pattern, excluded)
        roots.append(os.path.abspath(root))
        files.extend(found)
    common = os.path.commonpath(roots)
    names = {Path(os.path.relpath(f, common)).as_posix(): f for f in files}
    say_what_is_left_out(patterns, names.values(), excluded, _is_output)
    items = []
    for name in sorted(names):
        stem = name[: -len(Path(name).suffix)] if Path(name).suffix else name
        items.append(InputItem(names[name], name, stem))
    return [frame for item in _with_own_stems(items) for frame in _frames(item, every)]


def _files(pattern: Pattern, excluded: Path | None) -> tuple[Path, list[Path]]:
    """The folder that names are relative to, and the files."""
    path = Path(pattern)
    if path.is_dir():
        found = list(_images_below(path, excluded))
        if not found:
            raise ValueError(
                f'{path} and its subfolders hold no image; expected files ending in '
                f'{" ".join(sorted(IMAGE_SUFFIXES))}.'
            )
        return path, found
    if path.exists():
        return path.parent, [path]
    if not any(sign in str(pattern) for sign in WILDCARDS):
        raise FileNotFoundError(
            f'There is no {path}; expected an image, a video, a folder of images or a '
            'pattern such as "photos/**/*.jpg".'
        )
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    found = [
        Path(name)
        for name in glob.glob(str(pattern), recursive=True)
        if Path(name).suffix.lower() in known
        and os.path.isfile(name)
        and not _is_output(Path(name).parent, excluded)
    ]
    if not found:
        raise ValueError(
            f'No image matches {str(pattern)!r}; expected files ending in '
            f'{" ".join(sorted(known))}. Check the pattern, and that it is in quotes.'
        )
    fixed = []
    for part in path.parent.parts:
        if any(sign in part for sign in WILDCARDS):
            break
        fixed.append(part)
    return Path(*fixed), found


def _images_below(folder: Path, excluded: Path | None) -> Iterator[Path]:
    seen = {os.path.realpath(folder)}  # a link may lead back to where it lies
    for parent, folders, files in os.walk(folder, followlinks=True):
        below = sorted(
            name
            for name in folders
            if not name.startswith('.') and not _is_output(Path(parent, name), excluded)
        )
        folders[:] = []
        for name in below:
            place = os.path.realpath(Path(parent, name))
            if place not in seen:
                seen.add(place)
                folders.append(name)
        for name in files:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and name[0] != '.':
                yield Path(parent, name)


def _is_output(folder: Path, output: Path | None) -> bool:
    if output is None:
        return False
    ours = {output / name for name in (*OUTPUT_SUFFIXES, EXPORTS, VIDEOS)}
    folder = folder.resolve()
    return not ours.isdisjoint({folder, *folder.parents})


def _with_own_stems(items: list[InputItem]) -> list[InputItem]:
    """Where two files would share their outputs, both keep the suffix in the stem.

    Compared without regard to case, as some file systems do.
    """
    while True:
        groups = defaultdict(list)
        for item in items:
            groups[item.stem.casefold()].append(item)
        clash = {
            item.name
            for group in groups.values()
            if len(group) > 1
            for item in group
            if item.stem != item.name
        }
        if not clash:
            return [replace(item, stem=_short_stem(item.stem)) for item in items]
        items = [
            replace(item, stem=item.name) if item.name in clash else item
            for item in items
        ]


def _short_stem(stem: str) -> str:
    """A stem to which every suffix of outputs can be added; a digest in place of more."""
    folder, slash, name = stem.rpartition('/')
    content = os.fsencode(name)
    if len(content) + max(map(len, OUTPUT_SUFFIXES.values())) <= NAME_BYTES:
        return stem
    digest = hashlib.sha256(content).hexdigest()[:12]
    # cut between characters, where the name has any
    kept = content[: NAME_BYTES - 20].decode('utf-8', 'ignore')
    return f'{folder}{slash}{kept}~{digest}'


def _frames(item: InputItem, every: int) -> Iterator[InputItem]:
    if item.source.suffix.lower() not in VIDEO_SUFFIXES:
        yield item
        return
    # The header's number of frames is a guess for many files: count what comes.
    video = _open_video(item.source)
    try:
        number = 0
        while video.grab():
            if number % every == 0:
                yield InputItem(
                    item.source,
                    f'{item.name}#{number}',
                    f'{item.stem}/frame_{number:06d}',
                    number,
                )
            number += 1
    finally:
        video.release()
    if not number:
        raise ValueError(f'{item.source}: not one frame of the video can be decoded.')


def _open_video(path: Path) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise ValueError(
            f'{path} cannot be opened as a video; it may be damaged, or of a format '
            'that OpenCV does not know. Convert it, for example to MP4.'
        )
    return video


class ImageReader:
    """Reads items; frames of a video that follow each other without seeking.

    A context manager, since a video stays open from one frame to the next.
    """

    def __init__(self) -> None:
        self._video: cv2.VideoCapture | None = None
        self._path: Path | None = None
        self._next = 0

    def __enter__(self) -> 'ImageReader':
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def read(self, item: InputItem) -> np.ndarray:
        """An item's pixels.

        Args:
            item: From :func:`list_inputs`.

        Returns:
            (H,W,3) uint8 RGB, upright.

        Raises:
            FileNotFoundError: It is gone.
            ValueError: It cannot be decoded.
        """
        if item.frame is None:
            return read_any_image(item.source)
        video = self._video
        if video is None or item.source != self._path or item.frame < self._next:
            self._close()
            video = _open_video(item.source)
            self._video, self._path = video, item.source
        good = True
        while good and self._next < item.frame:
            good = video.grab()
            self._next += 1
        good, pixels = video.read() if good else (False, None)
        self._next += 1
        if not good or pixels is None:
            raise ValueError(f'{item.name}: this frame cannot be decoded.')
        return np.ascontiguousarray(pixels[..., ::-1])

    def _close(self) -> None:
        if self._video is not None:
            self._video.release()
        self._video, self._path, self._next = None, None, 0

"""A video in, a video out: the overlays of its frames, as one file."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from .inputs import VIDEOS, InputItem
from .writers import output_path, whole_file

CODEC = 'mp4v'
"""What OpenCV's own builds can write everywhere."""
USUAL_RATE = 25.0
"""Frames a second where a file does not say."""


def write_videos(items: Iterable[InputItem], output: Path) -> list[Path]:
    """Write ``overlay_videos/STEM.mp4`` for each video among the inputs.

    As long as its video: where each N'th frame was taken, each is shown N times as long.
    One that is newer than all its overlays, and has as many frames, is left as it is.

    Args:
        items: Finished images and frames, of which these are left out and those taken.
        output: Folder of all outputs.

    Returns:
        The videos.

    Raises:
        OSError: One cannot be written.
    """
    frames: dict[str, list[InputItem]] = defaultdict(list)
    for item in items:
        if item.frame is not None:
            frames[item.stem.rpartition('/')[0]].append(item)
    videos = []
    for stem, own in frames.items():
        path = output / VIDEOS / f'{stem}.mp4'
        pictures = [output_path(output, 'overlays', item) for item in own]
        if not _is_there(path, pictures):
            _write(path, pictures, _rate(own))
        videos.append(path)
    return videos


def _rate(items: Sequence[InputItem]) -> float:
    """Frames a second of overlays, so that they last as long as their video."""
    video = cv2.VideoCapture(str(items[0].source))
    rate = float(video.get(cv2.CAP_PROP_FPS))
    video.release()
    if not (math.isfinite(rate) and rate > 0):
        rate = USUAL_RATE
    numbers = sorted(item.frame for item in items if item.frame is not None)
    steps = [b - a for a, b in zip(numbers, numbers[1:], strict=False)]
    return rate / min(steps, default=1)


def _is_there(path: Path, pictures: Sequence[Path]) -> bool:
    if not path.is_file():
        return False
    newest = max(picture.stat().st_mtime_ns for picture in pictures)
    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    video.release()
    return path.stat().st_mtime_ns > newest and count == len(pictures)


def _write(path: Path, pictures: Sequence[Path], rate: float) -> None:
    height, width = (side - side % 2 or 2 for side in _read(pictures[0]).shape[:2])
    with whole_file(path) as temporary:
        # the codec wants even sides
        code, size = cv2.VideoWriter.fourcc(*CODEC), (width, height)
        writer = cv2.VideoWriter(str(temporary), code, rate, size)
        if not writer.isOpened():
            raise OSError(f'this OpenCV cannot write videos of {CODEC}')
        for picture in pictures:
            frame = _read(picture)[:height, :width]
            if frame.shape[1::-1] != size:
                frame = cv2.resize(frame, size)
            writer.write(frame)
        writer.release()


def _read(picture: Path) -> np.ndarray:
    frame = cv2.imdecode(np.fromfile(picture, np.uint8), cv2.IMREAD_COLOR)
    if frame is None:
        raise OSError(f'{picture} cannot be read')
    return frame

"""A video of the overlays: as long as the one it was made of."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from fake_inferencer import FakeInferencer
from PIL import Image

from mmssp.apis.folder import overlay_videos
from mmssp.apis.folder.prediction import predict_folder


def film(path: Path, frames: int = 7, size=(64, 48), rate: float = 10) -> Path:
    """Black at first, bright red in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), rate, size)
    for i in range(frames):
        colour = (0, 0, 250 * i // (frames - 1))
        writer.write(np.full((size[1], size[0], 3), colour, np.uint8))
    writer.release()
    return path


def read(path: Path) -> tuple[list[np.ndarray], float]:
    video = cv2.VideoCapture(str(path))
    frames = []
    while True:
        good, frame = video.read()
        if not good:
            return frames, video.get(cv2.CAP_PROP_FPS)
        frames.append(frame)


@pytest.fixture
def output(tmp_path):
    return tmp_path / 'out'


def test_a_video_gives_a_video_of_its_overlays(tmp_path, output):
    path = film(tmp_path / 'in/my clip ä.avi')
    predict_folder(FakeInferencer(), path, output)
    frames, rate = read(output / 'overlay_videos/my clip ä.mp4')
    assert (len(frames), rate) == (7, 10)
    for i in (0, 6):
        picture = output / f'overlays/my clip ä/frame_{i:06d}.jpg'
        overlay = np.asarray(Image.open(picture))[..., ::-1].astype(int)
        assert np.abs(frames[i].astype(int) - overlay).mean() < 12
    assert (output / 'masks/my clip ä/frame_000006.png').is_file()


def test_every_third_frame_is_shown_three_times_as_long(tmp_path, output):
    predict_folder(FakeInferencer(), film(tmp_path / 'a.avi'), output, every=3)
    frames, rate = read(output / 'overlay_videos/a.mp4')
    assert len(frames) == 3
    assert rate == pytest.approx(10 / 3, rel=1e-3)


def test_odd_sides_lose_a_line(tmp_path, output):
    film(tmp_path / 'a.avi', size=(66, 50))
    frames = output / 'odd'
    frames.mkdir(parents=True)
    Image.fromarray(np.full((51, 67, 3), 90, np.uint8)).save(frames / '0.png')
    overlay_videos._write(output / 'odd.mp4', [frames / '0.png'], 5)
    (frame,), _ = read(output / 'odd.mp4')
    assert frame.shape == (50, 66, 3)


def test_a_finished_video_is_not_written_again(tmp_path, output, monkeypatch):
    path = film(tmp_path / 'a.avi')
    predict_folder(FakeInferencer(), path, output)
    before = (output / 'overlay_videos/a.mp4').stat().st_mtime_ns
    predict_folder(FakeInferencer(), path, output)
    assert (output / 'overlay_videos/a.mp4').stat().st_mtime_ns == before


def test_a_build_without_the_codec_is_a_sentence(tmp_path, output, monkeypatch):
    monkeypatch.setattr(cv2.VideoWriter, 'isOpened', lambda self: False)
    path = tmp_path / 'a.png'
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    with pytest.raises(OSError, match='cannot write videos of mp4v'):
        overlay_videos._write(output / 'a.mp4', [path], 5)
    assert not (output / 'a.mp4').exists()


def test_images_alone_give_no_video(tmp_path, output):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / 'a.png')
    predict_folder(FakeInferencer(), tmp_path / 'a.png', output)
    assert not (output / 'overlay_videos').exists()

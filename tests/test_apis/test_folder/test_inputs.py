"""Which images are behind paths, patterns and videos, and what they are called."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mmssp.apis.folder.inputs import ImageReader, list_inputs


@pytest.fixture
def photos(tmp_path):
    """Empty files: their content is not looked at."""
    for name in ('b.jpg', 'a.PNG', 'sub/c.jpg', 'notes.txt', '.hidden.jpg'):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / 'photos'


@pytest.fixture
def video(tmp_path):
    """Seven frames, brighter and brighter."""
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (32, 24))
    for i in range(7):
        writer.write(np.full((24, 32, 3), (0, 0, 30 * i), np.uint8))
    writer.release()
    return path


def names(*args, **kwargs):
    return [item.name for item in list_inputs(*args, **kwargs)]


def test_a_folder_is_searched_with_its_subfolders(photos):
    assert names(photos) == ['a.PNG', 'b.jpg', 'sub/c.jpg']
    assert [item.stem for item in list_inputs(photos)] == ['a', 'b', 'sub/c']


def test_a_file_is_taken_whatever_its_suffix(photos):
    assert names(photos / 'notes.txt') == ['notes.txt']


def test_a_pattern_is_relative_to_its_fixed_part(photos):
    assert names(f'{photos}/**/*.jpg') == ['b.jpg', 'sub/c.jpg']
    assert names(f'{photos}/*/*.jpg') == ['sub/c.jpg']


def test_a_name_with_brackets_is_no_pattern_if_it_is_there(photos):
    (photos / 'x[1].jpg').touch()
    assert names(photos / 'x[1].jpg') == ['x[1].jpg']


def test_several_paths_are_relative_to_what_they_share_and_files_come_once(photos):
    assert names([photos / 'sub', photos / 'b.jpg', photos]) == [
        'a.PNG',
        'b.jpg',
        'sub/c.jpg',
    ]


def test_outputs_among_the_inputs_are_none(photos):
    for kind in ('masks', 'overlays', 'thumbs'):
        for folder in (photos, photos / 'out'):
            (folder / kind).mkdir(parents=True)
            (folder / kind / 'b.png').touch()
    for output in (photos, photos / 'out'):
        for pattern in (photos, f'{photos}/**/*'):
            found = names(pattern, exclude=output)
            ours = str(output.relative_to(photos) / 'masks').removeprefix('./')
            assert not [n for n in found if n.startswith(f'{ours}/')]
            assert 'sub/c.jpg' in found


def test_images_of_one_name_keep_their_suffix_in_their_stem(photos):
    for name in ('b.png', 'B.bmp', 'b.jpg.png'):
        (photos / name).touch()
    stems = {item.name: item.stem for item in list_inputs(photos)}
    assert stems['b.jpg'] == 'b.jpg' and stems['b.png'] == 'b.png'
    assert stems['B.bmp'] == 'B.bmp'
    assert stems['b.jpg.png'] == 'b.jpg.png'
    assert stems['a.PNG'] == 'a'


@pytest.mark.parametrize(
    ('pattern', 'error', 'words'),
    [
        ('nothing', FileNotFoundError, 'There is no'),
        ('photos/*.tif', ValueError, 'No image matches'),
        ('empty', ValueError, 'hold no image'),
    ],
)
def test_nothing_to_do_is_a_sentence(photos, pattern, error, words):
    (photos.parent / 'empty').mkdir()
    with pytest.raises(error, match=words):
        list_inputs(str(photos.parent / pattern))


def test_a_video_gives_every_nth_frame(video):
    items = list_inputs(video, every=3)
    assert [item.name for item in items] == [f'clip.avi#{i}' for i in (0, 3, 6)]
    assert items[1].stem == 'clip/frame_000003'


def test_frames_are_read_as_rgb_in_any_order(video):
    items = list_inputs(video)
    with ImageReader() as reader:
        for i in (1, 2, 5, 0, 6):
            pixels = reader.read(items[i])
            assert pixels.shape == (24, 32, 3)
            assert abs(pixels[..., 0].mean() - 30 * i) < 6
            assert pixels[..., 2].mean() < 6


def test_no_video_is_a_sentence(tmp_path):
    (tmp_path / 'clip.mp4').write_bytes(b'no video')
    with pytest.raises(ValueError, match='cannot be opened as a video'):
        list_inputs(tmp_path / 'clip.mp4')


def test_a_frame_that_is_gone_is_a_sentence(video):
    item = replace(list_inputs(video)[-1], frame=99, name='clip.avi#99')
    with (
        ImageReader() as reader,
        pytest.raises(ValueError, match='clip.avi#99: this frame cannot be decoded'),
    ):
        reader.read(item)


@pytest.mark.parametrize(
    ('patterns', 'every', 'message'),
    [(['a.jpg'], 0, 'every=0: expected 1 or more'), ([], 1, 'no input given')],
)
def test_inputs_out_of_range_are_a_sentence(patterns, every, message):
    with pytest.raises(ValueError, match=message):
        list_inputs(patterns, every=every)


@pytest.mark.parametrize(
    'name', ['a' * 251, '部' * 83 + 'ab', 'x' * 240 + '.' + 'y' * 9]
)
def test_outputs_of_the_longest_names_have_legal_names(tmp_path, name):
    (tmp_path / f'{name}.jpg').touch()
    (tmp_path / f'{name[:-1]}z.jpg').touch()
    stems = [item.stem for item in list_inputs(tmp_path)]
    assert len(set(stems)) == 2
    for stem in stems:
        (tmp_path / f'{stem}.json').touch()  # the longest suffix


def test_shorter_names_stay_whole(tmp_path):
    (tmp_path / ('a' * 250 + '.jpg')).touch()
    assert list_inputs(tmp_path)[0].stem == 'a' * 250

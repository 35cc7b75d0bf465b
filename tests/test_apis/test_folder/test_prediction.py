"""Folders of images in, masks and summaries out: complete, resumable, safe."""

import csv
import errno
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
from fake_inferencer import FakeInferencer
from PIL import Image
from pycocotools import mask as coco_mask

from mmssp.apis.folder import writers
from mmssp.apis.folder.prediction import predict_folder

SIZE = (20, 30)


def save(path: Path, seed: int, size=SIZE) -> None:
    """Red and green in different parts, exactly (PNG) or nearly (JPEG)."""
    rng = np.random.default_rng(seed)
    image = np.zeros((*size, 3), np.uint8)
    image[: rng.integers(5, 15), :, 0] = 200
    image[:, : rng.integers(5, 25), 1] = 220
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def photos(tmp_path):
    for i, name in enumerate(('a.png', 'b.png', 'sub/a.png', 'z #1 <i>.png')):
        save(tmp_path / 'photos' / name, i)
    return tmp_path / 'photos'


@pytest.fixture
def output(tmp_path):
    return tmp_path / 'out'


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob('*') if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows(output: Path) -> list[dict]:
    with open(output / 'areas.csv', newline='') as file:
        return list(csv.DictReader(file))


def test_masks_are_indexed_and_of_the_images_size(photos, output):
    predict_folder(FakeInferencer(('red', 'green')), photos, output)
    mask = Image.open(output / 'masks' / 'sub' / 'a.png')
    assert mask.mode == 'L'
    pixels = np.asarray(Image.open(photos / 'sub' / 'a.png'))
    # green is brighter, so it wins where both are
    expected = np.where(pixels[..., 1] > 0, 2, np.where(pixels[..., 0] > 0, 1, 0))
    np.testing.assert_array_equal(np.asarray(mask), expected)
    found = cv2.imread(str(output / 'masks' / 'sub' / 'a.png'), 0)
    np.testing.assert_array_equal(found, expected)


def test_results_with_masks_of_a_palette_are_not_gone_on_with(photos, output):
    predict_folder(FakeInferencer(), photos / 'a.png', output)
    record = output / 'records' / 'a.json'
    content = json.loads(record.read_text())
    del content['masks']  # as an earlier version has written it
    record.write_text(json.dumps(content))
    assert predict_folder(FakeInferencer(), photos / 'a.png', output).resumed == 0


def test_the_coco_file_holds_the_same_masks(photos, output):
    names = ('red', 'green')
    predict_folder(FakeInferencer(names), photos, output)
    content = json.loads((output / 'annotations.json').read_text())
    assert [i['file_name'] for i in content['images']] == [
        'a.png', 'b.png', 'sub/a.png', 'z #1 <i>.png',
    ]  # fmt: skip
    assert content['categories'] == [dict(id=1, name='red'), dict(id=2, name='green')]
    assert [a['id'] for a in content['annotations']] == list(range(1, 9))
    for image in content['images']:
        mask = np.zeros((image['height'], image['width']), np.uint8)
        for annotation in content['annotations']:
            if annotation['image_id'] == image['id']:
                region = coco_mask.decode(annotation['segmentation'])
                mask[region == 1] = annotation['category_id']
        path = output / 'masks' / image['file_name']
        np.testing.assert_array_equal(mask, np.asarray(Image.open(path)))


def test_the_table_has_areas_shares_and_presence(photos, output):
    predict_folder(FakeInferencer(('red', 'blue')), photos, output)
    table = rows(output)
    assert [(r['file'], r['class']) for r in table[:3]] == [
        ('a.png', 'red'), ('a.png', 'blue'), ('b.png', 'red'),
    ]  # fmt: skip
    area = int((np.asarray(Image.open(output / 'masks' / 'a.png')) == 1).sum())
    assert int(table[0]['area']) == area > 0
    assert float(table[0]['share']) == pytest.approx(area / 600, abs=1e-6)
    assert (table[0]['present'], table[1]['present'], table[1]['area']) == (
        '1',
        '0',
        '0',
    )


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [v for k, v in attributes if k in ('src', 'href')]


def test_the_contact_sheet_links_local_files_only_and_escapes_names(photos, output):
    (photos / '<script>x.png').write_bytes(b'broken')
    predict_folder(FakeInferencer(), photos, output)
    page = Page((output / 'index.html').read_text())
    assert len([link for link in page.links if 'thumbs/' in link]) == 4
    for link in page.links:
        assert (output / unquote(link)).is_file()
    assert not {'script', 'i', 'link', 'iframe'} & set(page.tags)
    assert '&lt;script&gt;x.png' in (output / 'index.html').read_text()


def test_the_images_in_most_doubt_are_named(photos, output):
    for i, red in enumerate((90, 250, 170, 10)):
        image = np.full((*SIZE, 3), (red, 0, 0), np.uint8)
        Image.fromarray(image).save(photos / f'&{i}.png')
    for path in ('a.png', 'b.png', 'sub/a.png', 'z #1 <i>.png'):
        (photos / path).unlink()
    named = ['&1.png', '&2.png', '&0.png']
    # of finished ones as well
    for _ in range(2):
        assert predict_folder(FakeInferencer(), photos, output).label_next == named
    page = (output / 'index.html').read_text()
    links = re.search('label next .*', page)[0]
    assert re.findall('>(&amp;..png)</a>', links) == [
        n.replace('&', '&amp;') for n in named
    ]


def test_of_few_images_none_is_named(photos, output):
    report = predict_folder(FakeInferencer(), [photos / 'a.png'], output)
    assert report.label_next == []
    assert 'label next' not in (output / 'index.html').read_text()


def test_a_name_that_is_no_utf8_is_no_obstacle(photos, output):
    name = os.fsdecode(b'\xe9x.png')
    try:
        save(photos / name, 3)
    except OSError:
        pytest.skip('this file system wants UTF-8')
    predict_folder(FakeInferencer(), photos, output)
    assert (output / 'masks' / name).is_file()
    assert b'\xe9x.png,red' in (output / 'areas.csv').read_bytes()
    assert 'thumbs/%E9x.jpg' in Page((output / 'index.html').read_text()).links
    content = json.loads((output / 'annotations.json').read_text())
    assert name in [image['file_name'] for image in content['images']]


def test_overlays_are_shrunk_for_thumbnails_only(output, tmp_path):
    save(tmp_path / 'wide.png', 0, (100, 800))
    predict_folder(FakeInferencer(), tmp_path / 'wide.png', output)
    assert Image.open(output / 'overlays' / 'wide.jpg').size == (800, 100)
    assert Image.open(output / 'thumbs' / 'wide.jpg').size == (320, 40)


def test_images_of_one_name_do_not_collide(photos, output):
    save(photos / 'a.jpg', 9)
    report = predict_folder(FakeInferencer(), photos, output)
    assert report.total == 5
    names = {path.name for path in (output / 'masks').glob('a*')}
    assert names == {'a.jpg.png', 'a.png.png'}


def test_broken_images_are_reported_and_the_rest_goes_on(photos, output):
    (photos / 'b.png').write_bytes((photos / 'b.png').read_bytes()[:60])
    save(photos / 'c.png', 5, (20, 13))
    report = predict_folder(FakeInferencer(fail_on=13), photos, output, batch=3)
    assert list(report.failures) == ['b.png', 'c.png']
    assert str(photos) not in report.failures['b.png']
    assert report.failures['c.png'] == 'too wide for me'
    assert not (output / 'masks' / 'b.png').exists()
    assert {row['file'] for row in rows(output)} == {
        'a.png', 'sub/a.png', 'z #1 <i>.png',
    }  # fmt: skip
    assert 'too wide for me' in (output / 'index.html').read_text()


def test_finished_images_are_not_predicted_again(photos, output):
    predict_folder(FakeInferencer(), photos, output)
    before = contents(output)
    save(photos / 'new.png', 7)
    inferencer = FakeInferencer()
    report = predict_folder(inferencer, photos, output)
    assert (inferencer.predicted, report.resumed, report.total) == (1, 4, 5)
    after = contents(output)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {
        'masks/new.png', 'overlays/new.jpg', 'thumbs/new.jpg', 'records/new.json',
        'annotations.json', 'areas.csv', 'index.html',
    }  # fmt: skip


def test_an_interrupted_run_ends_as_an_uninterrupted_one(photos, output, tmp_path):
    class Interrupted(FakeInferencer):
        def predict(self, image, **kwargs):
            if self.predicted == 3:
                raise KeyboardInterrupt
            return super().predict(image, **kwargs)

    with pytest.raises(KeyboardInterrupt):
        predict_folder(Interrupted(), photos, output, batch=2)
    assert not (output / 'annotations.json').exists()
    inferencer = FakeInferencer()
    predict_folder(inferencer, photos, output, batch=2)
    assert inferencer.predicted == 2
    predict_folder(FakeInferencer(), photos, tmp_path / 'straight', batch=2)
    assert contents(output) == contents(tmp_path / 'straight')


@pytest.mark.parametrize('what', ['image', 'mask', 'record'])
def test_what_changed_or_went_missing_is_predicted_again(photos, output, what):
    predict_folder(FakeInferencer(), photos, output)
    expected = contents(output)
    if what == 'image':
        save(photos / 'b.png', 77)
    elif what == 'mask':
        (output / 'masks' / 'b.png').unlink()
    else:
        (output / 'records' / 'b.json').write_text('{"half')
    inferencer = FakeInferencer()
    predict_folder(inferencer, photos, output)
    assert inferencer.predicted == 1
    assert (contents(output) == expected) == (what != 'image')


@pytest.mark.parametrize('change', ['threshold', 'support', 'tile'])
def test_results_of_other_settings_are_not_mixed(photos, output, change):
    predict_folder(FakeInferencer(), photos, output)
    before = contents(output)
    inferencer = FakeInferencer(('green',) if change == 'support' else ('red',))
    inferencer.tile = 512 if change == 'tile' else None
    threshold = 0.7 if change == 'threshold' else None
    with pytest.raises(ValueError, match=f'{change} was .*overwrite'):
        predict_folder(inferencer, photos, output, threshold=threshold)
    assert contents(output) == before
    predict_folder(inferencer, photos, output, threshold=threshold, overwrite=True)
    assert inferencer.predicted == 4
    assert contents(output) != before


def test_an_interrupted_overwriting_leaves_no_mixture(photos, output):
    predict_folder(FakeInferencer(), photos, output)

    class Interrupted(FakeInferencer):
        def predict(self, image, **kwargs):
            if self.predicted == 1:
                raise KeyboardInterrupt
            return super().predict(image, **kwargs)

    with pytest.raises(KeyboardInterrupt):
        predict_folder(Interrupted(('green',)), photos, output, overwrite=True)
    inferencer = FakeInferencer(('green',))
    report = predict_folder(inferencer, photos, output)
    assert (inferencer.predicted, report.resumed) == (3, 1)


def test_somebody_elses_masks_are_not_written_over(photos, output):
    save(output / 'masks' / 'a.png', 1)
    before = contents(output)
    with pytest.raises(ValueError, match='holds masks, but no settings'):
        predict_folder(FakeInferencer(), photos, output)
    assert contents(output) == before


def test_the_output_may_lie_in_the_input(photos):
    for _ in range(2):
        report = predict_folder(FakeInferencer(), photos, photos / 'out')
        assert report.total == 4
    assert report.resumed == 4


def test_a_file_in_the_place_of_the_output_is_a_sentence(photos, output):
    output.write_text('')
    with pytest.raises(ValueError, match='is a file'):
        predict_folder(FakeInferencer(), photos, output)


def test_no_support_is_a_sentence(photos, output):
    with pytest.raises(ValueError, match='no support'):
        predict_folder(FakeInferencer(()), photos, output)
    assert not output.exists()


def test_a_full_disk_is_a_sentence_and_leaves_no_half_file(photos, output, monkeypatch):
    predict_folder(FakeInferencer(), photos / 'a.png', output)
    save_whole = Image.Image.save

    def save_half(image, path, **kwargs):
        save_whole(image, path, **kwargs)
        if 'overlays' in str(path):
            Path(path).write_bytes(Path(path).read_bytes()[:20])
            raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(Image.Image, 'save', save_half)
    with pytest.raises(OSError, match=r'overlays.* cannot be written \(No space left'):
        predict_folder(FakeInferencer(), photos, output)
    names = set(contents(output))
    assert 'masks/b.png' in names
    assert not {n for n in names if re.search(r'b\.(jpg|json)$|/\.', n)}


def test_a_failed_json_leaves_the_old_one(output):
    output.mkdir()
    writers.write_json(output / 'x.json', [1])
    with pytest.raises(TypeError):
        writers.write_json(output / 'x.json', [1, {2}])
    assert contents(output) == {'x.json': b'[1]\n'}


def test_frames_of_a_video_are_images_of_a_folder(tmp_path, output):
    path = tmp_path / 'clip.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (32, 24))
    for i in range(5):
        writer.write(np.full((24, 32, 3), (0, 0, 60 * i), np.uint8))
    writer.release()
    report = predict_folder(FakeInferencer(), path, output, every=2)
    assert report.total == 3
    assert [(r['file'], r['area']) for r in rows(output)] == [
        ('clip.avi#0', '0'), ('clip.avi#2', '0'), ('clip.avi#4', '768'),
    ]  # fmt: skip
    assert (output / 'overlays' / 'clip' / 'frame_000004.jpg').is_file()

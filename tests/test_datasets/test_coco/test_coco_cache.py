"""Masks on disk: found again, made anew when stale or damaged, drawn by one process."""

import json
import multiprocessing
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from coco_samples import (
    HEIGHT,
    WIDTH,
    annotation,
    box,
    content,
    mask_of,
    no_parsing,
)
from PIL import Image

from mmssp.datasets.coco import coco_cache, coco_json


def test_the_second_start_does_not_parse_the_json(make, monkeypatch):
    first = make(content())
    no_parsing(monkeypatch)
    second = make()
    assert second.get_data_info(0) == first.get_data_info(0)


def test_a_finished_cache_needs_no_write_access(make, cache, monkeypatch):
    make(content())
    monkeypatch.setattr(coco_cache, 'locked', None)
    assert mask_of(make()).any()


def test_a_changed_json_is_drawn_again(make):
    make(content())
    changed = make(content([annotation([box(0, 0, 2, 2)], 7)]))
    assert mask_of(changed).sum() == 8


def test_a_json_of_the_same_size_but_another_time_is_drawn_again(make, tmp_path):
    make(content([annotation([box(0, 0, 3, 3)])]))
    file = tmp_path / 'instances.json'
    stamp = file.stat().st_mtime_ns
    make_text = file.read_text().replace('"category_id": 3', '"category_id": 7')
    file.write_text(make_text)
    os.utime(file, ns=(stamp + 10**9, stamp + 10**9))
    assert mask_of(make())[1, 1] == 2


@pytest.mark.parametrize(
    'damage',
    [
        lambda text: text[: len(text) // 2],
        lambda text: '',
        lambda text: '[]',
        lambda text: '{"sha256": 1, "content": 2}',
        lambda text: text.replace('a.jpg', 'b.jpg'),
    ],
)
def test_a_damaged_manifest_is_made_anew(make, cache, damage):
    make(content())
    (manifest,) = cache.glob('*/manifest.json')
    whole = manifest.read_text()
    manifest.write_text(damage(whole))
    with pytest.warns(UserWarning, match='manifest.json is damaged'):
        dataset = make()
    assert dataset.get_data_info(0)['img_path'].endswith('a.jpg')
    assert manifest.read_text() == whole


@pytest.mark.parametrize(
    'damage',
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(b''),
    ],
)
def test_a_missing_or_cut_mask_is_drawn_again(make, damage):
    dataset = make(content())
    whole = mask_of(dataset)
    damage(Path(dataset.get_data_info(0)['seg_map_path']))
    with pytest.warns(UserWarning, match='1 of 1 masks are missing or damaged'):
        again = make()
    np.testing.assert_array_equal(mask_of(again), whole)


def test_an_interrupted_drawing_reuses_whole_masks_only(make, cache, monkeypatch):
    images = [
        {'id': i, 'file_name': f'{i}.jpg', 'height': HEIGHT, 'width': WIDTH}
        for i in (1, 2, 3)
    ]
    annotations = [annotation([box(0, 0, 9, 9)], 3, i) for i in (1, 2, 3)]
    dataset = make(content(annotations, images))
    paths = [Path(dataset.get_data_info(i)['seg_map_path']) for i in range(3)]
    data = bytearray(paths[1].read_bytes())
    data[-20] ^= 1  # same size, wrong checksum
    paths[1].write_bytes(data)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(paths[2])  # not this image's
    next(cache.glob('*/manifest.json')).unlink()
    written = []
    write = coco_cache.write_mask
    monkeypatch.setattr(
        coco_cache, 'write_mask', lambda p, m: written.append(p) or write(p, m)
    )
    again = make()
    assert written == paths[1:]
    assert all(mask_of(again, i)[4, 4] == 1 for i in range(3))


def test_an_error_while_drawing_leaves_no_manifest(make, cache):
    with pytest.raises(ValueError):
        make(content([annotation([[1, 2, 3, 4, 5, 'six']])]))
    assert not list(cache.glob('*/manifest.json'))


def test_the_cache_folder_can_be_named(make, tmp_path, cache):
    dataset = make(content(), cache_dir=str(tmp_path / 'elsewhere'))
    assert dataset.get_data_info(0)['seg_map_path'].startswith(
        str(tmp_path / 'elsewhere')
    )
    assert not cache.exists()


def _build_and_report(folder, barrier, queue):
    read = coco_json.load_json
    reads = []
    coco_json.load_json = lambda path: reads.append(path) or read(path)
    barrier.wait()
    masks = coco_cache.render_masks(Path(folder) / 'instances.json', workers=1)
    whole = all((masks.folder / image['mask']).is_file() for image in masks.images)
    queue.put((len(reads), whole, len(masks.images)))


def test_of_two_processes_that_start_together_one_draws(make, tmp_path):
    images = [
        {'id': i, 'file_name': f'{i}.jpg', 'height': HEIGHT, 'width': WIDTH}
        for i in range(1, 200)
    ]
    annotations = [annotation([box(0, 0, 9, 9)], 3, i) for i in range(1, 200)]
    (tmp_path / 'instances.json').write_text(json.dumps(content(annotations, images)))
    context = multiprocessing.get_context('fork')
    barrier, queue = context.Barrier(2), context.Queue()
    processes = [
        context.Process(target=_build_and_report, args=(tmp_path, barrier, queue))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    reports = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(reports) == [(0, True, 199), (1, True, 199)]


def test_several_workers_draw_the_same_masks(make, tmp_path):
    images = [
        {'id': i, 'file_name': f'{i}.jpg', 'height': HEIGHT, 'width': WIDTH}
        for i in range(1, 65)
    ]
    annotations = [annotation([box(0, 0, i % 20 + 1, 9)], 3, i) for i in range(1, 65)]
    one = make(content(annotations, images), cache_dir=str(tmp_path / 'one'))
    two = make(cache_dir=str(tmp_path / 'two'), workers=2)
    for i in range(64):
        np.testing.assert_array_equal(mask_of(one, i), mask_of(two, i))


def test_a_cache_folder_that_cannot_be_written_is_named_with_the_way_out(
    make, tmp_path
):
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match=r'Cannot write .*cache_dir=.*\$MMSSP_CACHE'):
        make(content(), cache_dir=str(tmp_path / 'file' / 'cache'))


def test_a_full_disk_is_named_with_the_way_out(make, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(coco_cache, 'write_mask', full)
    with pytest.raises(ValueError, match=r'No space left.*cache_dir='):
        make(content())


def test_a_good_json_warns_about_nothing(make):
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        make(content())
        make()

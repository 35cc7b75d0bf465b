"""The class index: counts, checks of masks and images, and its cache."""

import multiprocessing
import os
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmcv.transforms import BaseTransform
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from mmssp.datasets import class_index, mask_scan
from mmssp.datasets.class_index import ClassIndex
from mmssp.datasets.transforms import LoadMask
from mmssp.utils import array_cache

CLASSES = ('background', 'cat', 'dog', 'cow')
MASKS = [
    np.array([[0, 0, 1], [1, 1, 255]], np.uint8),
    np.array([[3, 3], [3, 3]], np.uint8),
    np.array([[255, 255]], np.uint8),
    np.array([[2, 1, 0, 3]], np.uint8),
]


def save(path: Path, pixels: np.ndarray, orientation: int = 1) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels)
    if pixels.ndim == 2:
        image.putpalette(bytes(range(256)) * 3)
    image.save(path, exif=exif)


def write_files(root: Path, masks: list[np.ndarray]) -> None:
    for name in ('images', 'masks'):
        (root / name).mkdir(parents=True)
    for i, mask in enumerate(masks):
        save(root / 'masks' / f'{i:03}.png', mask)
        save(root / 'images' / f'{i:03}.png', np.zeros((*mask.shape, 3), np.uint8))


def open_dataset(root: Path, **kwargs) -> BaseSegDataset:
    return BaseSegDataset(
        data_root=str(root),
        data_prefix={'img_path': 'images', 'seg_map_path': 'masks'},
        img_suffix='.png',
        # mmengine collects garbage when it serialises: 0.2 s each time
        **{'metainfo': {'classes': CLASSES}, 'serialize_data': False, **kwargs},
    )


def entries(index: ClassIndex) -> list[dict[int, int]]:
    return [index.classes_in(i) for i in range(index.num_images)]


def naive(mask: np.ndarray) -> dict[int, int]:
    return {v: n for v, n in sorted(Counter(mask.ravel().tolist()).items()) if v != 255}


@pytest.fixture
def root(tmp_path) -> Path:
    write_files(tmp_path / 'data', MASKS)
    return tmp_path / 'data'


@pytest.fixture
def scans(monkeypatch) -> list[int]:
    """Grows by one with every scan."""
    done = []

    def counted(dataset, *args, **kwargs):
        done.append(len(dataset))
        return scan_masks(dataset, *args, **kwargs)

    scan_masks = mask_scan.scan_masks
    monkeypatch.setattr(class_index, 'scan_masks', counted)
    return done


def build(root: Path, reader=None, dataset: dict | None = None, **kwargs) -> ClassIndex:
    dataset = open_dataset(root, **(dataset or {}))
    return ClassIndex.build(dataset, reader or LoadMask(), workers=1, **kwargs)


# ------------------------------------------------------------------- what it answers


def test_it_counts_the_pixels_of_each_class_without_255(root):
    index = build(root)
    assert entries(index) == [{0: 2, 1: 3}, {3: 4}, {}, {0: 1, 1: 1, 2: 1, 3: 1}]
    assert (index.num_images, index.num_classes) == (4, 4)


masks_strategy = st.lists(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=5),
        elements=st.sampled_from([0, 1, 2, 3, 255]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(masks=masks_strategy)
def test_it_agrees_with_a_naive_count(masks):
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder) / 'data', masks)
        index = build(Path(folder) / 'data', cache_dir=folder)
    expected = [naive(mask) for mask in masks]
    assert entries(index) == expected
    for label in range(4):
        pixels = [counts.get(label, 0) for counts in expected]
        assert [index.pixels(i, label) for i in range(len(masks))] == pixels
        for least in (1, 2, 5):
            found = index.images_with(label, least)
            assert found.dtype == np.int64
            assert found.tolist() == [i for i, n in enumerate(pixels) if n >= least]


@pytest.mark.parametrize('workers', [1, 2, None])
def test_the_number_of_workers_changes_nothing(tmp_path, workers):
    rng = np.random.default_rng(0)
    masks = [rng.integers(0, 4, (3, 4), dtype=np.uint8) for _ in range(50)]
    write_files(tmp_path / 'data', masks)
    dataset = open_dataset(tmp_path / 'data', serialize_data=True)
    index = ClassIndex.build(dataset, LoadMask(), workers=workers)
    assert entries(index) == [naive(mask) for mask in masks]


def test_labels_are_those_after_the_label_map_and_reduce_zero_label(root):
    index = build(root, dataset={'reduce_zero_label': True})
    assert entries(index) == [{0: 3}, {2: 4}, {}, {0: 1, 1: 1, 2: 1}]


def test_the_reader_of_mmseg_serves_as_well(tmp_path):
    masks = [mask for mask in MASKS if min(mask.shape) > 1]  # it drops sides of 1
    write_files(tmp_path / 'data', masks)
    index = build(tmp_path / 'data', LoadAnnotations())
    assert entries(index) == [naive(mask) for mask in masks]


def test_from_counts_leaves_out_zeros_and_sorts():
    index = ClassIndex.from_counts([{2: 5, 0: 1}, {}, {1: 0, 2: 3}], 3)
    assert entries(index) == [{0: 1, 2: 5}, {}, {2: 3}]
    assert index.images_with(2, 4).tolist() == [0]
    assert index.images_with(1).tolist() == []


def test_an_index_without_any_class_answers_too():
    index = ClassIndex.from_counts([{}, {}], 2)
    assert index.pixels(1, 1) == 0
    assert index.images_with(0).tolist() == []


@pytest.mark.parametrize('counts', [[{3: 1}], [{-1: 1}], [{0: -1}]])
def test_labels_and_counts_out_of_range_are_refused(counts):
    with pytest.raises(ValueError, match='expected labels 0..2'):
        ClassIndex.from_counts(counts, 3)


@pytest.mark.parametrize(
    ('offsets', 'labels', 'counts'),
    [
        ([], [], []),
        ([1, 1], [0], [1]),
        ([0, 2], [0], [1]),
        ([0, 2], [0, 1], [1]),
        ([0, 2, 1, 2], [0, 1], [1, 1]),
        ([0, 2], [1, 0], [1, 1]),
        ([0, 2], [1, 1], [1, 1]),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(offsets, labels, counts):
    with pytest.raises(ValueError, match='contradict|ascending'):
        ClassIndex(offsets, labels, counts, 3)


def test_an_index_of_no_class_is_refused():
    with pytest.raises(ValueError, match='num_classes=0; expected 1 or more'):
        ClassIndex([0], [], [], 0)


def test_an_index_takes_any_number_of_classes():
    index = ClassIndex.from_counts([{1202: 5, 255: 2}, {0: 1, 256: 3}], 1203)
    assert entries(index) == [{255: 2, 1202: 5}, {0: 1, 256: 3}]
    assert index.images_with(255).tolist() == [0]
    assert index.shows_any([0, 1202]).tolist() == [True, True]
    assert index.shows_any([255]).tolist() == [True, False]


def test_more_classes_than_8_bits_hold_are_refused_before_the_scan(root, scans):
    names = tuple(str(i) for i in range(256))
    with pytest.raises(
        ValueError, match='256 classes.*8 bits.*class_mask and class_pi'
    ):
        build(root, dataset={'metainfo': {'classes': names}})
    assert scans == []


def test_as_many_classes_as_8_bits_hold_are_not(root):
    names = tuple(str(i) for i in range(255))
    assert build(root, dataset={'metainfo': {'classes': names}}).num_classes == 255


@pytest.mark.parametrize('reader', [LoadMask(), LoadAnnotations()])
def test_a_label_map_beyond_8_bits_is_a_problem_of_each_mask(root, reader):
    dataset = open_dataset(root, lazy_init=True)
    dataset.label_map = {0: 0, 3: 300}
    dataset.full_init()
    with pytest.raises(ValueError, match=r'mask .*001\.png: .*300'):
        ClassIndex.build(dataset, reader)


@pytest.mark.parametrize('image', [-1, 2])
def test_an_image_out_of_range_is_an_error(image):
    index = ClassIndex.from_counts([{0: 1}, {1: 1}], 2)
    with pytest.raises(IndexError):
        index.pixels(image, 0)
    with pytest.raises(IndexError):
        index.classes_in(image)


@pytest.mark.parametrize('label', [-1, 2, 255])
def test_a_label_out_of_range_is_an_error(label):
    index = ClassIndex.from_counts([{0: 1}, {1: 1}], 2)
    with pytest.raises(ValueError, match='expected 0..1'):
        index.pixels(0, label)
    with pytest.raises(ValueError, match='expected 0..1'):
        index.images_with(label)


# ------------------------------------------------------------------------ bad input


def test_a_missing_mask_is_named(root):
    os.remove(root / 'masks/001.png')
    with pytest.raises(
        FileNotFoundError, match=r'mask .*001\.png does not.*\n.*suffix'
    ):
        build(root)


def test_a_missing_image_is_named(root):
    dataset = open_dataset(root)  # lists the images that are there
    os.remove(root / 'images/001.png')
    with pytest.raises(FileNotFoundError, match=r'image .*001\.png does not'):
        ClassIndex.build(dataset, LoadMask())


def test_images_need_not_be_there_when_not_checked(root):
    dataset = open_dataset(root)
    os.remove(root / 'images/001.png')
    assert ClassIndex.build(dataset, LoadMask(), check_images=False).num_images == 4


def test_a_truncated_mask_is_named(root):
    with open(root / 'masks/001.png', 'r+b') as file:
        file.truncate(100)
    with pytest.raises(ValueError, match=r'masks/001\.png: cannot be decoded'):
        build(root)


def test_an_image_that_is_none_is_named(root):
    (root / 'images/001.png').write_text('not an image')
    with pytest.raises(ValueError, match=r'images/001\.png: not an image'):
        build(root)


def test_a_mask_of_another_size_is_named_with_both_sizes(root):
    save(root / 'masks/001.png', np.zeros((2, 3), np.uint8))
    with pytest.raises(ValueError, match=r'001\.png is 2x2.*001\.png 3x2\n.*belong'):
        build(root)


@pytest.mark.parametrize(('orientation', 'fits'), [(1, False), (3, False), (6, True)])
def test_a_mask_may_be_upright_over_a_rotated_photo(root, orientation, fits):
    save(root / 'images/000.png', np.zeros((3, 2, 3), np.uint8), orientation)
    if fits:
        assert build(root).num_images == 4
    else:
        with pytest.raises(ValueError, match='is 2x3'):
            build(root)


def test_a_mask_may_be_on_the_stored_pixels_of_a_rotated_photo(root):
    save(root / 'images/000.png', np.zeros((2, 3, 3), np.uint8), 6)
    assert build(root).num_images == 4


def test_values_outside_the_classes_are_named_with_the_range(root):
    save(root / 'masks/001.png', np.array([[4, 9], [0, 255]], np.uint8))
    with pytest.raises(
        ValueError, match=r'001\.png: labels \[4, 9\]; expected 0\.\.3, or 255'
    ):
        build(root)


def test_a_mask_of_colours_is_named(root):
    save(root / 'masks/001.png', np.array([[[1, 2, 3]]], np.uint8))
    with pytest.raises(ValueError, match=r'masks/001\.png.*expected index masks'):
        build(root)


def test_all_problems_are_counted_and_ten_are_listed(tmp_path):
    write_files(tmp_path / 'data', [np.full((1, 2), 9, np.uint8)] * 12)
    os.remove(tmp_path / 'data/masks/000.png')
    with pytest.raises(ValueError, match='12 problem') as error:
        build(tmp_path / 'data')
    lines = str(error.value).splitlines()
    assert sum(line.startswith(('- mask', '- image')) for line in lines) == 10
    assert '- ... and 2 more' in lines


def test_workers_report_problems_as_one_process_does(tmp_path):
    write_files(
        tmp_path / 'data', [np.full((1, 2), i % 6, np.uint8) for i in range(40)]
    )
    messages = []
    for workers in (1, 2):
        with pytest.raises(ValueError, match='problem') as error:
            ClassIndex.build(
                open_dataset(tmp_path / 'data'), LoadMask(), workers=workers
            )
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_a_data_set_without_classes_is_an_error(root):
    with pytest.raises(ValueError, match='4 images and 0 classes'):
        build(root, dataset={'metainfo': None})


def test_an_empty_data_set_is_an_error(root):
    with pytest.raises(ValueError, match='0 images and 4 classes.*data_root'):
        build(root, dataset={'indices': 0})


# ------------------------------------------------------------------------- the cache


def cache_files(folder: Path) -> list[Path]:
    return sorted(folder.glob('*.npz'))


def test_the_second_time_nothing_is_scanned(root, scans):
    first, second = build(root), build(root)
    assert len(scans) == 1
    assert entries(first) == entries(second)


def test_the_cache_lies_in_the_given_folder_or_the_usual_one(root, tmp_path):
    build(root, cache_dir=tmp_path / 'here')
    assert len(cache_files(tmp_path / 'here')) == 1
    build(root)
    assert len(cache_files(Path(os.environ['MMSSP_CACHE']) / 'class_index')) == 1


def test_relative_and_absolute_paths_share_a_cache(root, scans, monkeypatch):
    build(root)
    monkeypatch.chdir(root.parent)
    build(Path(root.name))
    assert len(scans) == 1


class OtherReader(LoadMask):
    """The same but for its type."""

    def __repr__(self) -> str:
        return repr(LoadMask())


@pytest.mark.parametrize(
    'change',
    [
        {'dataset': {'indices': 3}},
        {'dataset': {'reduce_zero_label': True}},
        {'dataset': {'metainfo': {'classes': (*CLASSES, 'cup')}}},
        {'reader': LoadMask(backend_args={'backend': 'local'})},
        {'reader': OtherReader()},
        {'check_images': False},
    ],
    ids=lambda change: '-'.join(change),
)
def test_other_settings_have_their_own_cache(root, scans, change):
    build(root)
    build(root, **change)
    build(root)
    build(root, **change)
    assert len(scans) == 2


def test_another_label_map_has_its_own_cache(root, scans):
    for labels in ({3: 1}, {3: 2}, {3: 1}):
        dataset = open_dataset(root, lazy_init=True)
        dataset.label_map = labels
        dataset.full_init()
        index = ClassIndex.build(dataset, LoadMask())
        assert index.classes_in(1) == {labels[3]: 4}
    assert len(scans) == 2


def test_a_changed_mask_is_seen_by_its_size(root, scans):
    path = root / 'masks/001.png'
    build(root)
    state = path.stat()
    save(path, np.array([[1, 2], [3, 0]], np.uint8))
    path.write_bytes(path.read_bytes() + b'behind the end')
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert build(root).classes_in(1) == {0: 1, 1: 1, 2: 1, 3: 1}
    assert len(scans) == 2


@pytest.mark.parametrize('folder', ['masks', 'images'])
def test_a_changed_file_is_seen_by_its_time(root, scans, folder):
    build(root)
    state = (root / folder / '001.png').stat()
    os.utime(root / folder / '001.png', ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    build(root)
    assert len(scans) == 2


def test_a_file_lost_after_the_scan_is_an_error(root):
    dataset = open_dataset(root)
    ClassIndex.build(dataset, LoadMask())
    os.remove(root / 'images/001.png')
    with pytest.raises(FileNotFoundError):
        ClassIndex.build(dataset, LoadMask())


def test_a_failed_scan_leaves_no_cache(root, tmp_path):
    save(root / 'masks/001.png', np.full((2, 2), 9, np.uint8))
    with pytest.raises(ValueError, match='labels'):
        build(root, cache_dir=tmp_path / 'cache')
    assert cache_files(tmp_path / 'cache') == []


def rewrite(path: Path, **changes) -> None:
    """Change arrays without their checksum."""
    with np.load(path) as file:
        arrays = {name: changes.get(name, file[name]) for name in file.files}
    np.savez(path, **arrays)


DAMAGES = {
    'empty': lambda path: path.write_bytes(b''),
    'garbage': lambda path: path.write_bytes(b'garbage' * 99),
    'cut': lambda path: path.write_bytes(path.read_bytes()[:300]),
    'bits': lambda path: path.write_bytes(
        path.read_bytes().replace(b'\x03\0\0\0', b'\2\0\0\0')
    ),
    'no checksum': lambda path: np.savez(path, offsets=[0]),
    'pickle': lambda path: rewrite(path, counts=np.array([{}], object)),
    'other counts': lambda path: rewrite(path, counts=np.full(7, 9)),
    'other types': lambda path: rewrite(path, counts=np.full(7, 'x')),
    'other shape': lambda path: rewrite(path, labels=np.zeros((7, 1), int)),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_a_damaged_cache_is_rebuilt_with_a_warning(root, scans, tmp_path, name):
    expected = entries(build(root, cache_dir=tmp_path))
    (path,) = cache_files(tmp_path)
    DAMAGES[name](path)
    with pytest.warns(UserWarning, match=r'\.npz is damaged .* made anew') as warned:
        assert entries(build(root, cache_dir=tmp_path)) == expected
    assert len(warned) == 1
    assert len(scans) == 2
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert entries(build(root, cache_dir=tmp_path)) == expected
    assert len(scans) == 2


def test_the_cache_of_another_data_set_is_not_trusted(root, scans, tmp_path):
    expected = entries(build(root, cache_dir=tmp_path))
    (path,) = cache_files(tmp_path)
    build(root, cache_dir=tmp_path / 'other', dataset={'indices': 3})
    (other,) = cache_files(tmp_path / 'other')
    other.replace(path)
    with pytest.warns(UserWarning, match='checksum'):
        assert entries(build(root, cache_dir=tmp_path)) == expected


def test_a_folder_that_cannot_be_written_gives_one_warning(root, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.warns(UserWarning, match='cannot be written .*MMSSP_CACHE') as warned:
        index = build(root, cache_dir=tmp_path / 'file' / 'cache')
    assert len(warned) == 1
    assert index.classes_in(1) == {3: 4}


def test_a_full_disk_gives_one_warning_and_leaves_nothing(root, tmp_path, monkeypatch):
    def full(path, **arrays):
        path.write_bytes(b'PK')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(array_cache.np, 'savez', full)
    with pytest.warns(UserWarning, match='No space left') as warned:
        assert build(root, cache_dir=tmp_path / 'cache').classes_in(1) == {3: 4}
    assert len(warned) == 1
    assert [path.suffix for path in (tmp_path / 'cache').iterdir()] == ['.lock']


class Interrupted(LoadMask):
    def _load_seg_map(self, results: dict) -> None:
        raise KeyboardInterrupt


def test_an_interrupt_leaves_nothing_behind_but_a_free_lock(root, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        build(root, Interrupted(), cache_dir=tmp_path / 'cache')
    assert {path.suffix for path in (tmp_path / 'cache').iterdir()} <= {'.lock'}
    (lock,) = (tmp_path / 'cache').iterdir()
    with FileLock(lock, timeout=0):
        pass


class Nameless(BaseTransform):
    """A reader without a repr."""

    def transform(self, results: dict) -> dict:
        return LoadMask()(results)


def test_a_reader_that_does_not_tell_its_settings_is_not_cached(root, scans):
    for _ in range(2):
        with pytest.warns(UserWarning, match='__repr__'):
            assert build(root, Nameless()).classes_in(1) == {3: 4}
    assert len(scans) == 2


class Noted(LoadMask):
    """Notes every mask that it reads."""

    def __init__(self, log: str | Path) -> None:
        super().__init__()
        self.log = log

    def _load_seg_map(self, results: dict) -> None:
        with open(self.log, 'a') as file:
            file.write('x')
        super()._load_seg_map(results)


def _build_in_process(root, log, cache_dir, barrier, results) -> None:
    dataset = open_dataset(root)
    barrier.wait()
    index = ClassIndex.build(dataset, Noted(log), cache_dir=cache_dir, workers=1)
    results.put(entries(index))


def test_of_processes_that_start_together_one_scans(tmp_path):
    masks = [np.full((40, 50), i % 4, np.uint8) for i in range(100)]
    write_files(tmp_path / 'data', masks)
    context = multiprocessing.get_context('fork')
    barrier, results = context.Barrier(3), context.Queue()
    log = tmp_path / 'log'
    arguments = (tmp_path / 'data', log, tmp_path / 'cache', barrier, results)
    processes = [
        context.Process(target=_build_in_process, args=arguments) for _ in range(3)
    ]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert found == [[naive(mask) for mask in masks]] * 3
    assert len(log.read_text()) == len(masks)

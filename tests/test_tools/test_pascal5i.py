"""The preparation of PASCAL-5i: which masks, which list, and what it refuses."""

import importlib.util
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import exit_code
from mmseg.datasets import PascalVOCDataset
from mmseg.registry import DATASETS
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

TOOL = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'pascal5i.py'
_spec = importlib.util.spec_from_file_location('pascal5i', TOOL)
pascal5i = importlib.util.module_from_spec(_spec)
sys.modules['pascal5i'] = pascal5i  # processes find the function by its module's name
_spec.loader.exec_module(pascal5i)

VOC_TRAIN, VOC_VAL = ['v_train', 'both_train'], ['v_val', 'both_val']
SBD_TRAIN = [f's_{i:02d}' for i in range(20)] + ['both_val']
SBD_VAL = ['a_sbd', 'both_train']
TRAINAUG = sorted({*VOC_TRAIN, *SBD_TRAIN, *SBD_VAL} - {*VOC_VAL})
ALL = sorted({*TRAINAUG, *VOC_VAL})


def size_of(name: str) -> tuple[int, int]:
    """Height and width; they differ from image to image."""
    return 20 + ALL.index(name) % 3, 31


def voc_mask(name: str) -> np.ndarray:
    mask = np.full(size_of(name), 20, np.uint8)
    mask[:2], mask[2] = 0, 255
    return mask


def sbd_mask(name: str) -> np.ndarray:
    mask = np.zeros(size_of(name), np.uint8)
    mask[5:, 4:] = 1 + ALL.index(name) % 20
    return mask


def write_mat(path: Path, mask: np.ndarray) -> None:
    """The fields of SBD's own files."""
    boundaries = np.empty((20, 1), object)
    for i in range(20):
        boundaries[i, 0] = csc_matrix(np.eye(*mask.shape) > i)
    content = {
        'Boundaries': boundaries,
        'Segmentation': mask,
        'CategoriesPresent': np.unique(mask[mask > 0]),
    }
    savemat(path, {'GTcls': content}, do_compression=True)


def write_list(path: Path, names: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(names) + '\n')


@pytest.fixture
def data(tmp_path) -> tuple[Path, Path]:
    """Folders VOC2012 and benchmark_RELEASE in the layout of the archives."""
    voc, sbd = tmp_path / 'VOCdevkit' / 'VOC2012', tmp_path / 'benchmark_RELEASE'
    for folder in (
        voc / 'JPEGImages',
        voc / 'SegmentationClass',
        sbd / 'dataset' / 'cls',
    ):
        folder.mkdir(parents=True)
    for name in ALL:
        image = Image.new('RGB', size_of(name)[::-1], (90, 120, 60))
        image.save(voc / 'JPEGImages' / f'{name}.jpg')
    for name in VOC_TRAIN + VOC_VAL:
        mask = Image.fromarray(voc_mask(name))
        mask.save(voc / 'SegmentationClass' / f'{name}.png')
    for name in SBD_TRAIN + SBD_VAL:
        write_mat(sbd / 'dataset' / 'cls' / f'{name}.mat', sbd_mask(name))
    write_list(voc / 'ImageSets' / 'Segmentation' / 'train.txt', VOC_TRAIN)
    write_list(voc / 'ImageSets' / 'Segmentation' / 'val.txt', VOC_VAL)
    write_list(sbd / 'dataset' / 'train.txt', SBD_TRAIN)
    write_list(sbd / 'dataset' / 'val.txt', SBD_VAL)
    return voc, sbd


@pytest.fixture
def tool(capsys):
    """Run the command in this process: (exit code, its stdout, its stderr)."""

    def run(*args) -> tuple[int, str, str]:
        code = exit_code(
            lambda: pascal5i.run(pascal5i.main, pascal5i.parse_args), *args
        )
        return code, *capsys.readouterr()

    return run


def read(voc: Path, name: str) -> np.ndarray:
    return np.array(Image.open(voc / 'SegmentationClassAug' / f'{name}.png'))


def trainaug(voc: Path) -> Path:
    return voc / 'ImageSets' / 'Segmentation' / 'trainaug.txt'


def names_in(folder: Path) -> list[str]:
    """Hidden files included."""
    return sorted(os.listdir(folder))


@pytest.mark.parametrize('workers', [1, 2])
def test_voc_masks_win_and_sbd_gives_the_rest(data, workers):
    voc, sbd = data
    done = pascal5i.prepare_pascal5i(voc, sbd, workers=workers)
    assert (done.written, done.kept) == (len(ALL), 0)
    assert names_in(voc / 'SegmentationClassAug') == [f'{name}.png' for name in ALL]
    for name in ALL:
        own = name in VOC_TRAIN + VOC_VAL
        expected = voc_mask(name) if own else sbd_mask(name)
        np.testing.assert_array_equal(read(voc, name), expected)


def test_list_is_sorted_and_without_voc_val(data):
    voc, sbd = data
    done = pascal5i.prepare_pascal5i(voc, sbd, workers=1)
    assert trainaug(voc).read_text().split('\n') == [*TRAINAUG, '']
    assert done.trainaug == TRAINAUG


def test_folder_dataset_of_sbd_is_accepted_itself(data):
    voc, sbd = data
    done = pascal5i.prepare_pascal5i(voc, sbd / 'dataset', workers=1)
    assert done.trainaug == TRAINAUG


def test_masks_have_the_colours_of_voc(data):
    voc, sbd = data
    pascal5i.prepare_pascal5i(voc, sbd, workers=1)
    picture = Image.open(voc / 'SegmentationClassAug' / 'a_sbd.png')
    palette = np.reshape(picture.getpalette(), (256, 3))
    assert picture.mode == 'P'
    assert palette[:21].tolist() == PascalVOCDataset.METAINFO['palette']
    assert palette[255].tolist() == [224, 224, 192]


def test_other_folder_leaves_voc_alone(data, tmp_path):
    voc, sbd = data
    pascal5i.prepare_pascal5i(voc, sbd, tmp_path / 'out', workers=1)
    assert trainaug(tmp_path / 'out').is_file()
    assert read(tmp_path / 'out', 'a_sbd').any()
    assert not trainaug(voc).exists()
    assert not (voc / 'SegmentationClassAug').exists()


@pytest.mark.filterwarnings('ignore:.*these classes are left out')
def test_episodes_load_what_was_prepared(data):
    import mmssp  # noqa: F401  (registers all components)

    voc, sbd = data
    pascal5i.prepare_pascal5i(voc, sbd, workers=1)
    dataset = DATASETS.build(
        dict(
            type='EpisodicDataset',
            dataset=dict(
                type='PascalVOCDataset',
                data_root=str(voc),
                ann_file='ImageSets/Segmentation/trainaug.txt',
                data_prefix=dict(
                    img_path='JPEGImages', seg_map_path='SegmentationClassAug'
                ),
            ),
            pipeline=[dict(type='LoadImage'), dict(type='LoadMask')],
            split='base',
            fold=0,
            min_pixels=1,
            allow_missing_classes=True,
            workers=1,
        )
    )
    assert len(dataset.dataset) == len(TRAINAUG)
    item = dataset[0]
    truth = item['data_samples'].gt_sem_seg.data.numpy()[0]
    class_id = item['data_samples'].class_id
    source = read(voc, Path(item['data_samples'].img_path).stem)
    assert (truth == 1).any()
    np.testing.assert_array_equal(truth == 1, source == class_id)


def test_whole_masks_are_kept_and_truncated_ones_made_again(data):
    voc, sbd = data
    pascal5i.prepare_pascal5i(voc, sbd, workers=1)
    target = voc / 'SegmentationClassAug' / 's_03.png'
    whole = target.read_bytes()
    target.write_bytes(whole[: len(whole) // 2])
    (voc / 'SegmentationClassAug' / 's_04.png').unlink()
    done = pascal5i.prepare_pascal5i(voc, sbd, workers=1)
    assert (done.written, done.kept) == (2, len(ALL) - 2)
    assert target.read_bytes() == whole


def test_mask_of_another_size_is_made_again(data):
    voc, sbd = data
    (voc / 'SegmentationClassAug').mkdir()
    Image.new('L', (4, 4)).save(voc / 'SegmentationClassAug' / 'a_sbd.png')
    pascal5i.prepare_pascal5i(voc, sbd, workers=1)
    np.testing.assert_array_equal(read(voc, 'a_sbd'), sbd_mask('a_sbd'))


def test_force_writes_all_masks(data):
    voc, sbd = data
    pascal5i.prepare_pascal5i(voc, sbd, workers=1)
    changed = np.full(size_of('a_sbd'), 7, np.uint8)
    write_mat(sbd / 'dataset' / 'cls' / 'a_sbd.mat', changed)
    kept = pascal5i.prepare_pascal5i(voc, sbd, workers=1)
    assert (kept.written, read(voc, 'a_sbd').max()) == (0, sbd_mask('a_sbd').max())
    assert pascal5i.prepare_pascal5i(voc, sbd, workers=1, force=True).kept == 0
    np.testing.assert_array_equal(read(voc, 'a_sbd'), changed)


def _cell(value: object) -> np.ndarray:
    cell = np.empty((1, 1), object)
    cell[0, 0] = value
    return cell


@pytest.mark.parametrize('shape', [(5, 7), (1, 7), (7, 1), (1, 1)])
@pytest.mark.parametrize('compress', [False, True])
@pytest.mark.parametrize(
    'nest',
    [
        lambda mask: {'Segmentation': mask},
        lambda mask: {'Boundaries': _cell(mask > 3), 'Segmentation': mask},
        lambda mask: {'Segmentation': _cell(mask)},
        lambda mask: _cell({'Segmentation': mask}),
        lambda mask: _cell(_cell({'Segmentation': _cell(mask)})),
        lambda mask: np.array([[(mask,)]], dtype=[('Segmentation', object)]),
        lambda mask: {'Segmentation': mask.astype(float)},
    ],
    ids=['struct', 'fields', 'cell', 'in cell', 'deep', 'record', 'double'],
)
def test_every_nesting_gives_the_same_mask(tmp_path, nest, compress, shape):
    mask = (np.arange(shape[0] * shape[1]) % 20 + 1).reshape(shape).astype(np.uint8)
    path = tmp_path / 'x.mat'
    savemat(path, {'GTcls': nest(mask)}, do_compression=compress)
    found = pascal5i.read_sbd_mask(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize('content', [{'GTinst': {'Segmentation': 1}}, {'GTcls': 3}])
def test_other_structs_are_refused(tmp_path, content):
    savemat(tmp_path / 'x.mat', content)
    with pytest.raises(ValueError, match=r'x\.mat: no mask GTcls\.Segmentation'):
        pascal5i.read_sbd_mask(tmp_path / 'x.mat')


def test_truncated_mat_files_are_refused_wherever_they_end(tmp_path):
    path = tmp_path / 'x.mat'
    write_mat(path, sbd_mask('a_sbd'))
    whole = path.read_bytes()
    for end in (0, 3, 100, 128, 130, 200, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r'x\.mat: (cannot be read|no mask)'):
            pascal5i.read_sbd_mask(path)


@pytest.mark.parametrize('value', [21, 255, 2.5])
def test_values_that_are_no_class_are_refused(tmp_path, value):
    savemat(tmp_path / 'x.mat', {'GTcls': {'Segmentation': np.full((3, 4), value)}})
    with pytest.raises(ValueError, match=rf'x\.mat: values {value}.*0\.\.20'):
        pascal5i.read_sbd_mask(tmp_path / 'x.mat')


@pytest.mark.parametrize('workers', [1, 2])
def test_all_bad_masks_are_named_and_nothing_is_listed(data, workers):
    voc, sbd = data
    cls = sbd / 'dataset' / 'cls'
    (cls / 'a_sbd.mat').write_bytes((cls / 'a_sbd.mat').read_bytes()[:300])
    write_mat(cls / 's_05.mat', np.zeros((9, 9), np.uint8))
    Image.new('L', (31, 20), 99).save(voc / 'SegmentationClass' / 'v_val.png')
    with pytest.raises(ValueError) as caught:
        pascal5i.prepare_pascal5i(voc, sbd, workers=workers)
    message = str(caught.value)
    assert message.startswith(f'3 of {len(ALL)} masks')
    assert 'a_sbd.mat: cannot be read' in message
    assert 's_05.mat: height and width (9, 9)' in message
    assert 'v_val.png: values 99; expected class indices 0..20 and 255' in message
    assert not trainaug(voc).exists()
    names = set(names_in(voc / 'SegmentationClassAug'))
    assert names == {f'{n}.png' for n in ALL} - {'a_sbd.png', 's_05.png', 'v_val.png'}


def test_missing_images_are_counted_and_ten_named(data):
    voc, sbd = data
    for i in range(12):
        (voc / 'JPEGImages' / f's_{i:02d}.jpg').unlink()
    with pytest.raises(FileNotFoundError) as caught:
        pascal5i.prepare_pascal5i(voc, sbd, workers=1)
    message = str(caught.value)
    assert message.startswith('12 files')
    assert 's_09.jpg' in message and '(12 in all)' in message
    assert 's_10.jpg' not in message
    assert not (voc / 'SegmentationClassAug').exists()


@pytest.mark.parametrize(
    'path', ['SegmentationClass/v_val.png', 'dataset/cls/a_sbd.mat']
)
def test_missing_masks_are_named(data, path):
    voc, sbd = data
    (voc / path if 'Class' in path else sbd / path).unlink()
    with pytest.raises(FileNotFoundError, match=f'1 files.*{Path(path).name}'):
        pascal5i.prepare_pascal5i(voc, sbd, workers=1)


def test_mat_file_is_not_needed_where_voc_has_a_mask(data):
    voc, sbd = data
    (sbd / 'dataset' / 'cls' / 'both_val.mat').unlink()
    assert pascal5i.prepare_pascal5i(voc, sbd, workers=1).trainaug == TRAINAUG


def test_wrong_folders_are_named_with_the_archives(data):
    voc, sbd = data
    with pytest.raises(
        FileNotFoundError, match=r'JPEGImages/.*VOCtrainval_11-May-2012'
    ):
        pascal5i.prepare_pascal5i(voc.parent, sbd)
    with pytest.raises(
        FileNotFoundError, match=r'nowhere is no folder.*benchmark\.tgz'
    ):
        pascal5i.prepare_pascal5i(voc, sbd / 'nowhere')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'names no image'),
        ('v_train 1\n', "line 1: found 'v_train 1'"),
        ('v_train\n../v_train\n', "line 2: found '../v_train'"),
        ('\0\xff', 'line 1'),
    ],
)
def test_lists_of_anything_but_names_are_refused(data, text, message):
    voc, sbd = data
    path = voc / 'ImageSets' / 'Segmentation' / 'train.txt'
    path.write_bytes(text.encode('latin-1'))
    with pytest.raises(ValueError, match=message):
        pascal5i.prepare_pascal5i(voc, sbd, workers=1)


def test_masks_of_sbd_never_get_into_vocs_own_folder(data):
    voc, sbd = data
    (voc / 'SegmentationClassAug').symlink_to('SegmentationClass')
    before = names_in(voc / 'SegmentationClass')
    with pytest.raises(ValueError, match='same folder'):
        pascal5i.prepare_pascal5i(voc, sbd, workers=1)
    assert names_in(voc / 'SegmentationClass') == before


def test_command_prints_counts_and_warns_of_partial_data(tool, data):
    code, out, err = tool(*data, '--workers', 1)
    assert code == 0
    assert f'{len(ALL)} masks written, 0 were there already' in out
    assert f'trainaug.txt: {len(TRAINAUG)} images' in out
    warnings = [line for line in err.splitlines() if line.startswith('warning:')]
    assert len(warnings) == 1 and '10582' in warnings[0]


def test_command_does_not_warn_of_the_expected_number(tool, data, monkeypatch):
    monkeypatch.setattr(pascal5i, 'NUM_TRAINAUG', len(TRAINAUG))
    assert 'warning' not in tool(*data, '--workers', 1)[2]


def test_error_is_one_sentence(tool, data):
    voc, sbd = data
    (voc / 'JPEGImages' / 'a_sbd.jpg').unlink()
    code, out, err = tool(voc, sbd)
    assert (code, out) == (1, '')
    assert err.startswith('error: 1 files') and err.count('\n') == 1


def test_missing_scipy_is_said_clearly(tool, data, monkeypatch):
    monkeypatch.setitem(sys.modules, 'scipy.io', None)
    code, _, err = tool(*data)
    assert code == 1
    assert err.startswith('error: scipy') and 'pip install scipy' in err


def test_unwritable_folder_is_said_clearly(tool, data, tmp_path):
    (tmp_path / 'file').write_text('')
    code, _, err = tool(*data, '--out-dir', tmp_path / 'file')
    assert code == 1
    assert str(tmp_path / 'file') in err and '--out-dir' in err


def test_zero_workers_are_refused(tool, data):
    code, _, err = tool(*data, '--workers', 0)
    assert code == 1
    assert 'workers is 0' in err


def test_interrupt_leaves_no_part_of_a_file(tool, data, monkeypatch):
    save, count = Image.Image.save, []

    def interrupted(self, path, *args):
        count.append(path)
        if len(count) == 3:
            Path(path).write_bytes(b'\x89PNG')
            raise KeyboardInterrupt
        save(self, path, *args)

    monkeypatch.setattr(Image.Image, 'save', interrupted)
    code, _, err = tool(*data, '--workers', 1)
    voc = data[0]
    assert code == 130
    assert 'Traceback' not in err
    assert names_in(voc / 'SegmentationClassAug') == [f'{n}.png' for n in ALL[:2]]
    assert not trainaug(voc).exists()


@pytest.mark.skipif(not hasattr(signal, 'pthread_sigmask'), reason='POSIX only')
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_during_a_write_waits_until_the_file_is_whole(data, monkeypatch, number):
    save, heard = Image.Image.save, []

    def disturbed(self, path, *args):
        signal.raise_signal(number)
        save(self, path, *args)
        assert len(heard) == len(names_in(folder)) - 1  # one for each finished file

    folder = data[0] / 'SegmentationClassAug'
    monkeypatch.setattr(Image.Image, 'save', disturbed)
    before = signal.signal(number, lambda *_: heard.append(names_in(folder)))
    try:
        pascal5i.prepare_pascal5i(*data, workers=1)
    finally:
        signal.signal(number, before)
    assert heard == [[f'{n}.png' for n in ALL[: i + 1]] for i in range(len(ALL))]


def test_help_names_every_option(tool):
    code, out, _ = tool('--help')
    assert code == 0
    for word in (
        'VOC2012',
        'SBD',
        '--out-dir',
        '--workers',
        '--force',
        'benchmark.tgz',
    ):
        assert word in out

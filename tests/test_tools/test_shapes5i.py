"""Shapes-5i: what the tool draws, when it draws, and the data set that reads it."""

import errno
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import exit_code
from mmseg.datasets import PascalVOCDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmssp.datasets.shapes5i import CLASSES, Shapes5iDataset
from mmssp.utils.command import run

FOLDER = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
TRAIN, VAL = 20, 8


@pytest.fixture(scope='module')
def tool():
    """The tool as a module; its name must be known for its functions to be pickled."""
    sys.path.insert(0, str(FOLDER))
    try:
        import shapes5i
    finally:
        sys.path.remove(str(FOLDER))
    return shapes5i


@pytest.fixture(scope='module')
def drawn(tool, tmp_path_factory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp('shapes') / 'out'
    manifest = tool.draw_shapes5i(root, TRAIN, VAL, seed=0, workers=2)
    masks = {
        path.stem: np.array(Image.open(path))
        for path in sorted((root / 'SegmentationClass').iterdir())
    }
    return SimpleNamespace(root=root, manifest=manifest, masks=masks)


def command(tool, *arguments: object) -> int:
    return exit_code(lambda: run(tool.main, tool.parse_args), *arguments)


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob('*')
        if path.is_file()
    }


def fake_drawing(monkeypatch, tool, fail_at: int = -1, error=KeyboardInterrupt) -> list:
    """Replace the drawing by one grey image, optionally failing; record the calls."""
    calls = []

    def draw(seed, split, index, classes, settings):
        if len(calls) == fail_at:
            raise error
        calls.append((split, index))
        return np.full((8, 8, 3), 99, np.uint8), np.ones((8, 8), np.uint8)

    monkeypatch.setattr(tool, 'draw_scene', draw)
    return calls


def test_layout_is_that_of_voc(drawn):
    names = dict(
        train=[f'train_{i:05d}' for i in range(TRAIN)],
        val=[f'val_{i:05d}' for i in range(VAL)],
    )
    for split, expected in names.items():
        path = drawn.root / 'ImageSets' / 'Segmentation' / f'{split}.txt'
        assert path.read_text().split() == expected
    everything = sorted(names['train'] + names['val'])
    assert sorted(drawn.masks) == everything
    images = sorted((drawn.root / 'JPEGImages').iterdir())
    assert [path.name for path in images] == [f'{name}.jpg' for name in everything]


def test_images_and_masks_agree_in_size_and_sizes_vary(drawn):
    sizes = set()
    for name, mask in drawn.masks.items():
        with Image.open(drawn.root / 'JPEGImages' / f'{name}.jpg') as image:
            assert image.mode == 'RGB'
            assert image.size == mask.shape[::-1]
            sizes.add(image.size)
    assert all(240 <= side <= 320 for size in sizes for side in size)
    assert any(w > h for w, h in sizes)
    assert any(w < h for w, h in sizes)


def test_masks_have_the_palette_of_voc(drawn):
    with Image.open(drawn.root / 'SegmentationClass' / 'train_00000.png') as mask:
        assert mask.mode == 'P'
        palette = np.reshape(mask.getpalette(), (-1, 3))
    assert palette[:21].tolist() == PascalVOCDataset.METAINFO['palette']
    assert palette[255].tolist() == [224, 224, 192]


def test_masks_hold_classes_and_outlines_only(drawn):
    values = set(np.unique(np.concatenate([m.ravel() for m in drawn.masks.values()])))
    assert values == {*range(len(CLASSES) + 1), 255}


def test_outline_parts_every_object_from_everything_else(drawn):
    for mask in drawn.masks.values():
        pairs = [(mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])]
        for a, b in pairs:
            touching = (a != b) & (a != 255) & (b != 255)
            assert not touching.any()


def test_outline_is_thin(drawn):
    for mask in drawn.masks.values():
        objects = ((mask > 0) & (mask < 255)).sum()
        assert 0 < (mask == 255).sum() < 0.5 * objects


def test_every_image_shows_two_to_four_objects(drawn):
    counts = [len(set(np.unique(m)) - {0, 255}) for m in drawn.masks.values()]
    assert max(counts) <= 4
    assert np.mean([count >= 2 for count in counts]) > 0.8


def test_twenty_images_show_every_class_large(drawn):
    large = drawn.manifest['images_per_class']['train']
    assert list(large) == list(CLASSES)
    assert min(large.values()) >= 1


def test_manifest_counts_what_the_masks_show(drawn):
    for split in ('train', 'val'):
        masks = [m for name, m in drawn.masks.items() if name.startswith(split)]
        for label, name in enumerate(CLASSES, start=1):
            expected = sum((mask == label).sum() >= 2048 for mask in masks)
            assert drawn.manifest['images_per_class'][split][name] == expected


def test_instances_of_a_class_differ_in_colour(drawn):
    spread = []
    for label in range(1, len(CLASSES) + 1):
        means = []
        for name, mask in drawn.masks.items():
            if (mask == label).sum() >= 1000:
                image = np.array(Image.open(drawn.root / 'JPEGImages' / f'{name}.jpg'))
                means.append(image[mask == label].mean(0))
        if len(means) > 1:
            spread.append(np.std(means, axis=0).mean())
    assert np.mean(spread) > 20


def test_files_do_not_depend_on_the_number_of_processes(tool, drawn, tmp_path):
    tool.draw_shapes5i(tmp_path, TRAIN, VAL, seed=0, workers=1)
    assert contents(tmp_path) == contents(drawn.root)


def test_images_do_not_depend_on_how_many_there_are(tool, drawn, tmp_path):
    tool.draw_shapes5i(tmp_path, num_train=2, num_val=1, seed=0)
    expected = contents(drawn.root)
    pictures = {
        name: content
        for name, content in contents(tmp_path).items()
        if name.startswith(('JPEGImages', 'SegmentationClass'))
    }
    assert len(pictures) == 6
    assert all(expected[name] == content for name, content in pictures.items())


def test_splits_and_seeds_give_other_images(tool, tmp_path):
    tool.draw_shapes5i(tmp_path / 'a', 1, 1, seed=0)
    tool.draw_shapes5i(tmp_path / 'b', 1, 1, seed=1)
    images = [
        (tmp_path / folder / 'JPEGImages' / f'{split}_00000.jpg').read_bytes()
        for folder in 'ab'
        for split in ('train', 'val')
    ]
    assert len(set(images)) == 4


def test_every_class_is_the_main_one_once_in_twenty_images(tool):
    from shapes5i_drawing.scene import main_class

    for start in (0, 20, 380):
        labels = [main_class(0, 'train', i) for i in range(start, start + 20)]
        assert sorted(labels) == list(range(1, 21))


def test_every_class_has_a_silhouette(tool):
    from shapes5i_drawing.silhouettes import SILHOUETTES

    assert set(SILHOUETTES) == set(CLASSES)
    assert len(set(CLASSES)) == 20


def test_silhouette_covers_the_area_it_should(tool):
    from shapes5i_drawing.silhouettes import SILHOUETTES, render

    ring = SILHOUETTES['ring'](np.random.default_rng(0))
    inner = np.abs(ring[1][1]).max()
    coverage = render(ring, 40 * np.eye(2))
    assert coverage.sum() == pytest.approx(np.pi * 40**2 * (1 - inner**2), rel=0.03)
    assert coverage[coverage.shape[0] // 2, coverage.shape[1] // 2] == 0


def test_complete_folder_is_left_alone(monkeypatch, tool, tmp_path, capsys):
    calls = fake_drawing(monkeypatch, tool)
    first = tool.draw_shapes5i(tmp_path, 3, 2, workers=1)
    second = tool.draw_shapes5i(tmp_path, 3, 2, workers=1)
    assert len(calls) == 5
    assert first == second
    assert 'already' in capsys.readouterr().err


@pytest.mark.parametrize(
    'lost', ['JPEGImages/train_00001.jpg', 'ImageSets/Segmentation/val.txt']
)
def test_lost_file_is_drawn_again(monkeypatch, tool, tmp_path, lost):
    fake_drawing(monkeypatch, tool)
    tool.draw_shapes5i(tmp_path, 3, 2, workers=1)
    (tmp_path / lost).unlink()
    tool.draw_shapes5i(tmp_path, 3, 2, workers=1)
    assert (tmp_path / lost).is_file()


def test_other_parameters_replace_the_old_set(monkeypatch, tool, tmp_path):
    fake_drawing(monkeypatch, tool)
    tool.draw_shapes5i(tmp_path, 3, 2, workers=1)
    (tmp_path / 'JPEGImages' / 'mine.jpg').write_bytes(b'mine')
    tool.draw_shapes5i(tmp_path, 1, 2, workers=1)
    left = {path.name for path in (tmp_path / 'JPEGImages').iterdir()}
    assert left == {'train_00000.jpg', 'val_00000.jpg', 'val_00001.jpg', 'mine.jpg'}
    assert json.loads((tmp_path / tool.MANIFEST).read_text())['num_train'] == 1


def test_other_files_are_refused_and_stay(monkeypatch, tool, tmp_path, capsys):
    calls = fake_drawing(monkeypatch, tool)
    (tmp_path / 'thesis.txt').write_text('mine')
    assert command(tool, tmp_path, '--workers', '1') == 1
    assert '--force' in capsys.readouterr().err
    assert contents(tmp_path) == {'thesis.txt': b'mine'}
    assert not calls


def test_force_draws_beside_other_files(monkeypatch, tool, tmp_path):
    fake_drawing(monkeypatch, tool)
    (tmp_path / 'thesis.txt').write_text('mine')
    arguments = [str(tmp_path), '--train', '2', '--val', '1', '--force']
    assert command(tool, *arguments) == 0
    assert (tmp_path / 'thesis.txt').read_text() == 'mine'
    assert (tmp_path / tool.MANIFEST).is_file()


def test_interrupted_run_leaves_no_manifest_and_is_made_anew(
    monkeypatch, tool, tmp_path, capsys
):
    with monkeypatch.context() as patch:
        fake_drawing(patch, tool, fail_at=2)
        arguments = [str(tmp_path), '--train', '3', '--val', '1', '--workers', '1']
        assert command(tool, *arguments) == 130
    assert not (tmp_path / tool.MANIFEST).exists()
    assert 'not finished' in capsys.readouterr().err
    calls = fake_drawing(monkeypatch, tool)
    assert command(tool, *arguments) == 0
    assert len(calls) == 4
    assert {path.name for path in tmp_path.iterdir()} == {
        'ImageSets',
        'JPEGImages',
        'SegmentationClass',
        tool.MANIFEST,
    }


def test_full_disk_is_one_sentence(monkeypatch, tool, tmp_path, capsys):
    error = OSError(errno.ENOSPC, 'No space left on device')
    fake_drawing(monkeypatch, tool, fail_at=1, error=error)
    arguments = [str(tmp_path / 'out'), '--train', '3', '--val', '1', '--workers', '1']
    assert command(tool, *arguments) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith('error: cannot draw into')
    assert 'No space left on device' in message
    assert not (tmp_path / 'out' / tool.MANIFEST).exists()


def test_unwritable_folder_is_one_sentence(tool, tmp_path, capsys):
    (tmp_path / 'file').write_text('')
    assert command(tool, tmp_path / 'file' / 'out', '--train', '1') == 1
    error = capsys.readouterr().err
    assert error.startswith('error: cannot draw into')
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    'wrong', [['--train', '0'], ['--val', '-1'], ['--seed', '-1'], ['--workers', '0']]
)
def test_numbers_out_of_range_are_refused(tool, tmp_path, capsys, wrong):
    assert command(tool, tmp_path / 'out', *wrong) == 1
    assert f'is {wrong[1]}, expected at least' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_help_names_every_option(tool, capsys):
    assert command(tool, '--help') == 0
    text = capsys.readouterr().out
    for option in ('OUT', '--train', '--val', '--seed', '--workers', '--force'):
        assert option in text


def test_data_set_reads_what_was_drawn(drawn):
    dataset = DATASETS.build(
        dict(
            type='Shapes5iDataset',
            data_root=str(drawn.root),
            ann_file='ImageSets/Segmentation/val.txt',
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
        )
    )
    assert len(dataset) == VAL
    item = dataset[3]
    assert item['img'].shape[:2] == item['gt_seg_map'].shape
    assert np.array_equal(item['gt_seg_map'], drawn.masks['val_00003'])
    assert dataset.metainfo['classes'] == ('background', *CLASSES)
    assert len(dataset.metainfo['palette']) == 21


def test_data_set_defaults_to_the_training_list(drawn):
    assert len(Shapes5iDataset(data_root=str(drawn.root))) == TRAIN


@pytest.mark.parametrize(
    ('changed', 'missing'),
    [
        (dict(data_root='nowhere'), 'root folder at nowhere'),
        (dict(ann_file='test.txt'), 'list of images at .*test.txt'),
        (dict(data_prefix=dict(img_path='no')), 'folder of images at .*no'),
    ],
)
def test_missing_path_says_how_to_draw_it(drawn, changed, missing):
    with pytest.raises(FileNotFoundError, match=f'{missing}.*shapes5i.py'):
        Shapes5iDataset(**{'data_root': str(drawn.root), **changed})


def test_tool_runs_as_a_script(tmp_path):
    script = FOLDER / 'shapes5i.py'
    assert exit_code(script, tmp_path / 'out', '--train', 1, '--val', 1) == 0
    assert (tmp_path / 'out' / 'shapes5i.json').is_file()

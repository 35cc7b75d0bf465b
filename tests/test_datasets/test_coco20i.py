"""COCO-style JSONs as data sets: classes, labels, items."""

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
    uncompressed,
)
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image

from mmssp.datasets.coco20i import COCO20iDataset, CocoSegDataset


def test_the_stock_loader_reads_the_masks(make, tmp_path):
    dataset = make(content([annotation([box(2, 3, 12, 9)], 9)]))
    results = TRANSFORMS.build({'type': 'mmseg.LoadAnnotations'})(dataset[0])
    assert results['gt_seg_map'].dtype == np.uint8
    np.testing.assert_array_equal(np.unique(results['gt_seg_map']), [0, 3])


def test_an_item_holds_paths_and_nothing_heavy(make, tmp_path):
    info = make(content()).get_data_info(0)
    del info['sample_idx']
    assert info == {
        'img_path': str(tmp_path / 'images' / 'a.jpg'),
        'seg_map_path': info['seg_map_path'],
        'label_map': None,
        'reduce_zero_label': False,
        'seg_fields': [],
    }


def test_both_are_in_the_registry(make):
    assert DATASETS.get('CocoSegDataset') is CocoSegDataset
    assert DATASETS.get('COCO20iDataset') is COCO20iDataset


def test_classes_come_from_the_json_by_id(make):
    metainfo = make(content()).metainfo
    assert metainfo['classes'] == ('background', 'cat', 'dog', 'cup')
    assert len(metainfo['palette']) == 4


def test_classes_of_the_json_are_known_from_the_cache_too(make, monkeypatch):
    first = make(content()).metainfo
    no_parsing(monkeypatch)
    assert make().metainfo == first


def test_chosen_classes_set_the_labels_and_the_others_are_background(make):
    crowd = uncompressed(np.ones((HEIGHT, WIDTH), bool))
    annotations = [
        annotation([box(0, 0, 5, 5)], 7),
        annotation([box(10, 10, 20, 20)], 9),
        annotation([box(12, 12, 14, 14)], 3),
        annotation(crowd, 3, iscrowd=1),
    ]
    dataset = make(content(annotations), metainfo={'classes': ('cup', 'dog')})
    mask = mask_of(dataset)
    assert dataset.metainfo['classes'] == ('background', 'cup', 'dog')
    assert dataset.metainfo['label_map'] is None
    # cat lies on the cup: the cup is not to be seen there, nor is it ignored
    assert (mask[2, 2], mask[11, 11], mask[13, 13], mask[0, 29]) == (2, 1, 0, 0)


def test_other_classes_have_another_cache(make):
    everything = make(content())
    dogs = make(metainfo={'classes': ('background', 'dog')})
    assert mask_of(everything).any() and not mask_of(dogs).any()


def test_a_given_palette_is_kept_and_background_gets_black(make):
    metainfo = {'classes': ('cup', 'dog'), 'palette': [[1, 2, 3], [4, 5, 6]]}
    palette = make(content(), metainfo=metainfo).metainfo['palette']
    assert palette == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]


def test_a_category_called_background_is_label_0(make):
    categories = [{'id': 0, 'name': 'background'}, {'id': 5, 'name': 'cat'}]
    annotations = [annotation([box(0, 0, 9, 9)], 5), annotation([box(2, 2, 4, 4)], 0)]
    dataset = make(content(annotations, categories=categories))
    assert dataset.metainfo['classes'] == ('background', 'cat')
    assert (mask_of(dataset)[0, 0], mask_of(dataset)[3, 3]) == (1, 0)


def test_lazy_init_draws_nothing_until_it_is_asked(make, cache):
    dataset = make(content(), lazy_init=True)
    assert dataset.metainfo['classes'] == ('background', 'cat', 'dog', 'cup')
    assert not cache.exists()
    assert mask_of(dataset).any() and len(dataset) == 1


def test_lazy_init_with_known_classes_needs_no_json(tmp_path):
    dataset = COCO20iDataset(ann_file=str(tmp_path / 'none.json'), lazy_init=True)
    assert len(dataset.metainfo['classes']) == 81


def test_test_mode_works_with_classes_from_the_json(make):
    assert make(content(), test_mode=True).test_mode


def test_sub_folders_of_file_names_are_kept(make):
    images = [
        {'id': i, 'file_name': f'{i}/x.jpg', 'height': i, 'width': WIDTH}
        for i in (1, 2)
    ]
    dataset = make(content(images=images))
    assert [mask_of(dataset, i).shape[0] for i in (0, 1)] == [1, 2]
    assert dataset.get_data_info(1)['img_path'].endswith('images/2/x.jpg')


@pytest.mark.parametrize('other', ['a.png', 'A.jpg'])
def test_images_of_the_same_stem_have_masks_of_their_own(make, other):
    images = [
        {'id': i, 'file_name': name, 'height': i, 'width': WIDTH}
        for i, name in ((1, 'a.jpg'), (2, other))
    ]
    dataset = make(content(images=images))
    paths = {dataset.get_data_info(i)['seg_map_path'].lower() for i in (0, 1)}
    assert len(paths) == 2  # also where a file system sees no difference of case
    assert [mask_of(dataset, i).shape[0] for i in (0, 1)] == [1, 2]


# The ids that the official files leave out between 1 and 90.
GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


@pytest.fixture
def coco(make):
    def build(*category_ids, **kwargs):
        names = COCO20iDataset.METAINFO['classes'][1:]
        ids = [i for i in range(1, 91) if i not in GAPS]
        categories = [
            {'id': i, 'name': name} for i, name in zip(ids, names, strict=True)
        ]
        annotations = [
            annotation([box(3 * k, 0, 3 * k + 3, 3)], category)
            for k, category in enumerate(category_ids)
        ]
        what = content(annotations, categories=categories)
        return make(what, cls=COCO20iDataset, **kwargs)

    return build


def test_coco_ids_with_gaps_become_labels_1_to_80(coco):
    dataset = coco(1, 11, 13, 90)
    assert mask_of(dataset)[1, [1, 4, 7, 10]].tolist() == [1, 11, 12, 80]
    classes = dataset.metainfo['classes']
    assert (classes[1], classes[12], classes[80]) == (
        'person',
        'stop sign',
        'toothbrush',
    )


def test_some_of_coco_s_classes_keep_their_colours(coco):
    dataset = coco(90, metainfo={'classes': ('toothbrush', 'cat')})
    full = COCO20iDataset.METAINFO
    assert dataset.metainfo['palette'][1] == full['palette'][80]
    assert mask_of(dataset)[1, 1] == 1


def test_the_official_annotations_of_real_photos_load(tmp_path):
    root = Path(__file__).parents[2] / '../shared/data/coco128'
    if not root.is_dir():
        pytest.skip('needs ../shared/data/coco128')
    dataset = COCO20iDataset(
        data_root=str(root),
        ann_file='annotations/instances_train2017.json',
        data_prefix={'img_path': 'images'},
        indices=3,
    )
    for info in (dataset.get_data_info(i) for i in range(3)):
        mask = np.asarray(Image.open(info['seg_map_path']))
        assert mask.shape[::-1] == Image.open(info['img_path']).size
        assert mask.any()


def test_a_missing_image_folder_is_named_before_anything_is_drawn(make, cache):
    with pytest.raises(FileNotFoundError, match=r'images/nope.*data_prefix='):
        make(content(), data_prefix={'img_path': 'images/nope'})
    assert not cache.exists()


def test_a_class_that_is_no_category_is_named_with_those_there_are(make):
    with pytest.raises(ValueError, match=r"\['cow'\].*\['cat', 'cup', 'dog'\]"):
        make(content(), metainfo={'classes': ('background', 'cow', 'cat')})


@pytest.mark.parametrize('classes', [('cat', 'cat'), ('cat', 'background')])
def test_a_class_list_with_doubles_or_background_inside_is_refused(make, classes):
    with pytest.raises(ValueError, match='every name must occur once'):
        make(content(), metainfo={'classes': classes})


def test_reduce_zero_label_is_refused(make):
    with pytest.raises(ValueError, match='reduce_zero_label=True'):
        make(content(), reduce_zero_label=True)


def test_file_names_of_windows_are_found(make):
    images = [dict(id=1, file_name=r'sub\a.jpg', height=20, width=30)]
    info = make(content(images=images)).get_data_info(0)
    assert info['img_path'].endswith('images/sub/a.jpg')
    assert info['seg_map_path'].endswith('sub/a.png')

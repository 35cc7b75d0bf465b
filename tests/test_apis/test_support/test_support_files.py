"""Support images in folders and JSON files."""

import json
import unicodedata

import pytest

from mmssp.apis.support.support_files import find_support, support_digests


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def pairs(own):
    return [(i.name, a.name) for i, a in zip(own.images, own.annotations, strict=True)]


def labelme(path, *labels):
    shapes = [dict(label=label, points=[[0, 0], [3, 0], [0, 3]]) for label in labels]
    path.write_text(json.dumps(dict(shapes=shapes, imagePath=f'{path.stem}.jpg')))


def coco(folder, file_name='a.jpg', names=('cat', 'dog')):
    content = dict(
        images=[dict(id=7, file_name=file_name, height=4, width=4)],
        categories=[dict(id=i, name=n) for i, n in enumerate(names, start=3)],
        annotations=[
            dict(
                id=i,
                image_id=7,
                category_id=3 + i % len(names),
                segmentation=[[0, 0, 3, 0, 0, 3]],
                iscrowd=int(i == 3),
            )
            for i in range(4)
        ],
    )
    path = folder / 'labels.json'
    path.write_text(json.dumps(content))
    return path


def test_images_and_masks_in_two_folders(tmp_path):
    touch(tmp_path, 'images/b.jpg', 'images/a.png', 'masks/a.png', 'masks/b.png')
    (own,) = find_support(tmp_path)
    assert own.name == 'object'
    assert pairs(own) == [('a.png', 'a.png'), ('b.jpg', 'b.png')]


@pytest.mark.parametrize('mask', ['a_mask.png', 'a.png'])
def test_masks_beside_images(tmp_path, mask):
    (own,) = find_support(touch(tmp_path, 'a.jpg', mask), name='screw')
    assert own.name == 'screw'
    assert pairs(own) == [('a.jpg', mask)]


@pytest.mark.parametrize(
    'mask', ['a.jpg', 'a.gif', 'a.json', 'a_mask.png', 'a-mask.jpg', 'a_gt.bmp']
)
def test_masks_apart_are_of_any_format_and_may_be_marked(tmp_path, mask):
    touch(tmp_path, 'images/a.jpg', f'masks/{mask}')
    if mask == 'a.json':
        labelme(tmp_path / 'masks' / mask, 'object')
    (own,) = find_support(tmp_path)
    assert pairs(own) == [('a.jpg', mask)]


@pytest.mark.parametrize(
    'mask', ['masks/{}.png', 'masks/{}_mask.png', 'images/{}_mask.png']
)
def test_names_in_other_forms_of_unicode_are_the_same(tmp_path, mask):
    name = 'naïve café'
    image, other = (unicodedata.normalize(form, name) for form in ('NFC', 'NFD'))
    assert image != other
    touch(tmp_path, f'images/{image}.jpg', mask.format(other))
    (own,) = find_support(tmp_path)
    assert len(own.images) == len(own.annotations) == 1
    assert own.annotations[0].is_file()


def test_a_mark_that_is_part_of_the_images_name_is_no_mark(tmp_path):
    touch(tmp_path, 'images/a_gt.jpg', 'images/a.jpg', 'masks/a_gt.png', 'masks/a.png')
    (own,) = find_support(tmp_path)
    assert pairs(own) == [('a.jpg', 'a.png'), ('a_gt.jpg', 'a_gt.png')]


@pytest.mark.parametrize(
    ('json', 'image'),
    [
        ('_annotations.coco.json', 'a.jpg'),  # Roboflow
        ('annotations/instances_default.json', 'images/a.jpg'),  # CVAT
        ('result.json', 'images/a.jpg'),  # Label Studio
    ],
)
def test_a_folder_with_a_coco_file(tmp_path, json, image):
    touch(tmp_path, image)
    target = tmp_path / json
    target.parent.mkdir(exist_ok=True)
    coco(tmp_path).rename(target)
    cat, _ = find_support(tmp_path)
    assert cat.name == 'cat'
    assert cat.images == (tmp_path / image,)
    # by itself, the JSON needs to be told where they are, unless they are beside it
    if target.parent != (tmp_path / image).parent:
        with pytest.raises(FileNotFoundError, match='--support-images'):
            find_support(target)
    cat, _ = find_support(target, images_in=(tmp_path / image).parent)
    assert cat.images == (tmp_path / image,)


def test_images_of_a_json_stay_in_the_folder_that_was_named(tmp_path):
    touch(tmp_path, 'secret.jpg', 'photos/b.jpg')
    path = coco(tmp_path, '../secret.jpg')
    with pytest.raises(ValueError, match='not inside'):
        find_support(path, images_in=tmp_path / 'photos')
    with pytest.raises(FileNotFoundError, match='is no folder'):
        find_support(path, images_in=tmp_path / 'nowhere')
    with pytest.raises(ValueError, match='holds no COCO JSON'):
        find_support(tmp_path / 'photos', images_in=tmp_path)


def test_two_coco_files_in_a_folder_are_not_chosen_from(tmp_path):
    touch(tmp_path, 'a.jpg')
    (tmp_path / 'second.json').write_bytes(coco(tmp_path).read_bytes())
    with pytest.raises(ValueError, match=r'labels\.json, second\.json; name the one'):
        find_support(tmp_path)


def test_a_png_image_beside_its_mask(tmp_path):
    (own,) = find_support(touch(tmp_path, 'a.png', 'a_mask.png'))
    assert pairs(own) == [('a.png', 'a_mask.png')]


def test_a_folder_for_each_class(tmp_path):
    touch(tmp_path, 'screw/images/a.jpg', 'screw/masks/a.png', 'nut/b.jpg', 'nut/b.png')
    assert {c.name: pairs(c) for c in find_support(tmp_path)} == {
        'nut': [('b.jpg', 'b.png')],
        'screw': [('a.jpg', 'a.png')],
    }


def test_each_label_of_labelme_files_is_a_class(tmp_path):
    touch(tmp_path, 'a.jpg', 'b.jpg')
    labelme(tmp_path / 'a.json', 'screw', 'nut')
    labelme(tmp_path / 'b.json', 'screw')
    found = {c.name: (pairs(c), c.class_value) for c in find_support(tmp_path)}
    assert found == {
        'nut': ([('a.jpg', 'a.json')], 'nut'),
        'screw': ([('a.jpg', 'a.json'), ('b.jpg', 'b.json')], 'screw'),
    }


def test_one_labelme_file(tmp_path):
    touch(tmp_path, 'a.jpg')
    labelme(tmp_path / 'a.json', 'nut')
    (own,) = find_support(tmp_path / 'a.json')
    assert (own.name, pairs(own)) == ('nut', [('a.jpg', 'a.json')])


def test_categories_of_a_coco_file_are_classes_without_crowds(tmp_path):
    touch(tmp_path, 'a.jpg')
    cat, dog = find_support(coco(tmp_path))
    assert (cat.name, dog.name) == ('cat', 'dog')
    assert [a['id'] for a in cat.annotations[0]] == [0, 2]
    assert [a['id'] for a in dog.annotations[0]] == [1]
    assert cat.images == (tmp_path / 'a.jpg',)
    json.dumps(cat.annotations)


@pytest.mark.parametrize('kind', ['up', 'absolute', 'windows'])
def test_a_json_cannot_reach_out_of_its_folder(tmp_path, kind):
    touch(tmp_path, 'secret.jpg')
    (tmp_path / 'sup').mkdir()
    names = dict(up='../secret.jpg', absolute=str(tmp_path / 'secret.jpg'))
    path = coco(tmp_path / 'sup', names.get(kind, r'C:\secret.jpg'))
    with pytest.raises(ValueError, match='not inside the folder'):
        find_support(path)
    if kind != 'windows':
        assert find_support(path, allow_outside=True)


def test_one_name_for_several_classes_is_refused(tmp_path):
    touch(tmp_path, 'a.jpg')
    with pytest.raises(ValueError, match='2 classes'):
        find_support(coco(tmp_path), name='x')


@pytest.mark.parametrize(
    ('files', 'words'),
    [
        (
            ['images/a.jpg', 'images/b.jpg', 'masks/a.png'],
            'no annotation found for b.jpg',
        ),
        (['images/a.jpg', 'masks/a.png', 'masks/b.png'], 'no image found for b.png'),
        (['a.jpg'], 'no annotation found for a.jpg'),
        (['images/a.jpg'], 'no annotation found for a.jpg'),
        (['a.jpg', 'a.bmp', 'a_mask.png'], 'two images of one name'),
        (['notes.txt'], r'holds no labelled image, but notes\.txt; expected'),
        (
            ['images/a.jpg', 'masks/a.png', 'masks/a.jpg'],
            'two annotations of one image',
        ),
    ],
)
def test_what_does_not_fit_together_is_named(tmp_path, files, words):
    with pytest.raises(ValueError, match=words):
        find_support(touch(tmp_path, *files))


def test_missing_support_and_missing_image(tmp_path):
    with pytest.raises(FileNotFoundError, match='There is no support'):
        find_support(tmp_path / 'none')
    with pytest.raises(FileNotFoundError, match=r'a\.jpg does not exist'):
        find_support(coco(tmp_path))


def test_the_digest_knows_contents_and_settings(tmp_path):
    touch(tmp_path, 'a.jpg', 'a_mask.png')
    first = support_digests(find_support(tmp_path), False)
    assert support_digests(find_support(tmp_path), False) == first
    assert support_digests(find_support(tmp_path), True) != first
    assert support_digests(find_support(tmp_path, name='x'), False) != first
    touch(tmp_path, 'b.jpg', 'b_mask.png')
    assert {*first} < {*support_digests(find_support(tmp_path), False)}
    (tmp_path / 'b.jpg').unlink()
    (tmp_path / 'b_mask.png').unlink()
    (tmp_path / 'a_mask.png').write_text('another')
    assert support_digests(find_support(tmp_path), False) != first


def test_labelme_files_without_a_mark_are_an_error(tmp_path):
    touch(tmp_path, 'a.jpg')
    labelme(tmp_path / 'a.json')
    with pytest.raises(ValueError, match=r'a\.json: nothing is marked in it'):
        find_support(tmp_path)


@pytest.mark.parametrize(
    ('text', 'message'),
    [('{', 'is not valid JSON'), ('[]', 'is no LabelMe file')],
)
def test_other_json_beside_an_image_is_an_error(tmp_path, text, message):
    touch(tmp_path, 'a.jpg')
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError, match=rf'a\.json {message}'):
        find_support(tmp_path)


def test_another_kind_of_file_is_no_support(tmp_path):
    touch(tmp_path, 'a.txt')
    with pytest.raises(ValueError, match=r'a\.txt is no support; expected a folder'):
        find_support(tmp_path / 'a.txt')


def change(path, **changes):
    """Give the first annotation, or another part of a COCO JSON, other values."""
    content = json.loads(path.read_text())
    for key, value in changes.items():
        if key in content:
            content[key] = value
        else:
            content['annotations'][0][key] = value
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(image_id=8), r'the image 8 .int. and the category 3'),
        (dict(category_id=9), r'the image 7 .int. and the category 9'),
        (
            dict(annotations=['a mark']),
            'the image None .NoneType. and the category None',
        ),
        (dict(annotations=[]), 'no category has an annotation'),
        (dict(images=[dict(id=7)]), 'an image has the file name None'),
    ],
)
def test_coco_files_that_contradict_themselves_are_an_error(tmp_path, changes, message):
    touch(tmp_path, 'a.jpg')
    with pytest.raises(ValueError, match=message):
        find_support(change(coco(tmp_path), **changes))


def test_coco_run_lengths_are_kept_as_they_are(tmp_path):
    touch(tmp_path, 'a.jpg')
    rle = dict(size=[4, 4], counts=[4, 4, 8])
    cat, _ = find_support(change(coco(tmp_path), segmentation=rle))
    assert cat.annotations[0][0]['segmentation'] == rle

"""The demo page's handlers: from clicks to what the page shows, without a browser."""

import csv
import io
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from colour_model import ColourInferencer, scene
from PIL import Image
from pycocotools import mask as coco_mask

from mmssp.apis.export.formats import FORMATS

SIZE = (90, 120)
# outside of a page, Gradio turns what pops up into warnings of Python
pytestmark = pytest.mark.filterwarnings('ignore::UserWarning')


@pytest.fixture
def handlers(web, tmp_path):
    return web.handlers.Handlers(ColourInferencer(), [], tmp_path / 'downloads')


@pytest.fixture
def session(handlers):
    return handlers.start()


def save(path: Path, image: np.ndarray) -> str:
    Image.fromarray(image).save(path)
    return str(path)


def strokes(region: np.ndarray) -> dict:
    """What Gradio's editor gives for a drawing."""
    layer = np.zeros((*region.shape, 4), np.uint8)
    layer[region] = (230, 159, 0, 255)
    return dict(background=None, layers=[layer], composite=None)


def square(corner=(10, 20), side=30, size=SIZE) -> np.ndarray:
    region = np.zeros(size, bool)
    region[corner[0] : corner[0] + side, corner[1] : corner[1] + side] = True
    return region


def add(handlers, web, session, path, editor=None, name='block', **marks) -> dict:
    handlers.choose_image(session, path)
    values = dict(
        way=web.drawing.AREA, tighten=False, box='', mask_file=None, class_value=None
    )
    return handlers.add_shot(session, name, editor, *(values | marks).values())


def test_a_painted_shot_is_found_in_a_query(handlers, session, web, tmp_path):
    shown = add(
        handlers,
        web,
        session,
        save(tmp_path / 's.png', scene()),
        strokes(square()),
    )
    assert 'Added: block' in shown['status']
    assert len(shown['shots']) == 1
    query = save(tmp_path / 'q.png', scene((50, 70)))
    shown = handlers.segment(session, [query], 0.5)
    assert np.array_equal(session.results[0].mask == 1, square((50, 70)))
    assert 'q.png' in shown['scores']
    assert f'>{30 * 30} (' in shown['scores']
    for name in ('overlay', 'heat', 'first', 'trusted', 'final'):
        assert shown[name].shape == (*SIZE, 3)


def test_the_drawing_is_brought_to_the_size_of_the_image(web):
    small = strokes(square((5, 10), 15, (45, 60)))
    assert np.array_equal(web.drawing.painted(small, SIZE), square((10, 20), 30))


def test_an_outline_means_its_inside(web):
    outline = square() & ~square((13, 23), 24)
    mask = web.drawing.marked(outline, web.drawing.OUTLINE, scene(), False)
    assert np.array_equal(mask, square().astype(np.uint8))


def test_an_outline_at_the_border_does_not_fill_the_rest(web):
    outline = square((0, 0)) & ~square((3, 3), 24)
    mask = web.drawing.marked(outline, web.drawing.OUTLINE, scene(), False)
    assert np.array_equal(mask, square((0, 0)).astype(np.uint8))


def test_an_open_outline_is_refused(web):
    with pytest.raises(ValueError, match='not closed'):
        web.drawing.marked(square(), web.drawing.OUTLINE, scene(), False)


def test_a_line_from_corner_to_corner_means_its_box(web):
    line = np.zeros(SIZE, bool)
    line[range(10, 40), range(20, 50)] = True
    mask = web.drawing.marked(line, web.drawing.BOX, scene(), False)
    assert np.array_equal(mask == 1, square())


@pytest.mark.parametrize('text', ['20, 10, 50, 40', ' 20 10 50 40 ', '20;10;50;40'])
def test_a_typed_box_marks_its_pixels(handlers, session, web, tmp_path, text):
    add(handlers, web, session, save(tmp_path / 's.png', scene()), box=text)
    assert np.array_equal(session.shots[0].mask == 1, square())


def test_an_uploaded_mask_with_a_chosen_value(handlers, session, web, tmp_path):
    values = np.where(square(), 7, 3).astype(np.uint8)
    path = save(tmp_path / 's.png', scene())
    mask = save(tmp_path / 'mask.png', values)
    add(handlers, web, session, path, mask_file=mask, class_value=7)
    assert np.array_equal(session.shots[0].mask == 1, square())


@pytest.mark.parametrize(
    'marks, sentence',
    [
        (dict(), 'Nothing is drawn'),
        (dict(box='1, 2, three'), 'is no box'),
        (dict(box='500, 500, 600, 600'), '600'),
        (dict(name='  ', box='20, 10, 50, 40'), 'no name'),
        (dict(name='x' * 99, box='20, 10, 50, 40'), '99 characters'),
    ],
)
def test_bad_marks_are_answered_by_a_sentence_and_change_nothing(
    handlers, session, web, tmp_path, marks, sentence
):
    shown = add(
        handlers, web, session, save(tmp_path / 's.png', scene()), None, **marks
    )
    assert sentence in shown['status']
    assert 'wrong' in shown['status']
    assert not session.shots


def test_a_file_that_is_no_image_is_named_without_its_folder(
    handlers, session, tmp_path
):
    path = tmp_path / 'secret' / 'notes.png'
    path.parent.mkdir()
    path.write_text('hello')
    shown = handlers.choose_image(session, str(path))
    assert 'notes.png' in shown['status']
    assert 'secret' not in shown['status']


def test_an_image_of_too_many_pixels_is_refused(web, tmp_path):
    limits = web.session.Limits(max_pixels=100)
    handlers = web.handlers.Handlers(ColourInferencer(), [], tmp_path, limits)
    session = handlers.start()
    path = save(tmp_path / 'large.png', scene())
    assert 'large.png' in handlers.choose_image(session, path)['status']
    assert session.image is None


def test_more_classes_than_allowed_are_refused(web, tmp_path):
    limits = web.session.Limits(max_classes=1)
    handlers = web.handlers.Handlers(ColourInferencer(), [], tmp_path, limits)
    session = handlers.start()
    path = save(tmp_path / 's.png', scene())
    add(handlers, web, session, path, name='a', box='20, 10, 50, 40')
    shown = add(handlers, web, session, path, name='b', box='20, 10, 50, 40')
    assert 'the most for this page' in shown['status']
    assert session.class_names == ('a',)


def test_a_broken_query_does_not_stop_the_others(handlers, session, web, tmp_path):
    path = save(tmp_path / 's.png', scene())
    add(handlers, web, session, path, strokes(square()))
    broken = tmp_path / 'broken.png'
    broken.write_bytes(Path(path).read_bytes()[:60])
    shown = handlers.segment(session, [str(broken), path], 0.5)
    assert 'broken.png' in shown['status']
    assert session.query_names == ['s.png']


def test_of_several_queries_the_one_in_most_doubt_is_to_be_corrected_first(
    handlers, session, web, tmp_path
):
    add(handlers, web, session, save(tmp_path / 's.png', scene()), strokes(square()))
    clear = save(tmp_path / 'clear.png', scene((40, 50)))
    odd = save(tmp_path / 'odd.png', scene() // 2)
    assert 'doubt' not in handlers.segment(session, [clear], 0.5)['status']
    shown = handlers.segment(session, [clear, odd], 0.5)
    assert 'Most in doubt, so correct it first: odd.png.' in shown['status']
    learned = handlers.learn(session, 5, 0.5, None, lambda share, desc: None)
    assert 'Most in doubt' in learned['status']


@pytest.mark.parametrize('paths, sentence', [([], 'No query'), (None, 'No query')])
def test_segmenting_nothing_is_answered(
    handlers, session, web, tmp_path, paths, sentence
):
    add(
        handlers,
        web,
        session,
        save(tmp_path / 's.png', scene()),
        strokes(square()),
    )
    assert sentence in handlers.segment(session, paths, 0.5)['status']


def test_segmenting_without_support_is_answered(handlers, session, tmp_path):
    path = save(tmp_path / 'q.png', scene())
    assert 'No support yet' in handlers.segment(session, [path], 0.5)['status']


def test_another_threshold_needs_no_new_pass(handlers, session, web, tmp_path):
    path = save(tmp_path / 's.png', scene())
    add(handlers, web, session, path, strokes(square()))
    loose = handlers.segment(session, [path], 0.0)
    passes = session._inferencer.passes
    strict = handlers.show(session, 0.5, 'block', True)
    assert session._inferencer.passes == passes
    assert f'>{90 * 120} (' in loose['scores']
    assert f'>{30 * 30} (' in strict['scores']
    assert strict['zip'] is None


def test_another_query_can_be_selected(handlers, session, web, tmp_path):
    path = save(tmp_path / 's.png', scene())
    other = save(tmp_path / 'other.png', scene((40, 50)))
    add(handlers, web, session, path, strokes(square()))
    handlers.segment(session, [path, other], 0.5)
    shown = handlers.select(session, 1, 0.5, 'block')
    assert 'other.png' in shown['scores']
    assert 'gallery' not in shown


def test_removing_the_last_shot_of_a_class_removes_the_class(
    handlers, session, web, tmp_path
):
    path = save(tmp_path / 's.png', scene())
    for name in ('a', 'b'):
        add(handlers, web, session, path, strokes(square()), name=name)
    shown = handlers.remove_shot(session, 0)
    assert [label for _, label in shown['shots']] == ['1. b']
    assert session._inferencer.names == ('b',)


def test_removing_without_a_choice_is_answered(handlers, session):
    assert 'Choose' in handlers.remove_shot(session, None)['status']


def test_shots_that_disagree_are_told(handlers, session, web, tmp_path):
    path = save(tmp_path / 's.png', scene())
    add(handlers, web, session, path, strokes(square()))
    shown = add(handlers, web, session, path, strokes(square()))
    assert 'block: suspicious' in shown['status']


def test_clear_forgets_everything(handlers, session, web, tmp_path):
    path = save(tmp_path / 's.png', scene())
    add(handlers, web, session, path, strokes(square()))
    handlers.segment(session, [path], 0.5)
    shown = handlers.clear(session)
    assert (shown['shots'], shown['scores'], shown['overlay']) == ([], '', None)
    assert not session.results
    assert not session._inferencer.names


def test_sessions_do_not_see_each_other(handlers, web, tmp_path):
    one, other = handlers.start(), handlers.start()
    path = save(tmp_path / 's.png', scene())
    add(handlers, web, one, path, strokes(square()))
    assert not other.shots
    assert 'No support yet' in handlers.segment(other, [path], 0.5)['status']
    assert one.token != other.token


def test_an_unexpected_error_does_not_leave_the_server(
    handlers, session, monkeypatch, capsys
):
    monkeypatch.setattr(session, 'choose_image', lambda path: 1 / 0)
    shown = handlers.choose_image(session, 'a.png')
    assert 'Something went wrong inside' in shown['status']
    assert 'ZeroDivisionError' in capsys.readouterr().err


def test_names_cannot_bring_html_into_the_page(handlers, session, web, tmp_path):
    path = save(tmp_path / '<b>s.png', scene())
    add(handlers, web, session, path, strokes(square()), name='<img src=x>')
    shown = handlers.segment(session, [path], 0.5)
    assert '<img' not in shown['scores'] + shown['status']
    assert '<b>' not in shown['scores']


def test_the_zip_holds_masks_overlays_coco_and_scores(handlers, session, web, tmp_path):
    (tmp_path / 'again').mkdir()
    queries = [
        save(tmp_path / 'q.png', scene((50, 70))),
        save(tmp_path / 'again' / 'q.png', scene((5, 5))),
    ]
    path = save(tmp_path / 's.png', scene())
    add(handlers, web, session, path, strokes(square()))
    handlers.segment(session, queries, 0.5)
    archive = zipfile.ZipFile(handlers.download(session, 0.5)['zip'])
    mask = np.array(Image.open(io.BytesIO(archive.read('masks/q.png'))))
    assert np.array_equal(mask == 1, square((50, 70)))
    assert 'overlays/q_2.png' in archive.namelist()
    coco = json.loads(archive.read('coco.json'))
    assert [a['image_id'] for a in coco['annotations']] == [1, 2]
    rle = coco['annotations'][1]['segmentation']
    assert np.array_equal(coco_mask.decode(rle) == 1, square((5, 5)))
    rows = list(csv.DictReader(io.StringIO(archive.read('scores.csv').decode())))
    assert [row['pixels'] for row in rows] == ['900', '900']


def test_the_zip_has_the_formats_of_the_command_line(handlers, session, web, tmp_path):
    add(handlers, web, session, save(tmp_path / 's.png', scene()), strokes(square()))
    handlers.segment(session, [save(tmp_path / 'my "q".png', scene((50, 70)))], 0.5)
    path = handlers.download(session, 0.5, list(FORMATS))['zip']
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / 'zip')
    exports = tmp_path / 'zip' / 'exports'
    assert {folder.name for folder in exports.iterdir()} == set(FORMATS)
    (label,) = (exports / 'labelme').iterdir()
    content = json.loads(label.read_text())
    photo = Image.open(label.parent / content['imagePath'])
    assert photo.size == (content['imageWidth'], content['imageHeight'])
    assert [shape['label'] for shape in content['shapes']] == ['block']
    stored = np.fromfile(next((exports / 'masks').glob('*.png')), np.uint8)
    mask = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(mask == 1, square((50, 70)))


def test_an_unknown_format_is_answered(handlers, session, web, tmp_path):
    add(handlers, web, session, save(tmp_path / 's.png', scene()), strokes(square()))
    handlers.segment(session, [save(tmp_path / 'q.png', scene())], 0.5)
    shown = handlers.download(session, 0.5, ['pdf'])
    assert 'expected one or more of coco' in shown['status'] and 'zip' not in shown


def test_a_zip_of_nothing_is_answered(handlers, session):
    assert 'No results yet' in handlers.download(session, 0.5)['status']


def test_file_names_cannot_leave_the_zip(web):
    names = ['../../x.png', '..png', 'a b.jpg', 'A_b.png']
    assert web.download.unique_stems(names) == ['x', 'image', 'a_b', 'A_b_2']


def test_examples_hold_their_class_and_their_files(web, tmp_path):
    (example,) = web.examples.draw_examples(
        tmp_path, sets=[('One gear', {'gear': 1}, 0)], queries_per_class=1
    )
    ((name, image, mask),) = example.shots
    assert name == 'gear'
    assert (mask == 1).sum() > 1000
    assert image.shape[:2] == mask.shape
    assert np.array(Image.open(example.queries[0])).ndim == 3


def test_an_example_is_segmented_at_a_click(web, tmp_path):
    query = save(tmp_path / 'q.png', scene((50, 70)))
    mask = square().astype(np.uint8)
    example = web.examples.Example('A block', (('block', scene(), mask),), (query,))
    handlers = web.handlers.Handlers(ColourInferencer(), [example], tmp_path)
    shown = handlers.load_example(handlers.start(), 0, 0.5)
    assert 'Segmented 1 image' in shown['status']
    assert shown['queries'] == [query]


def test_an_example_may_learn_before_it_is_shown(web, tmp_path):
    query = save(tmp_path / 'q.png', scene((50, 70)))
    shots = (('block', scene(), square().astype(np.uint8)),)
    example = web.examples.Example('A block', shots, (query,), 3)
    handlers = web.handlers.Handlers(ColourInferencer(), [example], tmp_path)
    session = handlers.start()
    shown = handlers.load_example(session, 0, 0.5)
    assert session._inferencer.learned == dict(block=1)
    assert shown['gallery']


def test_the_page_asks_nobody_else_for_fonts(web, handlers):
    theme = web.page.theme()
    assert not theme._stylesheets
    assert not web.page.build_page(handlers).analytics_enabled


def test_learning_segments_the_queries_again(handlers, session, web, tmp_path):
    path = save(tmp_path / 'a.png', scene())
    add(handlers, web, session, path, strokes(square()))
    handlers.segment(session, [save(tmp_path / 'q.png', scene((40, 50)))], 0.5)
    first = session.results[0]
    passes, told = session._inferencer.passes, []
    shown = handlers.learn(
        session, 30, 0.5, None, lambda share, desc: told.append((share, desc))
    )
    assert session._inferencer.learned == dict(block=1)
    assert told == [(0.5, 'learning')]
    assert session._inferencer.passes == passes + 1
    assert session.results[0] is not first
    assert (
        'block: learned for 30 s; by decoder, expected IoU 50% or more.'
        in shown['status']
    )
    assert shown['gallery']
    # other visitors have the model again
    assert not session._model_lock.locked()


def test_learning_without_support_is_answered(handlers, session):
    shown = handlers.learn(session, 30, 0.5, None, print)
    assert 'No support yet' in shown['status']
    assert not session._model_lock.locked()


def test_a_result_is_corrected_on_the_canvas(handlers, session, web, tmp_path):
    add(handlers, web, session, save(tmp_path / 'a.png', scene()), strokes(square()))
    query = scene((40, 50))
    handlers.segment(session, [save(tmp_path / 'q.png', query)], 0.5)
    shown = handlers.correct(session, 0.5, None)
    assert shown['name'] == 'block'
    assert shown['way'] == web.drawing.AREA
    # what was found is painted, as the brush would have
    region = web.drawing.painted(shown['editor'], SIZE)
    assert np.array_equal(region, session.results[0].mask == 1)
    assert np.array_equal(shown['editor']['background'], query)
    handlers.add_shot(
        session, 'block', shown['editor'], web.drawing.AREA, False, '', None, None
    )
    assert len(session.shots) == 2
    assert len(session._inferencer.pixels['block']) == 2
    # and undone
    handlers.remove_shot(session, 1)
    assert len(session._inferencer.pixels['block']) == 1


def test_nothing_to_correct_is_answered(handlers, session):
    assert 'No result yet' in handlers.correct(session, 0.5, None)['status']

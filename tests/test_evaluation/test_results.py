"""Result files: what is taken from them, and what is refused."""

import json

import pytest
from result_files import NAMES, make_records, make_report, results, write_results

from mmssp.evaluation.results import read_results, write_report


def test_episodes_come_in_order(tmp_path):
    records = make_records()
    read = results(tmp_path, records[::-1])
    assert read['episodes'] == records
    assert read['class_names'] == NAMES


def test_classes_of_older_files_are_found_by_those_drawn(tmp_path):
    records = make_records(classes=3)
    path = tmp_path / 'old.json'
    report = make_report(records)
    del report['class_names']
    path.write_text(json.dumps(report))
    names = read_results(path)['class_names']
    assert {c: names[c] for c in (6, 7, 8)} == {6: 'bus', 7: 'car', 8: 'cat'}
    assert list(names.values()) == list(NAMES.values())


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(episodes=[]), 'holds no episode'),
        (dict(protocol=None), 'no usable protocol'),
        (dict(episodes=[{}]), r'episodes\[0\] has no usable run, index, class_id'),
        (dict(protocol='mine'), "protocol='mine'"),
        (dict(mIoU=99.0), 'mIoU .* but it says 99.0000'),
        (dict(mIoU=float('nan')), 'no usable mIoU'),
        (dict(class_names={'6': 'bus'}), 'class_names does not name'),
        (dict(class_names={'x': 'bus', **NAMES}), 'no usable class_names'),
        (dict(class_names=[*NAMES]), 'no usable class_names'),
        (dict(class_names=None, per_class={'bus': 1.0}), '1 classes have a score'),
    ],
)
def test_unusable_content_is_named(change, message, tmp_path):
    path = tmp_path / 'F.json'
    path.write_text(json.dumps({**make_report(make_records()), **change}))
    with pytest.raises(ValueError, match=message) as error:
        read_results(path)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'change',
    [
        dict(run='0'),
        dict(index=True),
        dict(query=None),
        dict(supports='a.jpg'),
        dict(intersection=[1.5, 2]),
        dict(union=[1]),
        dict(union=[-1, 5]),
        dict(intersection=[0, 1001]),
    ],
    ids=str,
)
def test_unusable_record_is_named(change, tmp_path):
    path = write_results(tmp_path / 'F.json', make_records())
    report = json.loads(path.read_text())
    report['episodes'][3].update(change)
    path.write_text(json.dumps(report))
    name = next(iter(change))
    with pytest.raises(ValueError, match=rf'episodes\[3\] has no usable {name}'):
        read_results(path)


def test_an_episode_twice_is_refused(tmp_path):
    records = make_records()
    path = write_results(tmp_path / 'F.json', [*records, records[4]])
    with pytest.raises(ValueError, match='run 0, episode 4 twice'):
        read_results(path)


@pytest.mark.parametrize(
    'content', [b'', b'no json', b'\xff\xfe{', b'{"a": 1}', b'[1]']
)
def test_foreign_files_are_refused(content, tmp_path):
    path = tmp_path / 'F.json'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='tools/test.py --out'):
        read_results(path)


@pytest.mark.parametrize('path', ['gone.json', '.'])
def test_what_cannot_be_read_is_named(path, tmp_path):
    with pytest.raises(FileNotFoundError, match='cannot be read'):
        read_results(tmp_path / path)


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').touch()
    for path in (tmp_path / 'file' / 'C.json', tmp_path):
        with pytest.raises(OSError, match='cannot be written|is a folder'):
            write_report(path, {})


def test_report_replaces_a_file_whole_or_not_at_all(tmp_path):
    path = tmp_path / 'new' / 'C.json'
    write_report(path, dict(a=1))
    with pytest.raises(ValueError, match='JSON compliant'):
        write_report(path, dict(a=float('nan')))
    assert json.loads(path.read_text()) == dict(a=1)
    assert list(path.parent.iterdir()) == [path]

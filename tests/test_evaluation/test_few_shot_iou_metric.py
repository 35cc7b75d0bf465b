"""The metric: records, gathering over processes, report file."""

import json
import logging
import socket
from collections.abc import Iterator

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.logging import MMLogger
from mmseg.registry import METRICS
from pycocotools import mask as coco_mask

from mmssp.evaluation.results import read_results

META = dict(class_names={1: 'cat', 3: 'dog'}, benchmark='pascal5i')


def sample(index: int, class_id: int = 1, run: int = 0, size=(4, 4)) -> dict:
    """Episode whose prediction has `index` pixels too many."""
    truth = torch.zeros(1, *size, dtype=torch.uint8)
    truth[0, 0] = 1
    prediction = truth.clone().long()
    prediction.view(-1)[size[1] : size[1] + index] = 1
    truth[0, -1] = 255
    return dict(
        gt_sem_seg=dict(data=truth),
        pred_sem_seg=dict(data=prediction),
        run=run,
        episode=index,
        class_id=class_id,
        img_path=f'{index}.jpg',
        support_img_paths=['s.jpg'],
    )


def build(**kwargs):
    metric = METRICS.build(dict(type='FewShotIoUMetric', **kwargs))
    metric.dataset_meta = META
    return metric


def test_scores_are_in_percent():
    metric = build()
    metric.process({}, [sample(0, 1), sample(4, 3)])
    scores = metric.evaluate(2)
    assert scores['mIoU'] == pytest.approx((100 + 50) / 2)
    assert 'mIoU_std' not in scores


def test_records_do_not_outlive_an_evaluation():
    metric = build()
    metric.process({}, [sample(4, 3)])
    metric.evaluate(1)
    metric.process({}, [sample(0, 1)])
    assert metric.evaluate(1)['mIoU'] == 100


def test_several_runs_give_a_deviation():
    metric = build()
    metric.process({}, [sample(0, run=0), sample(4, run=1)])
    scores = metric.evaluate(2)
    assert scores['mIoU'] == 75
    assert scores['mIoU_std'] == pytest.approx(50 / 2**0.5)


def test_an_episode_seen_twice_counts_once():
    metric = build()
    metric.process({}, [sample(0), sample(4), sample(4), sample(4)])
    assert metric.evaluate(2)['mIoU'] == pytest.approx(100 * 8 / 12)


def test_a_test_that_lacks_episodes_has_no_score(tmp_path):
    metric = build(out_file=str(tmp_path / 'F.json'))
    metric.process({}, [sample(0), sample(4)])
    with pytest.raises(ValueError, match='2 episodes where the test has 3'):
        metric.evaluate(3)
    assert list(tmp_path.iterdir()) == []


def test_report_holds_scores_and_records(tmp_path):
    metric = build(out_file=str(tmp_path / 'new' / 'F.json'))
    metric.process({}, [sample(2, 1), sample(0, 1, run=1)])
    scores = metric.evaluate(2)
    report = json.loads((tmp_path / 'new' / 'F.json').read_text())
    assert report['protocol'] == 'ssp'
    assert report['mIoU'] == scores['mIoU']
    assert report['FB-IoU'] == scores['FB-IoU']
    assert report['per_class']['dog'] is None
    assert [run['run'] for run in report['runs']] == [0, 1]
    record = report['episodes'][0]
    rle = record.pop('prediction')
    assert coco_mask.decode(rle).tolist() == [[1] * 4, [1, 1, 0, 0], [0] * 4, [0] * 4]
    assert record == dict(
        run=0,
        index=2,
        class_id=1,
        query='2.jpg',
        supports=['s.jpg'],
        intersection=[6, 4],
        union=[8, 6],
    )


def test_departures_from_the_protocol_are_stored(tmp_path):
    metric = build(out_file=str(tmp_path / 'F.json'), departures=['bfloat16'])
    metric.dataset_meta = dict(META, shots=5, fold=2, departures=['seed: 0'])
    metric.process({}, [sample(0)])
    metric.evaluate(1)
    report = json.loads((tmp_path / 'F.json').read_text())
    assert report['departures'] == ['seed: 0', 'bfloat16']
    assert (report['shots'], report['fold']) == (5, 2)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged."""
    texts: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: texts.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield texts
    logger.removeHandler(handler)


def test_own_data_are_scored_without_a_protocol(said, tmp_path):
    metric = build(departures=['bfloat16'], out_file=str(tmp_path / 'F.json'))
    metric.dataset_meta = dict(META, benchmark=None)
    for _ in range(2):
        metric.process({}, [sample(0)])
        metric.evaluate(1)
    first, second = (text for text in said if 'mIoU' in text)
    assert 'protocol' not in first + second
    assert 'own data, no benchmark, 1 run(s)' in first
    assert first.endswith('\nnote: bfloat16')
    assert second.endswith('\nnote as above (1)')
    assert read_results(tmp_path / 'F.json')['benchmark'] is None


def test_departures_are_told_in_full_once(said):
    metric = build(departures=['bfloat16', 'seed: 0'])
    for departures in (['tiles'], ['tiles'], []):
        metric.dataset_meta = dict(META, departures=departures)
        metric.process({}, [sample(0)])
        metric.evaluate(1)
    first, second, third = (text for text in said if 'mIoU' in text)
    for text, count in ((first, 3), (third, 2)):
        assert text.count('departs from the protocol: ') == count
    assert 'departs from the protocol: ' not in second
    assert 'departs from the protocol as above (3)' in second


def test_classes_never_drawn_count_as_the_protocol_says(tmp_path):
    metric = build()
    metric.process({}, [sample(0, 1)])
    assert metric.evaluate(1)['mIoU'] == 100
    metric.dataset_meta = dict(META, protocol='hsnet')
    metric.process({}, [sample(0, 1)])
    assert metric.evaluate(1)['mIoU'] == 50


def test_running_miou_is_that_of_the_records_so_far():
    metric = build()
    assert metric.running_miou() is None
    metric.process({}, [sample(0, 1)])
    metric.process({}, [sample(4, 3)])
    assert metric.running_miou() == 75
    metric.evaluate(2)
    assert metric.running_miou() is None


def test_unwritable_report_leaves_nothing_behind(tmp_path):
    metric = build(out_file=str(tmp_path / 'folder' / 'F.json'))
    metric.process({}, [sample(0)])
    # since it was built
    (tmp_path / 'folder').rmdir()
    (tmp_path / 'folder').write_text('')
    with pytest.raises(OSError, match='cannot be written'):
        metric.evaluate(1)
    assert [p.name for p in tmp_path.iterdir()] == ['folder']


def test_unwritable_report_is_found_before_the_test(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='cannot be written'):
        build(out_file=str(tmp_path / 'file' / 'F.json'))


def test_prediction_of_another_size_is_explained():
    metric = build()
    wrong = sample(0)
    wrong['pred_sem_seg']['data'] = torch.zeros(1, 2, 2)
    with pytest.raises(ValueError, match=r'0\.jpg.*differ in size'):
        metric.process({}, [wrong])


def test_no_episode_is_an_error():
    with pytest.raises(ValueError, match='no episode'):
        build().evaluate(0)


def _rank(rank: int, port: int, out: str) -> None:
    torch.distributed.init_process_group(
        'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2
    )
    import mmssp  # noqa: F401

    metric = METRICS.get('FewShotIoUMetric')(out_file=out)
    metric.dataset_meta = META
    # five episodes over two processes; the sampler repeats the first to make them even
    for index in {0: [0, 2, 4], 1: [1, 3, 0]}[rank]:
        metric.process({}, [sample(index, class_id=1 + 2 * (index % 2))])
    scores = metric.evaluate(5)
    torch.save(scores, f'{out}.{rank}')
    # a rank that leaves early can abort the other, which still waits for it
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_report_what_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    out = str(tmp_path / 'two.json')
    mp.spawn(_rank, (port, out), nprocs=2)
    alone = build(out_file=str(tmp_path / 'one.json'))
    for index in range(5):
        alone.process({}, [sample(index, class_id=1 + 2 * (index % 2))])
    expected = alone.evaluate(5)
    for rank in range(2):
        assert torch.load(f'{out}.{rank}', weights_only=True) == expected
    one, two = (
        json.loads((tmp_path / f'{n}.json').read_text()) for n in ('one', 'two')
    )
    assert one == two

"""The metric of few-shot segmentation: class-wise IoU summed over episodes."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.registry import METRICS
from prettytable import PrettyTable
from pycocotools import mask as coco_mask
from torch import Tensor

from ..protocols import Protocol, get_protocol
from ..utils.checks import texts, whole_number
from ..utils.files import check_writable
from ..utils.transfers import Transfers
from .bootstrap import bootstrap_interval
from .results import write_report
from .scores import by_label, count_pixels, each_once, score_runs


@METRICS.register_module()
class FewShotIoUMetric(BaseMetric):
    """Mean IoU over novel classes, FB-IoU, and a record of every episode.

    Intersection and union are summed over all episodes of a run, class by class, on the
    query only, 255 left out. Under several processes the records of all are gathered and
    each (run, episode) counts once, so the scores are those of one process, whatever the
    sampler padded or left uneven. Without all of them there is no score.

    Args:
        departures: What differs from the protocol and the data set cannot know of, in
            words; stands beside the scores with what it does know.
        out_file: JSON file for scores and records, predictions included (COCO's
            compressed RLE), written by the main process.
        ignore_index: Truth pixels that count nowhere.
        **kwargs: As :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: An argument is of another kind.
        OSError: ``out_file`` cannot be written.

    The protocol is the data set's; data of one's own, that are no benchmark, have none to
    depart from. The scores returned are ``mIoU``, ``FB-IoU`` and, with
    several runs, ``mIoU_std`` (standard deviation over runs); in percent.
    """

    results: list[dict[str, Any]]

    def __init__(
        self,
        departures: Sequence[str] = (),
        out_file: str | os.PathLike[str] | None = None,
        ignore_index: int = 255,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.departures = texts('departures', departures)
        if out_file is not None and not isinstance(out_file, (str, os.PathLike)):
            raise ValueError(f'out_file={out_file!r}: expected the path of a JSON file')
        if out_file is not None and is_main_process():
            check_writable(out_file)
        self.out_file = out_file
        self.ignore_index = whole_number('ignore_index', ignore_index, -100)
        self._running: dict[int, list[int]] = {}
        self._told: list[str] = []
        self._transfers: Transfers[dict[str, Any]] = Transfers()

    def process(
        self, data_batch: dict[str, Any], data_samples: Sequence[dict[str, Any]]
    ) -> None:
        """Count the pixels of each episode.

        Args:
            data_batch: Unused.
            data_samples: Samples as dicts, with ``pred_sem_seg`` and ``gt_sem_seg`` of
                the same size (1,H,W), and the episode's metainfo.

        Raises:
            ValueError: If prediction and truth differ in size.
        """
        for sample in data_samples:
            truth = sample['gt_sem_seg']['data'][0]
            prediction = sample['pred_sem_seg']['data'][0].to(truth.device)
            if prediction.shape != truth.shape:
                raise ValueError(
                    f'{sample["img_path"]}: prediction {tuple(prediction.shape)} and '
                    f'truth {tuple(truth.shape)} differ in size; in the test pipeline, '
                    'load the mask after resizing the image, so that the truth keeps '
                    'its original size'
                )
            record = dict(
                run=sample.get('run', 0),
                index=sample['episode'],
                class_id=sample['class_id'],
                query=sample['img_path'],
                supports=list(sample['support_img_paths']),
            )
            results = [count_pixels(prediction, truth, self.ignore_index)]
            if self.out_file is not None:
                # run lengths go down the columns
                results.append((prediction == 1).T.contiguous())
            self._transfers.put(record, *results)
        self._keep()

    def _keep(self, everything: bool = False) -> None:
        """Complete the records whose results have come from the device."""
        for record, (counts, *columns) in self._transfers.arrived(everything):
            record.update(by_label(counts))
            if columns:
                record['prediction'] = _run_lengths(columns[0])
            self.results.append(record)
            sums = self._running.setdefault(record['class_id'], [0, 0])
            sums[0] += record['intersection'][1]
            sums[1] += record['union'][1]

    def running_miou(self) -> float | None:
        """mIoU in percent of what this process has seen so far, all runs together.

        On a GPU the last few episodes are still on their way.
        """
        ious = [
            100.0 * both / max(either, 1) for both, either in self._running.values()
        ]
        return sum(ious) / len(ious) if ious else None

    def evaluate(self, size: int) -> dict[str, Any]:
        """Gather from all processes, score, and forget the records.

        Args:
            size: Episodes of all runs together.

        Returns:
            See the class; the same in every process.

        Raises:
            ValueError: If the records are not those of all episodes, each once or, as a
                sampler's padding, several times the same; in every process.
        """
        self._keep(everything=True)
        own, self.results = self.results, []
        self._running = {}
        gathered = all_gather_object(own)
        outcome: list[Any] = [None, None]
        if is_main_process():
            try:
                records = each_once(
                    [r for part in gathered for r in part], size, self.dataset_meta
                )
                scores = self.compute_metrics(records)
            except (ValueError, OSError) as error:
                outcome[1] = error
            else:
                prefix = f'{self.prefix}/' if self.prefix else ''
                outcome[0] = {f'{prefix}{name}': v for name, v in scores.items()}
        # all end with the same message, or go on with the same scores
        broadcast_object_list(outcome)
        if outcome[1] is not None:
            raise outcome[1]
        return outcome[0]

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, Any]:
        """Scores of all records; prints the table, writes ``out_file``.

        Args:
            results: Records of distinct episodes, in order of (run, index).

        Returns:
            See the class.

        Raises:
            ValueError: If there is no record.
        """
        if not results:
            raise ValueError('no episode was tested: the test data set is empty')
        meta = self.dataset_meta or {}
        names = meta.get('class_names') or {
            c: str(c) for c in sorted({record['class_id'] for record in results})
        }
        protocol = get_protocol(meta.get('protocol', 'ssp'))
        scores = score_runs(results, list(names), protocol.undrawn_classes_count)
        scores['interval'] = bootstrap_interval(
            results, list(names), protocol.undrawn_classes_count
        )
        departures = [*meta.get('departures', ()), *self.departures]
        self._print(protocol, scores, names, len(results), departures)
        if self.out_file is not None:
            self._write(self.out_file, protocol, scores, names, results, departures)
        metrics = {'mIoU': scores['mIoU'], 'FB-IoU': scores['FB-IoU']}
        if len(scores['runs']) > 1:
            metrics['mIoU_std'] = scores['mIoU_std']
        return metrics

    def _print(
        self,
        protocol: Protocol,
        scores: dict[str, Any],
        names: dict[int, str],
        episodes: int,
        departures: Sequence[str],
    ) -> None:
        table = PrettyTable(['class', 'IoU'])
        for class_id, iou in scores['per_class'].items():
            text = 'not drawn' if math.isnan(iou) else f'{iou:.2f}'
            table.add_row([names[class_id], text])
        runs = len(scores['runs'])
        low, high = scores['interval']
        spread = f' ± {scores["mIoU_std"]:.2f}' if runs > 1 else ''
        print_log(
            f'\n{table}\n{self._scored_by(protocol)}, {runs} '
            f'run(s), {episodes} episodes: mIoU {scores["mIoU"]:.2f}{spread} '
            f'(95 % over episodes: {low:.2f} to {high:.2f}), '
            f'FB-IoU {scores["FB-IoU"]:.2f}' + self._departs(departures),
            logger=MMLogger.get_current_instance(),
        )

    def _benchmark(self) -> str | None:
        return (self.dataset_meta or {}).get('benchmark')

    def _scored_by(self, protocol: Protocol) -> str:
        if self._benchmark() is None:
            return 'own data, no benchmark'
        return f'protocol {protocol.name} v{protocol.version}'

    def _departs(self, departures: Sequence[str]) -> str:
        """The departures as lines; as one, where an earlier table had the same."""
        word = 'departs from the protocol' if self._benchmark() else 'note'
        known, self._told = self._told, list(departures)
        if departures and known == self._told:
            return f'\n{word} as above ({len(departures)})'
        return ''.join(f'\n{word}: {text}' for text in departures)

    def _write(
        self,
        out_file: str | os.PathLike[str],
        protocol: Protocol,
        scores: dict[str, Any],
        names: dict[int, str],
        records: list[dict[str, Any]],
        departures: Sequence[str],
    ) -> None:
        def named(per_class: dict[int, float]) -> dict[str, Any]:
            return {
                names[c]: None if math.isnan(iou) else iou
                for c, iou in per_class.items()
            }

        settings = ('split', 'fold', 'shots', 'seeds', 'num_episodes')
        report = {
            'protocol': protocol.name,
            'protocol_version': protocol.version,
            'benchmark': self._benchmark(),
            'departures': list(departures),
            **{name: (self.dataset_meta or {}).get(name) for name in settings},
            'class_names': {str(c): name for c, name in names.items()},
            'mIoU': scores['mIoU'],
            'mIoU_std': scores['mIoU_std'],
            'mIoU_95': list(scores['interval']),
            'FB-IoU': scores['FB-IoU'],
            'per_class': named(scores['per_class']),
            'runs': [
                dict(run, per_class=named(run['per_class'])) for run in scores['runs']
            ],
            'episodes': records,
        }
        write_report(out_file, report)
        print_log(f'scores and records: {out_file}', logger='current')


def _run_lengths(columns: Tensor) -> dict[str, Any]:
    """The columns (W,H) bool of a mask as COCO's compressed RLE, ready for JSON."""
    mask = columns.numpy().view(np.uint8).T
    rle = coco_mask.encode(mask)
    return dict(size=list(mask.shape), counts=rle['counts'].decode())

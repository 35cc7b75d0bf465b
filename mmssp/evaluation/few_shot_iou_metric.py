"""The metric of few-shot segmentation: class-wise IoU summed over episodes."""

import json
import math
import os
from collections.abc import Sequence

from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.registry import METRICS
from prettytable import PrettyTable

from ..utils.files import atomic_path
from .protocols import get_protocol
from .scores import bootstrap_interval, pixel_counts, score_runs


@METRICS.register_module()
class FewShotIoUMetric(BaseMetric):
    """Mean IoU over novel classes, FB-IoU, and a record of every episode.

    Intersection and union are summed over all episodes of a run, class by class, on the
    query only, 255 left out. Under several processes the records of all are gathered and
    each (run, episode) counts once, so the scores are those of one process, whatever the
    sampler padded or left uneven.

    Args:
        protocol: Name of the evaluation protocol; it stands beside the scores.
        departures: What a config does differently from the protocol, in words; printed
            and stored with the scores. Runs that are not the protocol's are added.
        out_file: JSON file for scores and records, written by the main process.
        ignore_index: Truth pixels that count nowhere.
        **kwargs: As :class:`mmengine.evaluator.BaseMetric`.

    The scores returned are ``mIoU``, ``FB-IoU`` and, with several runs, ``mIoU_std``
    (standard deviation over runs); in percent.
    """

    def __init__(
        self,
        protocol: str = 'ssp',
        departures: Sequence[str] = (),
        out_file: str | os.PathLike | None = None,
        ignore_index: int = 255,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.protocol = get_protocol(protocol)
        self.departures = list(departures)
        self.out_file = out_file
        self.ignore_index = ignore_index

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
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
            self.results.append(
                dict(
                    run=sample.get('run', 0),
                    index=sample['episode'],
                    class_id=sample['class_id'],
                    query=sample['img_path'],
                    supports=list(sample['support_img_paths']),
                    **pixel_counts(prediction, truth, self.ignore_index),
                )
            )

    def evaluate(self, size: int) -> dict:
        """Gather from all processes, score, and forget the records.

        Args:
            size: Unused: records name their episode, so padding is found by its name.

        Returns:
            See the class; the same in every process.
        """
        own, self.results = self.results, []
        gathered = all_gather_object(own)
        metrics = [None]
        if is_main_process():
            records = {(r['run'], r['index']): r for part in gathered for r in part}
            scores = self.compute_metrics([records[key] for key in sorted(records)])
            prefix = f'{self.prefix}/' if self.prefix else ''
            metrics = [{f'{prefix}{name}': value for name, value in scores.items()}]
        broadcast_object_list(metrics)
        return metrics[0]

    def compute_metrics(self, results: list[dict]) -> dict:
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
        names = (self.dataset_meta or {}).get('class_names') or {
            c: str(c) for c in sorted({record['class_id'] for record in results})
        }
        scores = score_runs(results, list(names), self.protocol.undrawn_classes_count)
        scores['interval'] = bootstrap_interval(
            results, list(names), self.protocol.undrawn_classes_count
        )
        departures = [*self.departures, *self._other_runs()]
        self._print(scores, names, len(results), departures)
        if self.out_file is not None:
            self._write(scores, names, results, departures)
        metrics = {'mIoU': scores['mIoU'], 'FB-IoU': scores['FB-IoU']}
        if len(scores['runs']) > 1:
            metrics['mIoU_std'] = scores['mIoU_std']
        return metrics

    def _other_runs(self) -> list[str]:
        seeds = (self.dataset_meta or {}).get('seeds')
        if seeds is None or tuple(seeds) == self.protocol.seeds:
            return []
        return [f'runs with seeds {list(seeds)} instead of {list(self.protocol.seeds)}']

    def _print(
        self,
        scores: dict,
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
            f'\n{table}\nprotocol {self.protocol.name} v{self.protocol.version}, {runs} '
            f'run(s), {episodes} episodes: mIoU {scores["mIoU"]:.2f}{spread} '
            f'(95 % over episodes: {low:.2f} to {high:.2f}), '
            f'FB-IoU {scores["FB-IoU"]:.2f}'
            + ''.join(f'\ndeparts from the protocol: {text}' for text in departures),
            logger=MMLogger.get_current_instance(),
        )

    def _write(
        self,
        scores: dict,
        names: dict[int, str],
        records: list[dict],
        departures: Sequence[str],
    ) -> None:
        def named(per_class: dict[int, float]) -> dict:
            return {
                names[c]: None if math.isnan(iou) else iou
                for c, iou in per_class.items()
            }

        settings = ('split', 'fold', 'shots', 'seeds', 'num_episodes')
        report = {
            'protocol': self.protocol.name,
            'protocol_version': self.protocol.version,
            'departures': list(departures),
            **{name: (self.dataset_meta or {}).get(name) for name in settings},
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
        with atomic_path(self.out_file) as path:
            path.write_text(json.dumps(report, allow_nan=False))
        print_log(f'scores and records: {self.out_file}', logger='current')

"""Episodes of two recorded tests, loaded again and drawn with both predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmssp.datasets.coco.coco_masks import decompress_counts
from mmssp.datasets.episodic_dataset import EpisodicDataset
from mmssp.protocols import OPTIONS
from mmssp.runtime.config import (
    episodic_datasets,
    load_config,
    set_episodes,
    set_protocol,
)
from mmssp.utils.files import file_name
from mmssp.utils.image_io import MAX_PIXELS

from ..visualization.episode_panel import draw_episode_panel
from ..visualization.overlay import (
    fit_size,
    resize_image,
    resize_mask,
    to_rgb,
    without_padding,
)
from ..visualization.style import PanelStyle


def decode_prediction(record: Mapping[str, Any], name: str) -> np.ndarray:
    """The predicted mask in a record of an episode.

    Args:
        record: With ``prediction``: COCO's compressed RLE, ``size`` [H,W] and ``counts``.
        name: What messages call the test that the record is of.

    Returns:
        (H,W) uint8 in {0, 1}.

    Raises:
        ValueError: If there is none, or it is damaged.
    """
    where = f'run {record["run"]}, episode {record["index"]} of {name}'
    rle = record.get('prediction')
    if rle is None:
        raise ValueError(
            f'{where} has no prediction to draw: the file is of an earlier version; '
            'test again with tools/test.py --out, or leave --show-dir out'
        )
    try:
        height, width = rle['size']
        if type(height) is not int or type(width) is not int:
            raise ValueError(f'its size is {str(rle["size"])[:80]}')
        if not 0 < height * width <= MAX_PIXELS or height < 0:
            raise ValueError(f'its size is {height}×{width} pixels')
        counts = decompress_counts(rle['counts'])
        if min(counts, default=-1) < 0 or sum(counts) != height * width:
            raise ValueError(f'its runs do not fill {height}×{width} pixels')
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{where} has a damaged prediction ({error}): test again'
        ) from error
    # background and target in turn, down the columns
    target = np.arange(len(counts), dtype=np.uint8) % 2
    return np.repeat(target, counts).reshape(width, height).T


def recorded_dataset(
    config: str, results: Mapping[str, Any], options: dict[str, Any] | None = None
) -> EpisodicDataset:
    """The test data set that a test's records are of.

    Whether the test was run by the config's own protocol, by ``--protocol`` or with
    ``--original-size``, is told by the departures from the protocol that it recorded.

    Args:
        config: Path of the config that was tested.
        results: As :func:`mmssp.evaluation.results.read_results` gives it.
        options: What else the test overrode: dotted names and values.

    Returns:
        Item ``run * num_episodes + index`` is that episode, if the config is the one.

    Raises:
        FileNotFoundError: If the config, images or masks are missing.
        ValueError: If it has no EpisodicDataset, or the results don't say what of.
    """
    unknown = [name for name in ('seeds', 'num_episodes') if not results.get(name)]
    if unknown:
        raise ValueError(
            f'the results lack {", ".join(unknown)}, so their episodes cannot be loaded '
            'again: test again with an EpisodicDataset'
        )
    init_default_scope(load_config(config).get('default_scope', 'mmseg'))
    recorded = {text for text in results['departures'] if text.split(':')[0] in OPTIONS}
    datasets, errors = [], []
    for protocol, original_size in (
        (None, False),
        (results['protocol'], False),
        (results['protocol'], True),
    ):
        cfg = load_config(config)
        set_protocol(cfg, protocol, original_size)
        cfg.merge_from_dict(options or {})
        set_episodes(
            cfg,
            'test_dataloader',
            seed=results['seeds'],
            **{n: results.get(n) for n in ('split', 'fold', 'shots', 'num_episodes')},
        )
        own = [
            dataset.get('protocol', 'ssp')
            for dataset in episodic_datasets(cfg, 'test_dataloader')
        ]
        if results['protocol'] not in own:
            continue
        try:
            dataset = DATASETS.build(cfg.test_dataloader.dataset)
        except ValueError as error:
            # then this is not what was tested
            errors.append(error)
            continue
        same = set(dataset.metainfo.get('departures', ())) == recorded
        # data of one's own have none, whatever they were tested by
        if same and (dataset.metainfo.get('benchmark') or _begins_as(dataset, results)):
            return dataset
        datasets.append(dataset)
    if not datasets:
        raise errors[0]
    # other words for the departures: whether episodes are those recorded is seen later
    return datasets[0]


def _begins_as(dataset: EpisodicDataset, results: Mapping[str, Any]) -> bool:
    """Whether the first recorded episode is the data set's, scored at the same size."""
    record = results['episodes'][0]
    try:
        item = load_recorded(dataset, record, results['num_episodes'])
    except ValueError:
        # not that one, which the caller tells if it is none of them
        return False
    scored = (record.get('prediction') or {}).get('size')
    return scored in (None, list(item['data_samples'].gt_sem_seg.shape))


def load_recorded(
    dataset: EpisodicDataset, record: Mapping[str, Any], num_episodes: int
) -> dict[str, Any]:
    """Load the episode that a record is of.

    Args:
        dataset: From :func:`recorded_dataset`.
        record: One of its episodes.
        num_episodes: Of a run.

    Returns:
        An item of :class:`mmssp.datasets.EpisodicDataset`.

    Raises:
        ValueError: If the data set's episode of that number is another one.
    """
    i = record['run'] * num_episodes + record['index']
    found = f'one of {len(dataset)}'
    if i < len(dataset):
        item = dataset[i]
        sample = item['data_samples']
        found = (
            f'class {sample.class_id}, query {file_name(sample.img_path)}, support '
            + ', '.join(map(file_name, sample.support_img_paths))
        )
    expected = (
        f'class {record["class_id"]}, query {file_name(record["query"])}, support '
        + ', '.join(map(file_name, record['supports']))
    )
    if found != expected:
        raise ValueError(
            f'run {record["run"]}, episode {record["index"]} was {expected}; by the '
            f'config it is {found}: give the config that was tested, with the same '
            '--cfg-options and data'
        )
    return item


def draw_compared(
    item: Mapping[str, Any],
    predictions: Mapping[str, np.ndarray],
    subtitle: str = '',
    cell_height: int = 240,
    cell_width: int | None = None,
) -> np.ndarray:
    """Support | query | truth | a prediction of each test.

    All but the supports is drawn at the size of the truth; or at that of the first
    prediction, with the truth resized, where no prediction has the truth's.

    Args:
        item: Of an :class:`mmssp.datasets.EpisodicDataset`.
        predictions: Name → (h,w) in {0, 1}.
        subtitle: As in :func:`mmssp.visualization.draw_episode_panel`.
        cell_height: Likewise.
        cell_width: Likewise; see :func:`common_width`.

    Returns:
        (height, width, 3) uint8, RGB.
    """
    inputs, sample = item['inputs'], item['data_samples']
    truth = sample.gt_sem_seg.data[0].cpu().numpy().astype(np.uint8)
    query = to_rgb(inputs['query'])
    if query.shape[:2] != truth.shape:
        query = without_padding(query, sample)
    sizes = [mask.shape for mask in predictions.values()]
    size = truth.shape if truth.shape in sizes else sizes[0]
    return draw_episode_panel(
        support_images=[to_rgb(image) for image in inputs['support']],
        support_masks=[mask.cpu().numpy() for mask in inputs['support_mask']],
        query_image=resize_image(query, size),
        truth=resize_mask(truth, size),
        predictions={name: resize_mask(m, size) for name, m in predictions.items()},
        class_name=sample.class_name,
        subtitle=subtitle,
        cell_height=cell_height,
        cell_width=cell_width,
    )


def common_width(
    items: Sequence[Mapping[str, Any]],
    cell_height: int = 240,
    max_aspect: float = PanelStyle.max_aspect,
) -> int:
    """The least width of cells into which all images of episodes fit at full height.

    Args:
        items: Of an :class:`mmssp.datasets.EpisodicDataset`; at least one.
        cell_height: In pixels.
        max_aspect: Wider images (width / height) are shrunk instead.

    Returns:
        In pixels.
    """
    shapes = [item['data_samples'].gt_sem_seg.shape for item in items]
    shapes += [image.shape[1:] for item in items for image in item['inputs']['support']]
    return max(fit_size(s, cell_height, max_aspect * cell_height)[1] for s in shapes)

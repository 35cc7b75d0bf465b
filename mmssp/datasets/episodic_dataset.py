"""Few-shot episodes from any segmentation data set."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from mmengine.dataset import Compose
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from ..utils.random_state import fixed_random_state, generator
from .class_index import ClassIndex
from .episodes import Episode, EpisodeSampler, usable_images
from .folds import split_classes
from .wrapped import IGNORE, build_dataset, foreground_classes, mask_reader

META_KEYS = (
    'img_path',
    'seg_map_path',
    'ori_shape',
    'img_shape',
    'pad_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'class_id',
    'class_name',
    'run',
    'episode',
    'support_img_paths',
)


@DATASETS.register_module()
class EpisodicDataset(Dataset):
    """Wraps a segmentation data set; item i is an episode: a query and K supports.

    Item i is a pure function of (seed, i): of no worker, rank, order or earlier item;
    augmentation included. With one seed, ``len`` is nominal (an epoch): i may go on
    beyond it, so that training need never see an episode twice.

    Args:
        dataset: Config or instance of a data set with semantic masks. Its own pipeline
            is not used.
        pipeline: Transforms of each image of an episode, from loading to augmentation,
            without packing; one of them loads the mask.
        support_pipeline: The same for supports, where they differ from the query (e.g.
            the query's mask stays at the original size for scoring).
        split: ``'base'`` classes to train on, ``'novel'`` ones to test on.
        shots: K, supports per episode.
        num_episodes: Length of a run (of an epoch in training).
        seed: An integer ≥ 0; or several, one for each run of a test: item i is then
            episode ``i % num_episodes`` of run ``i // num_episodes``.
        fold: 0-based fold whose classes are novel; see :func:`split_classes`.
        num_folds: Number of folds.
        fold_order: ``'contiguous'`` or ``'interleaved'``.
        base_classes: Names, instead of ``fold``.
        novel_classes: Names, instead of ``fold``.
        background_classes: Names in the data set's classes that are not objects; they
            are never a target. Class ids count the others from 1.
        min_pixels: Pixels of a class, at the original size, that make an image usable
            as its support.
        allow_missing_classes: Leave out classes with fewer than K+1 usable images, with
            one warning, instead of raising an error: for small data sets.
        cache_dir: Folder of the class index's cache; see :class:`ClassIndex`.
        workers: Processes of the first scan; None takes all CPUs.

    Raises:
        FileNotFoundError: If a root, list, image or mask is missing.
        ValueError: If an argument is out of range, masks don't fit the classes or the
            images, or classes have too few usable images (all are named, with counts).
    """

    def __init__(
        self,
        dataset: dict | BaseSegDataset,
        pipeline: Sequence[dict | Callable],
        *,
        support_pipeline: Sequence[dict | Callable] | None = None,
        split: Literal['base', 'novel'] = 'novel',
        shots: int = 1,
        num_episodes: int = 1000,
        seed: int | Sequence[int] = 0,
        fold: int | None = None,
        num_folds: int = 4,
        fold_order: Literal['contiguous', 'interleaved'] = 'contiguous',
        base_classes: Sequence[str] | None = None,
        novel_classes: Sequence[str] | None = None,
        background_classes: Sequence[str] = ('background',),
        min_pixels: int = 2048,
        allow_missing_classes: bool = False,
        cache_dir: str | None = None,
        workers: int | None = None,
    ) -> None:
        self.split = split
        self.fold = None if fold is None else _whole_number('fold', fold, 0)
        self.shots = _whole_number('shots', shots, 1)
        self.num_episodes = _whole_number('num_episodes', num_episodes, 1)
        self.min_pixels = _whole_number('min_pixels', min_pixels, 1)
        self.seeds = [
            _whole_number('seed', value, 0)
            for value in ([seed] if np.ndim(seed) == 0 else list(seed))
        ]
        if not self.seeds:
            raise ValueError('seed=[]: expected an integer, or one for each run')
        self.dataset = build_dataset(dataset)
        self.pipeline = Compose(pipeline)
        self.support_pipeline = (
            self.pipeline if support_pipeline is None else Compose(support_pipeline)
        )
        self._pack = PackSegInputs(meta_keys=META_KEYS)

        self._labels, names = foreground_classes(self.dataset, background_classes)
        self.class_names = dict(enumerate(names, start=1))
        chosen = split_classes(
            names,
            split,
            fold=fold,
            num_folds=num_folds,
            fold_order=fold_order,
            base_classes=base_classes,
            novel_classes=novel_classes,
        )
        self.index = ClassIndex.build(
            self.dataset,
            mask_reader(self.pipeline),
            cache_dir=cache_dir,
            workers=workers,
        )
        self.class_ids = self._with_supports(chosen, allow_missing_classes)
        self._class_id_of = {self._labels[c - 1]: c for c in self.class_ids}
        self._sampler = EpisodeSampler(
            self.index, list(self._class_id_of), self.shots, self.min_pixels
        )

    def _with_supports(self, class_ids: list[int], allow_missing: bool) -> list[int]:
        """Those classes with K+1 usable images or more; an error or a warning else."""
        usable = usable_images(
            self.index, [self._labels[c - 1] for c in class_ids], self.min_pixels
        )
        counts = {c: len(usable[self._labels[c - 1]]) for c in class_ids}
        missing = [c for c in class_ids if counts[c] < self.shots + 1]
        if not missing:
            return class_ids
        found = ', '.join(f'{self.class_names[c]} ({counts[c]})' for c in missing)
        problem = (
            f'{len(missing)} of {len(class_ids)} {self.split} classes have fewer than '
            f'{self.shots + 1} images (a query and {self.shots} support(s)) with at '
            f'least {self.min_pixels} pixels of the class: {found}'
        )
        left = [c for c in class_ids if c not in missing]
        if not left:
            raise ValueError(
                f'{problem}; no class is left: check the data set, or '
                'lower shots or min_pixels'
            )
        if not allow_missing:
            raise ValueError(
                f'{problem}; lower shots or min_pixels, or leave these classes out with '
                'allow_missing_classes=True'
            )
        warnings.warn(f'{problem}; these classes are left out', stacklevel=3)
        return left

    @property
    def metainfo(self) -> dict:
        """Of the wrapped data set, and ``class_names`` {class id: name} of the split,
        ``split``, ``fold``, ``shots``, ``seeds``, ``num_episodes``."""
        return dict(
            self.dataset.metainfo,
            class_names={c: self.class_names[c] for c in self.class_ids},
            split=self.split,
            fold=self.fold,
            shots=self.shots,
            seeds=list(self.seeds),
            num_episodes=self.num_episodes,
        )

    def __len__(self) -> int:
        return self.num_episodes * len(self.seeds)

    def __iter__(self) -> Iterator[dict]:
        return (self[i] for i in range(len(self)))

    def episode(self, i: int) -> Episode:
        """Which images and class item i is made of, without loading them.

        Args:
            i: As for indexing.

        Returns:
            The episode; positions refer to ``self.dataset``.
        """
        run, index = self._run_and_index(i)
        return self._sampler.sample(generator(self.seeds[run], index))

    def class_id(self, i: int) -> int:
        """The class that item i is about, 1-based, without loading it."""
        return self._class_id_of[self.episode(i).label]

    def __getitem__(self, i: int) -> dict:
        """Load episode i.

        Args:
            i: 0 or more; with several seeds, less than ``len``.

        Returns:
            ``inputs`` of ``query`` (3,H,W) uint8, ``support`` K × (3,h_k,w_k) uint8,
            ``support_mask`` K × (h_k,w_k) uint8 in {0, 1, 255}; and ``data_samples``:
            the query's :class:`SegDataSample` with ``gt_sem_seg`` (1,H,W) in {0, 1, 255}
            and metainfo ``class_id`` (1-based), ``class_name``, ``run``, ``episode``,
            ``img_path``, ``support_img_paths``.

        Raises:
            IndexError: If i is out of range.
        """
        run, index = self._run_and_index(i)
        episode = self.episode(i)
        key = (self.seeds[run], index)
        supports = [
            self._load(self.support_pipeline, image, episode.label, (*key, slot))
            for slot, image in enumerate(episode.supports, start=1)
        ]
        query = self._load(self.pipeline, episode.query, episode.label, (*key, 0))
        class_id = self._class_id_of[episode.label]
        query.update(
            class_id=class_id,
            class_name=self.class_names[class_id],
            run=run,
            episode=index,
            support_img_paths=[support['img_path'] for support in supports],
        )
        packed = self._pack(query)
        return dict(
            inputs=dict(
                query=packed['inputs'],
                support=[_image_tensor(support['img']) for support in supports],
                support_mask=[
                    torch.from_numpy(support['gt_seg_map']) for support in supports
                ],
            ),
            data_samples=packed['data_samples'],
        )

    def _run_and_index(self, i: int) -> tuple[int, int]:
        i = int(i)
        if i < 0 or (i >= len(self) and len(self.seeds) > 1):
            raise IndexError(f'episode {i} of {len(self)}')
        return divmod(i, self.num_episodes) if len(self.seeds) > 1 else (0, i)

    def _load(
        self, pipeline: Compose, image: int, label: int, key: tuple[int, ...]
    ) -> dict:
        """One image of an episode through the pipeline, its mask made binary."""
        with fixed_random_state(*key):
            results = pipeline(self.dataset.get_data_info(image))
        if results is None or 'img' not in results or 'gt_seg_map' not in results:
            raise ValueError(
                'pipeline: expected `img` and `gt_seg_map` after it; load both, and '
                'leave packing (PackSegInputs) out, which EpisodicDataset does itself'
            )
        results['gt_seg_map'] = binary_mask(results['gt_seg_map'], label)
        return results


def binary_mask(mask: np.ndarray, label: int, ignore: int = IGNORE) -> np.ndarray:
    """1 where the mask is ``label``, ``ignore`` where it was, 0 elsewhere; uint8."""
    binary = (mask == label).astype(np.uint8)
    binary[mask == ignore] = ignore
    return binary


def _image_tensor(image: np.ndarray) -> Tensor:
    """(H,W,3) uint8 → (3,H,W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _whole_number(name: str, value: int, least: int) -> int:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f'{name}={value!r}: expected an integer of {least} or more')
    return int(value)

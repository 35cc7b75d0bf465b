"""Few-shot episodes from any segmentation data set."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from mmengine.dataset import Compose
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.utils.data import Dataset

from ..protocols import get_protocol
from ..utils.checks import flag, texts, whole_number
from ..utils.random_state import fixed_random_state
from .class_index import ClassIndex
from .class_masks import LABEL, mask_loader, one_class_pipelines
from .episode_item import checked, image_tensor, query_sample, support_tensor
from .episode_settings import Transforms, episode_settings
from .episodes import Episode, build_sampler
from .folds import novel_to_remove, split_classes
from .ignored_objects import check_not_ignored
from .same_photos import photo_numbers
from .split_files import split_pairs
from .wrapped import benchmark_of, build_dataset, foreground_classes


@DATASETS.register_module()
class EpisodicDataset(Dataset[Any]):
    """Wraps a segmentation data set; item i is an episode: a query and K supports.

    Item i is a pure function of (seed, i): of no worker, rank, order or earlier item;
    augmentation included. With one seed, ``len`` is nominal (an epoch): i may go on
    beyond it, so that training need never see an episode twice.

    What is None below is as the protocol has it for the benchmark that the data set's
    metainfo names, see :mod:`mmssp.protocols`; what is not, departs from it, and is named
    beside the scores. Data that are no benchmark take the same defaults and depart from
    nothing.

    Args:
        dataset: Config or instance of a data set with semantic masks, or one that reads
            the masks of its classes itself, see
            :class:`mmssp.datasets.class_masks.ClassMasks`. Its own pipeline is not used.
        pipeline: Transforms of each image of an episode, from loading to augmentation,
            without packing. One of them loads the mask; for all behind it, the mask is
            1 where the episode's class is, 0 elsewhere, 255 ignored.
        support_pipeline: The same for supports, where they differ from the query (e.g.
            the query's mask stays at the original size for scoring).
        protocol: Name of an evaluation protocol.
        original_size: Score at the original size where the protocol doesn't (``hsnet``).
        split: ``'base'`` classes to train on, ``'novel'`` ones to test on.
        shots: K, supports per episode.
        num_episodes: Length of a run (of an epoch in training).
        seed: An integer ≥ 0; or several, one for each run of a test: item i is then
            episode ``i % num_episodes`` of run ``i // num_episodes``. None with base
            classes is 0.
        sampling: How query, class and supports are drawn: ``'images'``, ``'in_order'``,
            ``'hsnet_pairs'`` or ``'hsnet_classes'``; see :mod:`mmssp.datasets.episodes`.
        split_file: For HSNet's samplings, its list of the split's images and classes
            (``.txt`` or ``.pkl``); ``{fold}`` in it is replaced. None makes the list
            from the masks.
        ignored_support: What a support's pixels of 255 are: ``'ignore'`` or
            ``'background'``.
        fold: 0-based fold whose classes are novel; see :func:`split_classes`.
        num_folds: Number of folds.
        fold_order: ``'contiguous'`` or ``'interleaved'``.
        base_classes: Names, instead of ``fold``.
        novel_classes: Names, instead of ``fold``.
        remove_novel_images: Leave out images that show a novel class, as BAM does in
            training, instead of taking those pixels as background. For base classes.
        background_classes: Names in the data set's classes that are not objects; they
            are never a target, whatever their case and underscores around them. Class
            ids count the others from 1.
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
        dataset: dict[str, Any] | BaseSegDataset,
        pipeline: Transforms | None = None,
        *,
        support_pipeline: Transforms | None = None,
        protocol: str = 'ssp',
        original_size: bool = False,
        split: Literal['base', 'novel'] = 'novel',
        shots: int = 1,
        num_episodes: int | None = None,
        seed: int | Sequence[int] | None = None,
        sampling: str | None = None,
        split_file: str | os.PathLike[str] | None = None,
        ignored_support: Literal['ignore', 'background'] | None = None,
        fold: int | None = None,
        num_folds: int = 4,
        fold_order: Literal['contiguous', 'interleaved'] | None = None,
        base_classes: Sequence[str] | None = None,
        novel_classes: Sequence[str] | None = None,
        remove_novel_images: bool = False,
        background_classes: Sequence[str] = ('background',),
        min_pixels: int | None = None,
        allow_missing_classes: bool = False,
        cache_dir: str | None = None,
        workers: int | None = None,
    ) -> None:
        # what is wrong by itself, before anything takes long
        get_protocol(protocol)
        flag('original_size', original_size)
        flag('allow_missing_classes', allow_missing_classes)
        whole_number('num_folds', num_folds, 1)
        texts('background_classes', background_classes)
        if split_file is not None and not isinstance(split_file, (str, os.PathLike)):
            raise ValueError(f'split_file={split_file!r}: expected a path')
        if workers is not None:
            whole_number('workers', workers, 0)
        self.protocol = protocol
        self.split = split
        self.fold = None if fold is None else whole_number('fold', fold, 0)
        self.shots = whole_number('shots', shots, 1)
        self.remove_novel_images = flag('remove_novel_images', remove_novel_images)

        # images, and what a protocol decides for them
        self.dataset = build_dataset(dataset)
        self.benchmark = benchmark_of(self.dataset)
        settings = episode_settings(
            protocol,
            self.benchmark,
            original_size,
            dict(
                pipeline=pipeline,
                support_pipeline=support_pipeline,
                sampling=sampling,
                min_pixels=min_pixels,
                ignored_support=ignored_support,
                num_episodes=num_episodes,
                seed=0 if seed is None and split == 'base' else seed,
                fold_order=fold_order,
            ),
        )
        self.departures = settings.departures
        self.seeds, self.num_episodes = settings.seeds, settings.num_episodes
        self.min_pixels = settings.min_pixels
        self.ignored_support = settings.ignored_support

        # classes, by id, and which of them the episodes are about
        labels, names = foreground_classes(self.dataset, background_classes)
        self.class_names = dict(enumerate(names, start=1))
        label_of = dict(enumerate(labels, start=1))
        classes_of = partial(
            split_classes,
            names,
            fold=fold,
            num_folds=num_folds,
            fold_order=settings.fold_order,
            base_classes=base_classes,
            novel_classes=novel_classes,
        )
        chosen = classes_of(split)

        # masks of a class, what is in them, and episodes drawn from that
        self.pipeline, self.support_pipeline = one_class_pipelines(
            settings.pipeline, settings.support_pipeline, self.dataset
        )
        self.index = ClassIndex.build(
            self.dataset,
            mask_loader(self.pipeline),
            cache_dir=cache_dir,
            workers=workers,
        )
        check_not_ignored(self.index, labels, self.dataset, mask_loader(self.pipeline))
        pairs = left_out = None
        if split_file is not None:
            path = os.fspath(split_file).replace('{fold}', str(self.fold))
            pairs = split_pairs(path, self.dataset, chosen)
        if self.remove_novel_images:
            removed = novel_to_remove(split, chosen, classes_of('novel'))
            left_out = self.index.shows_any(label_of[c] for c in removed)
        self._episodes, self.class_ids = build_sampler(
            self.index,
            {c: label_of[c] for c in chosen},
            self.class_names,
            sampling=settings.sampling,
            shots=self.shots,
            min_pixels=settings.min_pixels,
            pairs=pairs,
            left_out=left_out,
            photos=photo_numbers(self.dataset),
            allow_missing=allow_missing_classes,
        )
        self.labels = {c: label_of[c] for c in self.class_ids}
        self._class_id_of = {label: c for c, label in self.labels.items()}

    @property
    def metainfo(self) -> dict[str, Any]:
        """Of the wrapped data set, and what scores and checkpoints tell of the episodes:
        ``class_names`` {class id: name} of the split, ``split``, ``fold``, ``shots``,
        ``seeds``, ``num_episodes``, ``remove_novel_images``, ``benchmark``,
        ``protocol`` and its ``departures``."""
        return dict(
            self.dataset.metainfo,
            benchmark=self.benchmark,
            class_names={c: self.class_names[c] for c in self.class_ids},
            split=self.split,
            fold=self.fold,
            shots=self.shots,
            seeds=list(self.seeds),
            num_episodes=self.num_episodes,
            remove_novel_images=self.remove_novel_images,
            protocol=self.protocol,
            departures=list(self.departures),
        )

    def __len__(self) -> int:
        return self.num_episodes * len(self.seeds)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def episode(self, i: int) -> Episode:
        """Which images and class item i is made of, without loading them.

        Args:
            i: As for indexing.

        Returns:
            The episode; positions refer to ``self.dataset``.
        """
        run, index = self.run_and_index(i)
        return self._episodes.episode(self.seeds[run], index)

    def class_id(self, i: int) -> int:
        """The class that item i is about, 1-based, without loading it."""
        return self._class_id_of[self.episode(i).label]

    def __getitem__(self, i: int) -> dict[str, Any]:
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
        run, index = self.run_and_index(i)
        episode = self.episode(i)
        key = (self.seeds[run], index)
        query = self._load(self.pipeline, episode.query, episode.label, (*key, 0))
        supports = [
            self._load(self.support_pipeline, image, episode.label, (*key, slot))
            for slot, image in enumerate(episode.supports, start=1)
        ]
        return dict(
            inputs=dict(
                query=image_tensor(query['img']),
                support=[image_tensor(support['img']) for support in supports],
                support_mask=[
                    self.support_mask(support['gt_seg_map']) for support in supports
                ],
            ),
            data_samples=self.query_sample(
                i, query, [support['img_path'] for support in supports]
            ),
        )

    def query_sample(
        self, i: int, query: dict[str, Any], support_img_paths: Sequence[str]
    ) -> SegDataSample:
        """The data sample of episode i.

        Args:
            i: As for indexing.
            query: The query's image behind the pipeline; not changed. ``gt_seg_map``
                (H,W), of the episode's class, may be left out.
            support_img_paths: K paths.

        Returns:
            As for indexing.
        """
        run, index = self.run_and_index(i)
        class_id = self.class_id(i)
        return query_sample(
            query,
            class_id=class_id,
            class_name=self.class_names[class_id],
            run=run,
            episode=index,
            support_img_paths=list(support_img_paths),
        )

    def support_mask(self, mask: np.ndarray) -> Tensor:
        """A support's mask behind the pipeline, (h,w) → (h,w) uint8 in {0, 1, 255}."""
        return support_tensor(mask, self.ignored_support)

    def run_and_index(self, i: int) -> tuple[int, int]:
        """Which run item i belongs to, and which episode of it it is."""
        i = int(i)
        if i < 0 or (i >= len(self) and len(self.seeds) > 1):
            raise IndexError(f'episode {i} of {len(self)}')
        return divmod(i, self.num_episodes) if len(self.seeds) > 1 else (0, i)

    def _load(
        self, pipeline: Compose, image: int, label: int, key: tuple[int, ...]
    ) -> dict[str, Any]:
        """One image of an episode through the pipeline."""
        with fixed_random_state(*key):
            info = self.dataset.get_data_info(image)
            return checked(pipeline({**info, LABEL: label}))

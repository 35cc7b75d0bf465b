"""Testing and validation that encode every image once, for all of its episodes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from mmengine.dist import get_dist_info
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner, TestLoop, ValLoop
from mmengine.structures import PixelData
from mmseg.registry import LOOPS, MODELS
from torch import Tensor
from torch.utils.data import DataLoader

from ...datasets.episodes import Episode
from ...datasets.episodic_dataset import EpisodicDataset
from ...evaluation.departures import (
    add_departures,
    model_departures,
    rounding_departures,
)
from ...models.adaptation import Adapter
from ...models.decode_heads.matching_head import MatchingHead, State
from ...models.memories.support_memory import joined_states
from ...models.segmentors import FewShotEncoderDecoder
from ...utils.memory import free_memory, processes_sharing
from ...utils.precision import autocast_dtype
from ...utils.shared_memory import share_from_worker
from .episode_plan import Waiting, plan_visits, share, support_keys
from .image_views import ImageViews, Visit

AT_ONCE = 128 * 2**20
"""Bytes of the episodes that a GPU matches at once: of features, logits and masks."""
PIXEL_BYTES = 24
"""Of an episode at a size: logits of two labels, as they are and resized, and a mask."""
ONE_BY_ONE = ('cpu',)
"""Devices that gain nothing from several at once."""
FREE_SHARE = 0.25
"""Of the memory that is free, for features that wait, where no budget is given."""


@dataclass
class Query:
    """An encoded query whose supports are not all there.

    Attributes:
        items: Its episodes.
        features: (1,C,h,w) of each view.
        sizes: (H, W) of each view as it was encoded.
        size: (H, W) of the image.
        truths: Label → (H',W') uint8 in {0, 1, 255}.
        infos: Label → what else the pipeline gave.
        image: (3,H,W) uint8 as it was loaded, if it will be refined.
    """

    items: tuple[int, ...]
    features: list[Tensor]
    sizes: list[tuple[int, int]]
    size: tuple[int, int]
    truths: dict[int, Tensor]
    infos: dict[int, dict[str, Any]]
    image: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        image = 0 if self.image is None else self.image.nbytes
        truths = sum(truth.nbytes for truth in self.truths.values())
        return sum(own.nbytes for own in self.features) + truths + image


class _EpisodicLoop(BaseLoop):
    """What testing and validation share; mixed into mmengine's loops.

    Episodes are known beforehand, so every image is loaded, and encoded, once for all
    episodes of this process that it is part of. Of supports only the head's states are
    kept; a query's features wait until the states of all its supports are there, then
    all its episodes are matched, prepared for once; on a GPU several at once. When the
    features that wait fill ``feature_budget``, further queries are encoded a second time
    in the end.

    Results are those of mmengine's loop, on a CPU to the bit, on a GPU but for rounding.
    That loop takes over, with a line in the log, where images cannot be shared: a data
    set other than :class:`EpisodicDataset`, pipelines that draw at random, a model that
    adapts to the supports of each episode, a segmentor or head of another kind than
    mmssp's. Hooks see one episode at a time, in another order; their data batch is loaded
    when they ask for it.

    Args:
        runner: The runner.
        dataloader: As mmengine's loop. Its data set, workers and pinning count; batches
            have one episode.
        evaluator: As mmengine's loop.
        feature_budget: Bytes of features that wait, on the model's device, in this
            process; None takes a quarter of what is free there, shared by the processes
            of this machine that use it.
        dtype: Encode under autocast to ``'bfloat16'`` or ``'float16'``; scores then
            differ a little, and say so. None is exact.
        channels_last: Encode in this memory format, as is always done on a CPU; faster
            on some GPUs, and other rounding.
        compile: Compile the encoder by ``torch.compile``; other rounding. Worth it for
            many images of few sizes.
        adapt: Config of an :class:`mmssp.models.Adapter`, which learns from the supports
            of each episode before it is predicted; in the place of the model's. A
            departure from every protocol, and named so.
    """

    mode: Literal['val', 'test']

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader[Any] | dict[str, Any],
        evaluator: Evaluator | dict[str, Any] | list[Any],
        feature_budget: int | None = None,
        dtype: str | None = None,
        channels_last: bool = False,
        compile: bool = False,
        adapt: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        encoded_as = autocast_dtype(dtype)
        if feature_budget is not None and feature_budget < 0:
            raise ValueError(
                f'feature_budget={feature_budget}: expected bytes, 0 or more'
            )
        if isinstance(dataloader, dict):
            dataloader = dict(dataloader, batch_size=1)
        super().__init__(runner, dataloader, evaluator, **kwargs)
        self.feature_budget = feature_budget
        self.dtype = encoded_as
        self.channels_last = channels_last
        self.compile = compile
        self.adapter: Adapter | None = MODELS.build(adapt) if adapt else None
        self._dtype_name = dtype

    def run(self) -> dict[str, Any]:
        """Run all episodes of this process; returns the scores of all processes."""
        model = self.runner.model
        model = model.module if is_model_wrapper(model) else model
        with _adapting(model, self.adapter):
            return self._run(model)

    def _run(self, model: Any) -> dict[str, Any]:
        device = next(model.parameters()).device
        add_departures(
            self.evaluator.metrics,
            [
                *rounding_departures(
                    device, self._dtype_name, self.channels_last, self.compile
                ),
                *model_departures(model),
            ],
        )
        dataset = self.dataloader.dataset
        reason = _why_not(model, dataset)
        episodes, visits = {}, []
        if reason is None:
            everything = {i: dataset.episode(i) for i in range(len(dataset))}
            # of the same image in all processes, which have to go the same way
            first = [Visit(everything[0].query, labels=(), items=())]
            if ImageViews(dataset, first).draws_at_random():
                reason = 'its pipelines draw at random'
            own = share(everything, *get_dist_info())
            episodes = {i: everything[i] for i in own}
            visits = plan_visits(episodes)
        if reason is not None:
            if self.dtype is not None:
                raise ValueError(
                    f'dtype: {type(self).__name__} cannot be used: {reason}'
                )
            print_log(f'every image is encoded for each episode: {reason}', 'current')
            return super().run()
        self._call_hook('before')
        self._call_hook('before', '_epoch')
        model.eval()
        with torch.no_grad():
            outputs = _Episodes(self, model, dataset, episodes).run(visits)
            for number, (item, sample) in enumerate(outputs):
                batch = LazyBatch(partial(self._batch, item))
                self._call_hook('before', '_iter', batch_idx=number, data_batch=batch)
                self.evaluator.process(data_samples=[sample], data_batch=batch)
                self._call_hook(
                    'after',
                    '_iter',
                    batch_idx=number,
                    data_batch=batch,
                    outputs=[sample],
                )
        metrics = self.evaluator.evaluate(len(dataset))
        self._call_hook('after', '_epoch', metrics=metrics)
        self._call_hook('after')
        return metrics

    def _call_hook(self, when: str, what: str = '', **kwargs: Any) -> None:
        self.runner.call_hook(f'{when}_{self.mode}{what}', **kwargs)

    def _batch(self, i: int) -> dict[str, Any]:
        return self.dataloader.collate_fn([self.dataloader.dataset[i]])


@LOOPS.register_module()
class EpisodicTestLoop(_EpisodicLoop, TestLoop):
    mode = 'test'
    __doc__ = _EpisodicLoop.__doc__


@LOOPS.register_module()
class EpisodicValLoop(_EpisodicLoop, ValLoop):
    mode = 'val'
    __doc__ = _EpisodicLoop.__doc__


class LazyBatch(Mapping[str, Any]):
    """A data batch that is loaded when somebody looks into it.

    Args:
        load: Gives the batch.
    """

    def __init__(self, load: Callable[[], dict[str, Any]]) -> None:
        self._load = load
        self._batch: dict[str, Any] | None = None

    def _loaded(self) -> dict[str, Any]:
        if self._batch is None:
            self._batch = self._load()
        return self._batch

    def __getitem__(self, name: str) -> Any:
        return self._loaded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())


class _Episodes:
    """One pass over a process's episodes: the state of :class:`_EpisodicLoop`."""

    def __init__(
        self,
        loop: _EpisodicLoop,
        model: FewShotEncoderDecoder,
        dataset: EpisodicDataset,
        episodes: Mapping[int, Episode],
    ) -> None:
        self.loop = loop
        self.model = model
        self.dataset = dataset
        self.episodes = episodes
        self.device = next(model.parameters()).device
        budget: int | None = loop.feature_budget
        if budget is None:
            free = free_memory(self.device) * FREE_SHARE
            budget = int(free) // processes_sharing(self.device)
        self.budget = budget
        self.held_bytes = 0
        self.held: dict[int, Query] = {}
        self.states: dict[tuple[int, int], State] = {}
        self.paths: dict[int, str] = {}
        self.waiting = Waiting(episodes)
        self.encoder: Callable[[Tensor], Tensor] = model.encode
        if loop.compile:
            self.encoder = torch.compile(self.encoder)

    def run(self, visits: list[Visit]) -> Iterator[tuple[int, Any]]:
        """Yields (item, sample with its prediction), in no particular order."""
        again = []
        for view in self._load(visits):
            visit: Visit = view['visit']
            self.paths[visit.image] = view['img_path']
            features = None
            if visit.labels:
                features = self._encode(self._normalised(view['support']))
                yield from self._add_support(visit, features, view['support_masks'])
            if visit.items:
                query = self._query(view, features)
                if self.waiting.is_ready(visit.image):
                    yield from self._match(query)
                elif self.held_bytes + query.nbytes <= self.budget:
                    self.held[visit.image] = query
                    self.held_bytes += query.nbytes
                else:
                    again.append(replace(visit, labels=()))
        for view in self._load(again):
            yield from self._match(self._query(view, None))

    def _load(self, visits: list[Visit]) -> DataLoader[Any] | list[Any]:
        """Views, decoded ahead by the dataloader's workers."""
        if not visits:
            return []
        own = self.loop.dataloader
        return DataLoader(
            ImageViews(self.dataset, visits),
            batch_size=None,
            collate_fn=share_from_worker,
            num_workers=own.num_workers,
            prefetch_factor=own.prefetch_factor,
            pin_memory=own.pin_memory or self.device.type == 'cuda',
            multiprocessing_context=own.multiprocessing_context,
        )

    def _normalised(self, image: Tensor) -> Tensor:
        """(1,3,H,W) float of an image (3,H,W) uint8."""
        image = image.to(self.device, non_blocking=True)
        normalised: Tensor = self.model.data_preprocessor.normalise(image)[None]
        return normalised

    def _encode(self, image: Tensor) -> Tensor:
        """Features (1,C,h,w) of an image (1,3,H,W)."""
        dtype = self.loop.dtype
        if self.loop.channels_last:
            image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            return self.encoder(image)

    def _query(self, view: dict[str, Any], as_support: Tensor | None) -> Query:
        loaded = view['support' if view['query'] is True else 'query']
        height, width = loaded.shape[-2:]
        sizes = [(height, width)]
        if as_support is not None and view['query'] is True and self.model.tta is None:
            features = [as_support]
        else:
            image = self._normalised(loaded)
            seen = self.model.query_views(image)
            sizes = [(own.shape[-2], own.shape[-1]) for own in seen]
            known = as_support if view['query'] is True else None
            features = [
                known if known is not None and own is image else self._encode(own)
                for own in seen
            ]
        return Query(
            view['visit'].items,
            features,
            sizes,
            (height, width),
            view['truths'],
            view['query_infos'],
            loaded if self.model.refiner is not None else None,
        )

    def _add_support(
        self, visit: Visit, features: Tensor, masks: dict[int, Tensor]
    ) -> Iterator[tuple[int, Any]]:
        """Keep an image's states; match the queries that were waiting for them."""
        for label in visit.labels:
            mask = masks[label][None].to(self.device, non_blocking=True)
            self.states[visit.image, label] = self.model.shot_state(features, mask)
            for image in self.waiting.arrived((visit.image, label)):
                if image in self.held:
                    query = self.held.pop(image)
                    self.held_bytes -= query.nbytes
                    yield from self._match(query)

    def _match(self, query: Query) -> Iterator[tuple[int, Any]]:
        """All episodes of a query."""
        head = self.model.decode_head
        prepared = [head.prepare(features) for features in query.features]
        image = query.image
        if image is not None:
            image = self.model.data_preprocessor.normalise(image.to(self.device))
        truths = {
            label: truth.to(self.device, non_blocking=True).long()[None]
            for label, truth in query.truths.items()
        }
        for items in self._at_once(query):
            episodes = [self.episodes[item] for item in items]
            logits = self.model.of_views(
                self._match_at_once(prepared, [self._support(e) for e in episodes]),
                query.sizes,
                query.size,
            )
            samples = [
                self._sample(query, item, episode, truths[episode.label])
                for item, episode in zip(items, episodes, strict=True)
            ]
            self.model.add_predictions(samples, logits, query.size, image)
            for item, episode, sample in zip(items, episodes, samples, strict=True):
                for key in self.waiting.used(episode):
                    del self.states[key]
                yield item, sample

    def _at_once(self, query: Query) -> list[tuple[int, ...]]:
        """A query's episodes, as many together as are matched at once."""
        if self.device.type in ONE_BY_ONE:
            return [(item,) for item in query.items]
        scored = next(iter(query.truths.values())).numel()
        pixels = scored + sum(height * width for height, width in query.sizes)
        each = sum(own.nbytes for own in query.features) + PIXEL_BYTES * pixels
        count = max(1, AT_ONCE // each)
        return [
            query.items[start : start + count]
            for start in range(0, len(query.items), count)
        ]

    def _match_at_once(
        self, queries: Sequence[Any], supports: Sequence[State]
    ) -> list[dict[str, Tensor]]:
        """Logits (N,2,h,w) of each view of one query with N supports.

        Args:
            queries: The views, from the head's ``prepare``.
            supports: From its ``combine``.
        """
        head = self.model.decode_head
        number = len(supports)
        several = [own if number == 1 else head.expand(own, number) for own in queries]
        alike = all(_shapes(own) == _shapes(supports[0]) for own in supports)
        if alike and all(own is not None for own in several):
            state = joined_states(supports)
            return [head.match_state(own, state) for own in several]
        return [
            joined_states([head.match_state(own, state) for state in supports])
            for own in queries
        ]

    def _support(self, episode: Episode) -> State:
        """The state of an episode's supports."""
        shots = [self.states[key] for key in support_keys(episode)]
        return self.model.decode_head.combine(shots)

    def _sample(self, query: Query, item: int, episode: Episode, truth: Tensor) -> Any:
        """An episode's data sample, on the device."""
        paths = [self.paths[image] for image in episode.supports]
        sample = self.dataset.query_sample(item, query.infos[episode.label], paths)
        sample = sample.to(self.device)
        sample.gt_sem_seg = PixelData(data=truth)
        return sample


def _shapes(state: State) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _why_not(model: torch.nn.Module, dataset: Any) -> str | None:
    """Why images cannot be shared; None if they can."""
    if not isinstance(dataset, EpisodicDataset):
        return f'{type(dataset).__name__} is no EpisodicDataset'
    if not isinstance(model, FewShotEncoderDecoder):
        return f'{type(model).__name__} is no FewShotEncoderDecoder'
    if not isinstance(model.decode_head, MatchingHead):
        return f'{type(model.decode_head).__name__} is no MatchingHead'
    if model.adapter is not None:
        return f'{type(model.adapter).__name__} adapts to the supports of each'
    return None


@contextmanager
def _adapting(model: Any, adapter: Adapter | None) -> Iterator[None]:
    """Let a model adapt inside, if there is anything to adapt by."""
    if adapter is None:
        yield
        return
    before, model.adapter = getattr(model, 'adapter', None), adapter
    try:
        yield
    finally:
        model.adapter = before

"""Show a few labelled images once, then segment any number of others."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..models.adaptation import (
    Adapter,
    Budget,
    DecoderAdapter,
    Shot,
    adapt,
)
from ..models.adaptation.budget import Report
from ..models.decode_heads.matching_head import State
from ..utils.precision import autocast_dtype
from .adapting import Adapted, watched
from .annotations.conversion import to_mask
from .annotations.naming import naming
from .encoding import raw_pixels
from .image_scores import doubt, presence
from .images import read_any_image
from .matching import Matcher
from .models import build_model, fingerprint, first_fingerprint
from .result import Result, checked_share
from .support.support_bank import Support, SupportShot, load_bank, save_bank
from .support.support_check import leave_one_out


def _devices() -> list[str]:
    """What the devices of this machine are called."""
    found = {
        'cpu': True,
        'cuda': torch.cuda.is_available(),
        'mps': torch.backends.mps.is_available(),
    }
    return [name for name, there in found.items() if there]


class FewShotInferencer:
    """Segments objects of classes that one to a few labelled images show.

    Without training, prototypes of the labelled images are matched in the features of
    the others (SSP, arXiv 2207.11549); :meth:`adapt` learns from the labelled images.
    One object is not to be used by several threads at a time; :meth:`fork` gives each its
    own, with the same weights.

    Example:
        >>> inferencer = FewShotInferencer('ssp_efficientnet-lite0')
        >>> inferencer.set_support(['a.jpg', 'b.jpg'], ['a.png', 'b.png'], name='screw')
        >>> result = inferencer.predict('query.jpg')
        >>> result.mask, result.scores

    Args:
        model: Name of a model, such as ``'ssp_efficientnet-lite0'`` (ImageNet features
            that come with a package), or the path of a config.
        weights: Checkpoint of that model; None for the config's initial weights.
        device: As PyTorch names it; None takes a GPU if there is one.
        dtype: Encode under autocast to ``'bfloat16'`` or ``'float16'``; None is exact.
        image_size: Images are resized, aspect kept, to the area of a square of this
            side; None leaves them as they are.
        tile: Cut images with a longer side into tiles of this side, in pixels, and
            encode them at their own resolution: for small objects in large images.
        threshold: Probability in [0, 1] above which a pixel can be of a class.
        presence_threshold: Presence score in [0, 1] from which on a class is in an image.
        max_pixels: Larger images are refused, before they are decoded.

    Attributes:
        on_share: Called by :meth:`predict` after each tile of an image that is cut into
            tiles, with the share of the image that is done, in (0, 1]; None for nothing.

    Raises:
        FileNotFoundError: No such model, checkpoint or initial weights.
        ValueError: An argument is out of range, or the checkpoint does not fit.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = 'ssp_efficientnet-lite0',
        weights: str | os.PathLike[str] | None = None,
        device: str | torch.device | None = None,
        *,
        dtype: str | None = None,
        image_size: int | None = 480,
        tile: int | None = None,
        threshold: float = 0.5,
        presence_threshold: float = 0.65,
        max_pixels: int = 200_000_000,
    ) -> None:
        self.dtype = autocast_dtype(dtype)
        for name, value in (('image_size', image_size), ('tile', tile)):
            if value is not None and (not isinstance(value, int) or value < 32):
                raise ValueError(
                    f'{name}={value!r}: expected None or 32 or more pixels'
                )
        if device is None:
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        try:
            self.device = torch.device(device)
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            # PyTorch lists twenty kinds of devices that hardly anybody has
            reason = str(error).partition(' device type at start')[0].splitlines()[0]
            raise ValueError(
                f'device={str(device)!r} cannot be used here ({reason[:100]}); expected '
                f'cpu, cuda, cuda:0 or mps, of which here: {", ".join(_devices())}'
            ) from error
        self.image_size = image_size
        self.tile = tile
        self.threshold = checked_share('threshold', threshold)
        self.presence_threshold = checked_share(
            'presence_threshold', presence_threshold
        )
        self.max_pixels = max_pixels
        self.on_share: Callable[[float], None] | None = None
        self.model = build_model(model, weights, self.device)
        self.adapter: Adapter = self.model.adapter or DecoderAdapter()
        self._supports: dict[str, Support] = {}

    def fork(self) -> 'FewShotInferencer':
        """Another one with the same model and settings, and no support."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, _supports={})
        return other

    @property
    def names(self) -> tuple[str, ...]:
        """Classes, in the order in which their supports were first set."""
        return tuple(self._supports)

    @property
    def support_annotations(self) -> dict[str, list[np.ndarray]]:
        """Class → what is labelled on each of its images, as far as these are at hand:
        (H,W) uint8 in {0, 1, 255}, of the size at which learning sees the image."""
        return {n: [k.annotation for k in s.shots] for n, s in self._supports.items()}

    @property
    def num_shots(self) -> dict[str, int]:
        """Class → number of its support images."""
        return {name: s.num_shots for name, s in self._supports.items()}

    @property
    def model_fingerprint(self) -> str:
        """What a support bank must have been made with: the model as it is now, and the
        sizes at which images are encoded."""
        return fingerprint(self.model, image_size=self.image_size, tile=self.tile)

    @torch.no_grad()
    def set_support(
        self,
        images: Any,
        annotations: Any,
        name: str = 'object',
        *,
        names: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        """Encode the support images of a class; replaces those it had.

        Args:
            images: One image, or a sequence of K: a path, bytes, a PIL image, or an
                array (H,W,3) uint8.
            annotations: One for each image: a mask (path, array (H,W), PIL image; 255 is
                ignored), :class:`Box`, :class:`Polygon`, :class:`Points`, a LabelMe
                file, or COCO annotations. See
                :func:`mmssp.apis.annotations.conversion.to_mask`. None says that the
                object is not in this image, which :meth:`adapt` learns from.
            name: Of the class.
            names: Instead of ``name``, the class of each image.
            **options: ``class_value``, which value of a mask, or label of a LabelMe file,
                is meant, where there are several; ``tighten=True``, fit boxes and points
                to the object by OpenCV's GrabCut; ``resize=True``, resize masks that have
                another size than their image, which are refused else;
                ``channel_order`` of arrays, ``'rgb'`` or ``'bgr'``.

        Raises:
            FileNotFoundError: No such file.
            ValueError: An image or annotation cannot be read, does not fit, or marks no
                foreground. Nothing has changed then.
        """
        shots = self._shots(images, annotations, name, names, **options)
        absent = [own for own, k in shots.items() if not any(s.shows for s in k)]
        if absent:
            raise ValueError(
                f'{absent[0]}: no support image shows it; expected one that does, beside '
                'those without it'
            )
        self._supports.update({own: self._support(k) for own, k in shots.items()})

    @torch.no_grad()
    def add_support(
        self,
        images: Any,
        annotations: Any,
        name: str = 'object',
        *,
        names: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        """Add to the support images that classes have; else as :meth:`set_support`.

        What was learned stays, and is matched with the new images as well; :meth:`adapt`
        goes on from there.

        Args:
            images: See :meth:`set_support`.
            annotations: Likewise.
            name: Likewise.
            names: Likewise.
            **options: Likewise.

        Raises:
            FileNotFoundError: No such file.
            ValueError: As there; or the images of a class are not at hand, since its
                support was loaded from a file. Nothing has changed then.
        """
        shots = self._shots(images, annotations, name, names, **options)
        added = {}
        for own, k in shots.items():
            before = self._supports.get(own)
            if before is not None and not before.shots:
                raise ValueError(
                    f'{own}: its support was loaded from a file, which does not hold the '
                    'images; set its support anew, with all of them'
                )
            if before is None and not any(shot.shows for shot in k):
                raise ValueError(
                    f'{own}: the first support images of a class have to show it'
                )
            earlier = () if before is None else before.shots
            learned = None if before is None else before.learned
            added[own] = self._support([*earlier, *k], learned)
        self._supports.update(added)

    def _shots(
        self,
        images: Any,
        annotations: Any,
        name: str,
        names: Sequence[str] | None,
        *,
        class_value: int | str | None = None,
        tighten: bool = False,
        resize: bool = False,
        channel_order: str = 'rgb',
    ) -> dict[str, list[SupportShot]]:
        """Support images by class, read and encoded."""
        if not isinstance(images, (list, tuple)):
            # boxes or polygons of one image may be several
            alone = isinstance(annotations, (list, tuple)) and len(annotations) == 1
            images = [images]
            annotations = annotations if alone else [annotations]
        images, annotations = _as_list(images), _as_list(annotations)
        if not images or len(images) != len(annotations):
            raise ValueError(
                f'{len(images)} support images and {len(annotations)} annotations: '
                'expected at least one, and an annotation for each image'
            )
        names = [name] * len(images) if names is None else list(names)
        if len(names) != len(images):
            raise ValueError(f'names: {len(names)} for {len(images)} images')
        wrong = [n for n in names if not isinstance(n, str) or not n.strip()]
        if wrong:
            raise ValueError(f'name={wrong[0]!r}: expected a class name')
        if len({*self.names, *names}) > 254:
            raise ValueError('expected at most 254 classes: a label map has 8 bits')
        shots: dict[str, list[SupportShot]] = {}
        for k, own in enumerate(names):
            with naming(images[k], annotations[k], k, len(names)):
                image = self._read(images[k], channel_order)
                mask = (
                    np.zeros(image.shape[:2], np.uint8)
                    if annotations[k] is None
                    else to_mask(
                        annotations[k],
                        image,
                        class_value=class_value,
                        tighten=tighten,
                        resize=resize,
                    )
                )
            shots.setdefault(own, []).append(self._matcher.shot(image, mask))
        return shots

    @torch.no_grad()
    def remove_support(self, name: str, index: int | None = None) -> None:
        """Forget a class, or one of its images; what was learned of the class stays.

        Args:
            name: Of the class.
            index: Of the image, in the order in which they came; None for the class.

        Raises:
            ValueError: If there is no such class or image, or no other image shows the
                class.
        """
        self._check_name(name)
        if index is None:
            del self._supports[name]
            return
        support = self._supports[name]
        if not -len(support.shots) <= index < len(support.shots):
            raise ValueError(
                f'index={index}: {name} has {len(support.shots)} support images at hand'
            )
        rest = list(support.shots)
        del rest[index]
        if not any(shot.shows for shot in rest):
            raise ValueError(
                f'{name}: no other support image shows it; remove the class as a whole'
            )
        self._supports[name] = self._support(rest, support.learned)

    def save_support(self, path: str | os.PathLike[str]) -> None:
        """Write what matching needs of all classes to a small file, without pickle.

        Raises:
            ValueError: If there is no support.
            OSError: If it cannot be written.
        """
        self._check_some()
        save_bank(
            path,
            self._supports,
            self.model_fingerprint,
            self._head_name,
            self._adapter_name,
        )

    def load_support(self, path: str | os.PathLike[str]) -> None:
        """Take the classes of a file instead of the present ones.

        Raises:
            FileNotFoundError: No such file.
            ValueError: It is no support bank, or was made with another model or at
                another size. Nothing has changed then.
        """
        loaded = load_bank(
            path,
            self.model_fingerprint,
            self._head_name,
            self._adapter_name,
            first_fingerprint(self.model),
        )
        for name, support in loaded.items():
            try:
                self.model.decode_head.check_state(support.state)
            except ValueError as error:
                raise ValueError(f'{path}: class {name}: {error}') from error
            for state in (support.state, support.adapted):
                state.update({key: v.to(self.device) for key, v in state.items()})
        self._supports = loaded

    @torch.no_grad()
    def load_learned(self, path: str | os.PathLike[str]) -> tuple[str, ...]:
        """Take what was learned of classes from a file of :meth:`save_support`.

        The present support images stay, so that :meth:`adapt` goes on from there.

        Args:
            path: The file; of its classes those count that have support images now.

        Returns:
            The classes of which something was learned, or found to be no use; none where
            one labelled image was found well as it was.

        Raises:
            FileNotFoundError: No such file.
            ValueError: It is no support bank, or was made with another model or at
                another size. Nothing has changed then.
        """
        other = self.fork()
        other.load_support(path)
        learned = {
            name: state
            for name, support in self._supports.items()
            if support.shots and name in other._supports
            if (state := other._supports[name].learned) is not None
        }
        self._supports.update(
            {n: self._support(self._supports[n].shots, s) for n, s in learned.items()}
        )
        return tuple(learned)

    def adapt(
        self,
        seconds: float | None = 60,
        *,
        iterations: int | None = None,
        progress: bool | Report = True,
    ) -> dict[str, Adapted]:
        """Learn from the labelled images of all classes, which takes about a minute.

        What is learned belongs to the supports: it is saved with them, and gone when they
        are set anew. After :meth:`add_support`, learning goes on from what was learned,
        and some seconds will do. Of a class that was found to be matched better as it
        was, only a longer time judges anew. A class that one image shows, and that is
        found well with it, needs no learning, and no time. The model's own parameters
        stay as they are.

        Ctrl-C ends it early, with what there is by then.

        Args:
            seconds: Of learning.
            iterations: Instead of it; the same number gives the same result.
            progress: Show a bar, or lines where there is no terminal; or a function that is
                called with the share of the time that is used, in [0, 1], and what is
                being done.

        Returns:
            What was learned of each class.

        Raises:
            ValueError: If there is no support, or one from a file, which does not hold
                the images, or a number is out of range.
        """
        self._check_some()
        without = [name for name, s in self._supports.items() if not s.shots]
        if without:
            raise ValueError(
                f'the images of {without[0]} are not at hand: a file holds what was made '
                'of them only; set its support anew'
            )
        normalise = self.model.data_preprocessor.normalise
        shots = {
            name: [
                Shot(
                    normalise(raw_pixels(shot.view.pixels).to(self.device)),
                    torch.from_numpy(shot.annotation).to(self.device),
                )
                for shot in support.shots
            ]
            for name, support in self._supports.items()
        }
        before = {
            name: support.learned
            for name, support in self._supports.items()
            if support.learned is not None
        }
        budget = Budget(None if iterations else seconds, iterations)
        with watched(budget, progress):
            states = adapt(self.adapter, self.model, shots, budget, before)
        # that a class is matched better as it was takes time and two images to tell
        known = (
            {n for n, s in before.items() if not s}
            if budget.is_short
            else {n for n, own in shots.items() if _shown(own) > 1}
        )
        with torch.no_grad():
            self._supports = {
                name: self._support(
                    support.shots, states[name] or ({} if name in known else None)
                )
                for name, support in self._supports.items()
            }
        return {
            name: Adapted(
                budget.iterations_done,
                budget.elapsed,
                **self.adapter.described(states[name]),
            )
            for name in states
        }

    def check_support(self, name: str) -> dict[str, Any]:
        """How well each support image is segmented by the others.

        Args:
            name: A class with K ≥ 2 images.

        Returns:
            ``iou``, K numbers in [0, 1], and ``warnings``, a sentence for each image
            that disagrees with the others.

        Raises:
            ValueError: Fewer than two images, or loaded from a file, which does not
                hold them.
        """
        self._check_name(name)
        return leave_one_out(self.model.decode_head, self._supports[name], name)

    @torch.no_grad()
    def predict(
        self, image: Any, *, threshold: float | None = None, channel_order: str = 'rgb'
    ) -> Result:
        """Segment one image.

        Args:
            image: As for :meth:`set_support`.
            threshold: Instead of the inferencer's.
            channel_order: As for :meth:`set_support`.

        Returns:
            Masks and scores of all classes.

        Raises:
            FileNotFoundError: No such file.
            ValueError: It cannot be read as an image, or there is no support.
        """
        self._check_some()
        threshold = self.threshold if threshold is None else threshold
        threshold = checked_share('threshold', threshold)
        source = Path(image) if isinstance(image, (str, os.PathLike)) else None
        image = self._read(image, channel_order)
        matcher = self._matcher
        found = matcher.match(image, self._supports)
        return Result(
            image=image,
            names=self.names,
            margins=partial(
                matcher.margins,
                [(own.logits['final'], own.seen) for own in found.values()],
                image,
            ),
            scores={
                name: presence(
                    self.model.decode_head.presence_margins(
                        own.logits['baseline'], self._supports[name].num_shown
                    )
                )
                for name, own in found.items()
            },
            threshold=threshold,
            presence_threshold=self.presence_threshold,
            _explain=partial(matcher.explain, image, dict(self._supports)),
            source=source,
            doubt=max(doubt(own.logits) for own in found.values()),
        )

    def predict_batch(
        self,
        images: Iterable[Any],
        *,
        threshold: float | None = None,
        channel_order: str = 'rgb',
    ) -> list[Result]:
        """Segment several images and keep all results; see :meth:`predict_stream`."""
        return list(
            self.predict_stream(
                images, threshold=threshold, channel_order=channel_order
            )
        )

    def predict_stream(
        self,
        images: Iterable[Any],
        *,
        threshold: float | None = None,
        channel_order: str = 'rgb',
    ) -> Iterator[Result]:
        """Segment any number of images, each when its result is asked for.

        One after the other: results do not depend on what else is in the batch, and
        nothing is kept of those that were handed out.

        Args:
            images: As for :meth:`predict`.
            threshold: As for :meth:`predict`.
            channel_order: As for :meth:`predict`.

        Yields:
            Their results, in order.
        """
        for image in images:
            yield self.predict(image, threshold=threshold, channel_order=channel_order)

    @torch.no_grad()
    def suggest(
        self, images: Sequence[Any], *, channel_order: str = 'rgb'
    ) -> list[tuple[int, float]]:
        """Which images would help most if they were labelled, too.

        Those about which the first guess by matching and the final decision disagree,
        and those whose pixels are neither clearly of a class nor clearly not.

        Args:
            images: Without labels; as for :meth:`predict`.
            channel_order: As for :meth:`predict`.

        Returns:
            The place of each in ``images``, and its doubt in [0, 1], the greatest first.

        Raises:
            FileNotFoundError: No such file.
            ValueError: One cannot be read, or there is no support.
        """
        self._check_some()
        doubts = [
            (i, self.predict(image, channel_order=channel_order).doubt)
            for i, image in enumerate(images)
        ]
        return sorted(doubts, key=lambda own: (-own[1], own[0]))

    @property
    def _matcher(self) -> Matcher:
        return Matcher(
            self.model,
            self.adapter,
            self.device,
            self.dtype,
            self.image_size,
            self.tile,
            self.on_share,
        )

    def _read(self, image: Any, channel_order: str) -> np.ndarray:
        return read_any_image(
            image, channel_order=channel_order, max_pixels=self.max_pixels
        )

    @property
    def _head_name(self) -> str:
        return type(self.model.decode_head).__name__

    @property
    def _adapter_name(self) -> str:
        return type(self.adapter).__name__

    def _support(
        self, shots: Sequence[SupportShot], learned: State | None = None
    ) -> Support:
        state = self._matcher.combined(shots, learned or {})
        shown = sum(shot.shows for shot in shots)
        return Support(state, len(shots), shown, tuple(shots), learned)

    def _check_name(self, name: str) -> None:
        if name not in self._supports:
            raise ValueError(f'name={name!r}: expected one of {list(self.names)}')

    def _check_some(self) -> None:
        if not self._supports:
            raise ValueError('no support yet: call set_support or load_support first')


def _shown(shots: Sequence[Shot]) -> int:
    """How many of them show the object."""
    return sum(bool((shot.mask == 1).any()) for shot in shots)


def _as_list(value: Any) -> list[Any]:
    """A sequence as a list; one image or annotation as a list of one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]

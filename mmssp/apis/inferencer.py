"""Show a few labelled images once, then segment any number of others."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..models.adaptation import Shot, adapt
from ..models.decision import margins
from ..models.decode_heads.matching_head import State
from ..models.prototypes import mask_weights
from ..utils.precision import autocast_dtype
from .annotations.conversion import to_mask
from .encoding import View, encode_image, raw_pixels, viewed
from .explanation import Explanation
from .images import read_any_image
from .models import build_model, fingerprint, first_fingerprint
from .result import Result, checked_share
from .support.support_bank import Support, SupportShot, load_bank, save_bank
from .support.support_check import leave_one_out

TOP_SHARE = 0.01
"""Of a query's pixels, those most like the class, that tell whether it is there."""


class FewShotInferencer:
    """Segments objects of classes that one to a few labelled images show.

    No training: prototypes of the labelled images are matched in the features of the
    others (SSP, arXiv 2207.11549). One object is not to be used by several threads at a
    time; :meth:`fork` gives each its own, with the same weights.

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
            raise ValueError(f'device={device!r} cannot be used: {error}') from error
        self.image_size = image_size
        self.tile = tile
        self.threshold = checked_share('threshold', threshold)
        self.presence_threshold = checked_share(
            'presence_threshold', presence_threshold
        )
        self.max_pixels = max_pixels
        self.model = build_model(model, weights, self.device)
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
        class_value: int | str | None = None,
        tighten: bool = False,
        resize: bool = False,
        channel_order: str = 'rgb',
    ) -> None:
        """Encode the support images of a class; replaces those it had.

        Args:
            images: One image, or a sequence of K: a path, bytes, a PIL image, or an
                array (H,W,3) uint8.
            annotations: One for each image: a mask (path, array (H,W), PIL image; 255 is
                ignored), :class:`Box`, :class:`Polygon`, :class:`Points`, a LabelMe
                file, or COCO annotations. See
                :func:`mmssp.apis.annotations.conversion.to_mask`.
            name: Of the class.
            names: Instead of ``name``, the class of each image.
            class_value: Which value of a mask, or label of a LabelMe file, is meant,
                where there are several.
            tighten: Fit boxes and points to the object by OpenCV's GrabCut.
            resize: Resize masks that have another size than their image; else they are
                refused.
            channel_order: Of arrays: ``'rgb'`` or ``'bgr'``.

        Raises:
            FileNotFoundError: No such file.
            ValueError: An image or annotation cannot be read, does not fit, or marks no
                foreground. Nothing has changed then.
        """
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
        for image, annotation, own in zip(images, annotations, names, strict=True):
            image = self._read(image, channel_order)
            mask = to_mask(
                annotation,
                image,
                class_value=class_value,
                tighten=tighten,
                resize=resize,
            )
            shots.setdefault(own, []).append(self._shot(image, mask))
        self._supports.update({own: self._support(k) for own, k in shots.items()})

    def remove_support(self, name: str) -> None:
        """Forget a class.

        Raises:
            ValueError: If there is no such class.
        """
        self._check_name(name)
        del self._supports[name]

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

    def adapt(self) -> None:
        """Let the model's adapter learn from the labelled images of all classes.

        What it learns belongs to the supports: it is saved with them, and gone when they
        are set anew. The model's own parameters stay as they are.

        Raises:
            ValueError: If the model has no adapter (``adapter=dict(type=…)`` in its
                config), or there is no support, or one from a file, which does not hold
                the images.
        """
        self._check_some()
        adapter = self.model.adapter
        if adapter is None:
            raise ValueError(
                "the model adapts to nothing: expected adapter=dict(type='…') in its "
                'config'
            )
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
        states = adapt(adapter, self.model, shots)
        with torch.no_grad():
            self._supports = {
                name: Support(
                    self._combined(support.shots, states[name]),
                    support.num_shots,
                    support.shots,
                    states[name],
                )
                for name, support in self._supports.items()
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
        image = self._read(image, channel_order)
        view = self._view(image)
        found = self._matched(view)
        return Result(
            image=image,
            names=self.names,
            margins=partial(
                self._margins,
                [logits['final'] for logits in found.values()],
                view.pixels.shape[:2],
                image,
            ),
            scores={name: presence(ls['baseline']) for name, ls in found.items()},
            threshold=threshold,
            presence_threshold=self.presence_threshold,
            _explain=partial(
                self._explain, image, self.image_size, self.tile, dict(self._supports)
            ),
        )

    def _matched(self, view: View) -> dict[str, dict[str, Tensor]]:
        """Logits (1,2,h,w) of each class in an image."""
        head = self.model.decode_head
        found, encoded = {}, {}
        for name, support in self._supports.items():
            # classes adapted together share their features, and so do those that are not
            key = tuple(id(value) for value in support.adapted.values())
            if key not in encoded:
                features = self._encode(view, support.adapted)
                encoded[key] = features, head.prepare(features)
            features, prepared = encoded[key]
            found[name] = self.model.match_adapted(
                prepared, features, support.state, support.adapted or None
            )
        return found

    @torch.no_grad()
    def _margins(
        self,
        logits: Sequence[Tensor],
        seen: Sequence[int],
        image: np.ndarray,
        i: int,
    ) -> np.ndarray:
        """(H,W) float32 of the class of number ``i``, at the image's own size."""
        own = self._at_size(logits[i].float(), seen, image.shape[:2])
        return margins(own, self.model.refiner, image)[0].cpu().numpy()

    def _at_size(
        self, maps: Tensor, seen: Sequence[int], size: Sequence[int]
    ) -> Tensor:
        """Maps (1,C,h,w) of an image's features at its own size, as in testing: first at
        the size at which it was encoded."""
        maps = self.model.logits_at(maps, seen)
        if tuple(seen) == tuple(size):
            return maps
        return self.model.decode_head.upsample(maps, size)

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

    def _read(self, image: Any, channel_order: str) -> np.ndarray:
        return read_any_image(
            image, channel_order=channel_order, max_pixels=self.max_pixels
        )

    @property
    def _head_name(self) -> str:
        return type(self.model.decode_head).__name__

    @property
    def _adapter_name(self) -> str:
        adapter = self.model.adapter
        return '' if adapter is None else type(adapter).__name__

    def _view(self, image: np.ndarray) -> View:
        return viewed(image, self.image_size, self.tile)

    def _encode(self, view: View, adapted: State) -> Tensor:
        """(1,C,h,w)."""
        return encode_image(
            self.model,
            view.pixels,
            self.device,
            self.dtype,
            view.tile,
            partial(self.model.adapted_features, state=adapted or None),
        )

    def _shot(self, image: np.ndarray, mask: np.ndarray) -> SupportShot:
        view = self._view(image)
        features = self._encode(view, {})
        size, seen = features.shape[-2:], view.pixels.shape[:2]
        small = mask
        if mask.shape != seen:
            small = cv2.resize(mask, seen[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        fitted = self.model.fit_mask(torch.from_numpy(small))
        if not mask_weights((fitted == 1).float()[None], size).any():
            fitted = self._cells(mask, size, seen)
        return SupportShot(features, fitted.to(self.device), view, small)

    def _cells(
        self, mask: np.ndarray, cells: Sequence[int], seen: Sequence[int]
    ) -> Tensor:
        """A mask of cells (h,w), for an object so small that pooling would miss it.

        The cells that hold most of it are it.
        """
        height, width = self.model.covered(seen)
        scale = height / seen[0], width / seen[1]
        whole = [
            max(1, round(side * s)) for side, s in zip(mask.shape, scale, strict=True)
        ]
        padded = np.full(whole, 255, np.uint8)
        padded[: mask.shape[0], : mask.shape[1]] = mask
        share = cv2.resize(
            (padded == 1).astype(np.float32),
            tuple(cells)[::-1],
            interpolation=cv2.INTER_AREA,
        )
        coarse = cv2.resize(
            padded, tuple(cells)[::-1], interpolation=cv2.INTER_NEAREST_EXACT
        )
        coarse[share == share.max()] = 1
        return torch.from_numpy(coarse)

    def _support(self, shots: Sequence[SupportShot]) -> Support:
        return Support(self._combined(shots, {}), len(shots), tuple(shots))

    def _combined(self, shots: Sequence[SupportShot], adapted: State) -> State:
        """The head's state of all shots, in the space of what was adapted."""
        head = self.model.decode_head
        return head.combine(
            [
                head.shot_state(
                    self._encode(shot.view, adapted) if adapted else shot.features,
                    shot.mask[None],
                )
                for shot in shots
            ]
        )

    @torch.no_grad()
    def _explain(
        self,
        image: np.ndarray,
        image_size: int | None,
        tile: int | None,
        supports: dict[str, Support],
        name: str,
    ) -> Explanation:
        support, view = supports[name], viewed(image, image_size, tile)
        features = self._encode(view, support.adapted)
        maps = self.model.decode_head.explain(features, support.state)
        seen, size = view.pixels.shape[:2], image.shape[:2]
        found = {
            key: self._at_size(value[None].float(), seen, size)[0, 0]
            for key, value in maps.items()
        }
        for key in ('first_guess', 'final'):
            found[key] = found[key].sigmoid()
        for key in ('confident_foreground', 'confident_background'):
            found[key] = found[key] > 0.5
        return Explanation(**{key: value.cpu().numpy() for key, value in found.items()})

    def _check_name(self, name: str) -> None:
        if name not in self._supports:
            raise ValueError(f'name={name!r}: expected one of {list(self.names)}')

    def _check_some(self) -> None:
        if not self._supports:
            raise ValueError('no support yet: call set_support or load_support first')


def presence(first_guess: Tensor) -> float:
    """How sure it is that a class is in an image.

    The mean probability of foreground, by the support's prototypes alone, of the pixels
    most like the class. (By the final logits, self-support would find itself.)

    Args:
        first_guess: Logits (1,2,h,w), background first.

    Returns:
        In [0, 1].
    """
    probability = first_guess.softmax(1)[0, 1].flatten()
    number = max(1, round(TOP_SHARE * len(probability)))
    return float(probability.topk(number).values.mean())


def _as_list(value: Any) -> list[Any]:
    """A sequence as a list; one image or annotation as a list of one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]

"""Images in, logits out: how supports and queries are encoded and matched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ..models.adaptation import Adapter, Features, matched
from ..models.adaptation.decoder_adapter import UNIT
from ..models.decision import margins
from ..models.decode_heads.matching_head import State
from ..models.prototypes import mask_weights
from ..models.segmentors import FewShotEncoderDecoder
from .encoding import FINER, View, annotated, encode_image, encode_views, viewed
from .explanation import Explanation
from .support.support_bank import Support, SupportShot


class Matched(NamedTuple):
    """Logits (1,2,h,w) by kind, and the size (H, W) of the image as it was encoded."""

    logits: dict[str, Tensor]
    seen: tuple[int, int]


@dataclass(frozen=True)
class Matcher:
    """A model with the settings by which it sees images; it keeps nothing of them.

    Attributes:
        model: A few-shot segmentor.
        adapter: What learned from supports that hold something adapted.
        device: Of the model.
        dtype: Encode under autocast to it; None for none.
        image_size: See :class:`mmssp.apis.FewShotInferencer`.
        tile: Likewise.
        on_share: Likewise.
    """

    model: FewShotEncoderDecoder
    adapter: Adapter
    device: torch.device
    dtype: torch.dtype | None
    image_size: int | None
    tile: int | None
    on_share: Callable[[float], None] | None = None

    def match(
        self, image: np.ndarray, supports: Mapping[str, Support]
    ) -> dict[str, Matched]:
        """Logits of each class in an image (H,W,3) uint8 RGB."""
        head = self.model.decode_head
        found: dict[str, Matched] = {}
        encoded: dict[tuple[int, ...], Any] = {}
        # classes adapted together share their features, and so do those that are not
        spaces = {
            name: self.adapter.space(own.adapted) if own.adapted else {}
            for name, own in supports.items()
        }
        keys = {n: tuple(id(v) for v in own.values()) for n, own in spaces.items()}
        passes = len(set(keys.values()))
        for name, support in supports.items():
            key = keys[name]
            if key not in encoded:
                view = self._view_of(image, support)
                seen, features = self._encode_views(
                    view, support.adapted, self._tile_report(len(encoded), passes)
                )
                if not support.adapted:
                    features = [head.prepare(own) for own in features]
                encoded[key] = features, seen, view.pixels.shape[:2]
            features, seen, size = encoded[key]
            logits = [
                self.adapter.match(self.model, own, support.state, support.adapted)
                if support.adapted
                else head.match_state(own, support.state)
                for own in features
            ]
            merged = self.model.of_views(logits, seen, size)
            found[name] = Matched(merged, size)
        return found

    def _encode_views(
        self,
        view: View,
        adapted: State,
        on_tile: Callable[[int, int], None] | None,
    ) -> tuple[list[tuple[int, int]], list[Features]]:
        """Sizes and features of an image's views; one in tiles is seen as it is."""
        if self.model.tta is None or view.tile is not None:
            height, width = view.pixels.shape[:2]
            return [(height, width)], [self.encode(view, adapted, on_tile)]
        return encode_views(
            self.model, view.pixels, self.device, self.dtype, self._encoder(adapted)
        )

    def _encoder(self, adapted: State) -> Callable[[Tensor], Features] | None:
        if not adapted:
            return None
        return partial(self.adapter.encode, self.model, state=adapted)

    def _view_of(self, image: np.ndarray, support: Support) -> View:
        return self.fine_view(image) if support.adapted else self.view(image)

    @torch.no_grad()
    def margins(
        self,
        found: Sequence[tuple[Tensor, tuple[int, int]]],
        image: np.ndarray,
        i: int,
    ) -> np.ndarray:
        """(H,W) float32 of the class of number ``i``, at the image's own size."""
        logits, seen = found[i]
        wide = self._at_size(logits.float(), seen, image.shape[:2])
        return margins(wide, self.model.refiner, image)[0].cpu().numpy()

    def _at_size(
        self, maps: Tensor, seen: Sequence[int], size: Sequence[int]
    ) -> Tensor:
        """Maps (1,C,h,w) of an image's features at its own size, as in testing: first at
        the size at which it was encoded."""
        maps = self.model.logits_at(maps, seen)
        if tuple(seen) == tuple(size):
            return maps
        return self.model.decode_head.upsample(maps, size)

    def view(self, image: np.ndarray) -> View:
        return viewed(image, self.image_size, self.tile)

    def fine_view(self, image: np.ndarray) -> View:
        side = self.image_size and round(self.image_size * FINER)
        return viewed(image, side, self.tile, self.model.size_divisor or UNIT)

    def _tile_report(self, done: int, passes: int) -> Callable[[int, int], None] | None:
        """What to call after each tile of a pass, so that all passes together end at 1."""
        on_share = self.on_share
        if on_share is None:
            return None
        return lambda tile, tiles: on_share((done + tile / tiles) / passes)

    def encode(
        self,
        view: View,
        adapted: State,
        on_tile: Callable[[int, int], None] | None = None,
    ) -> Features:
        """(1,C,h,w), or what the adapter gives."""
        return encode_image(
            self.model,
            view.pixels,
            self.device,
            self.dtype,
            view.tile,
            self._encoder(adapted),
            on_tile,
        )

    def shot(self, image: np.ndarray, mask: np.ndarray) -> SupportShot:
        view, fine = self.view(image), self.fine_view(image)
        features = matched(self.encode(view, {}))
        seen = view.pixels.shape[:2]
        small = mask
        if mask.shape != seen:
            small = cv2.resize(mask, seen[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return SupportShot(
            features,
            self._fitted(small, mask, features.shape[-2:]),
            fine,
            annotated(mask, fine.pixels.shape[:2]),
        )

    def _fitted(
        self, mask: np.ndarray, original: np.ndarray, cells: Sequence[int]
    ) -> Tensor:
        """A mask of an image as it is encoded, as the head takes it.

        Args:
            mask: (H,W) uint8 in {0, 1, 255}, of that size.
            original: The same at any size.
            cells: (h, w) of its features.
        """
        fitted = self.model.fit_mask(torch.from_numpy(mask))
        missed = not mask_weights((fitted == 1).float()[None], cells).any()
        if missed and (original == 1).any():
            fitted = self._cells(original, cells, mask.shape)
        return fitted.to(self.device)

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

    def combined(self, shots: Sequence[SupportShot], adapted: State) -> State:
        """The head's state of all shots, in the space of what was adapted."""
        states = []
        for shot in shots:
            if shot.shows:
                features, mask = shot.features, shot.mask
                if adapted:
                    features = matched(self.encode(shot.view, adapted))
                    mask = self._fitted(
                        shot.annotation, shot.annotation, features.shape[-2:]
                    )
                states.append(self.model.decode_head.shot_state(features, mask[None]))
        return self.model.decode_head.combine(states)

    @torch.no_grad()
    def explain(
        self,
        image: np.ndarray,
        supports: dict[str, Support],
        name: str,
    ) -> Explanation:
        support = supports[name]
        view = self._view_of(image, support)
        features = matched(self.encode(view, support.adapted))
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

"""A small decoder trained on the labelled images alone, beside matching in its features."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.func import functional_call

from ...utils.checks import number, whole_number
from ...utils.quiet import quiet
from ..decision import margins
from .adapter import Adapter, Features, Shot
from .budget import Budget
from .choice import (
    STORED,
    USUAL,
    Choice,
    Margins,
    choice_of,
    choose,
    choose_by_one,
    mixed,
    stored,
)
from .crops import RandomCrops
from .judging import decoded, judge, matched_with_one
from .labelled import Labelled, joined, parts
from .later import later_parameters
from .losses import decoder_loss

if TYPE_CHECKING:
    from ..decode_heads.matching_head import State
    from ..segmentors import FewShotEncoderDecoder

Parameters = dict[str, Tensor]
NECK = 'neck_of_adapter.'
CLASSIFIER = 'classifier.'
SMALL = 64
"""Side of an image that only shapes are taken of."""
UNIT = 32
"""Pixels that images are padded to multiples of, and tiles are aligned to, where the model
has no ``size_divisor``: the largest stride of common backbones."""
FOLDS = 3
JUDGED_AFTER = 24
"""Iterations of a part, in the mean, below which nothing can be judged, as on a slow
machine."""
FOLD_SHARE = 0.4
"""Of the budget, for what judges the mixtures; learning starts from its mean."""
MOST_FOR_FOLDS = 0.6
"""The same, where fewer iterations would be too few to judge by."""
WARM_UP = 0.1
START = 0.04
"""Share of the highest learning rate at the very start."""
TAUGHT = 0.2
"""IoU of a decoder on the very images it was taught by, below which it learned nothing and
matching stays as it was."""
LEAST_WRONG = 0.2
"""Added to what is wrong of an image, for learning on."""
GENTLE = 0.25
"""Share of the learning rates, for learning on."""
AVERAGED = 0.97
AVERAGED_FROM = 0.3
"""Parameters are a moving average from this share of the iterations on."""


@MODELS.register_module()
class DecoderAdapter(Adapter):
    """Trains a neck, a classifier and the backbone's later part on the K labelled images.

    The neck sums several levels of the backbone at the finest of them; the classifier
    tells each class from the rest. The backbone's parameters that no level of stride 8 or
    less depends on are tuned with them. The head matches in the tuned features, and a
    class is decided by a mixture of both: their *margins* (logit of the probability of
    foreground), each with a weight. The labelled images are set aside in turn, and the
    weights are those by which they are segmented best by what the others teach. Where
    matching in the features as they were is clearly better, a class has no state.

    A short budget has no time for that: decoder and matching then count the same. Nor can
    the only image of a class be set aside: where matching with it finds the object well, in
    itself and not in images without it, the class is matched as it was, and decoder and
    matching count the same elsewhere.

    Each class has logits of its own. The foreground of one class counts as background of
    the others; what else an image shows is known for the classes it was labelled for.

    Args:
        neck: Config of a neck of mmseg that gives one map, without ``in_channels``.
        crops: Arguments of :class:`RandomCrops`.
        batch_size: Crops of an iteration.
        lr: Learning rate of neck and classifier, at its highest (AdamW, one cycle).
        backbone_lr: That of the backbone's later part; 0 leaves it as it is.
        weight_decay: Of AdamW.
        iterations: Where no other budget is given, as in testing.
        seed: See :class:`Adapter`.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        neck: dict[str, Any] | None = None,
        crops: dict[str, Any] | None = None,
        batch_size: int = 4,
        lr: float = 2e-3,
        backbone_lr: float = 2e-4,
        weight_decay: float = 0.01,
        iterations: int = 150,
        seed: int = 0,
    ) -> None:
        super().__init__(seed)
        self.neck = dict(type='LevelFusion') if neck is None else neck
        self.crops = RandomCrops(**(crops or {}))
        self.batch_size = whole_number('batch_size', batch_size, 1)
        self.lr = number('lr', lr, 0, 1)
        self.backbone_lr = number('backbone_lr', backbone_lr, 0, 1)
        self.weight_decay = number('weight_decay', weight_decay, 0, 1)
        self.iterations = whole_number('iterations', iterations, 1)
        self._skeletons: dict[tuple[int, ...], nn.Module] = {}

    def __repr__(self) -> str:
        return (
            f'DecoderAdapter(neck={self.neck}, batch_size={self.batch_size}, '
            f'lr={self.lr}, backbone_lr={self.backbone_lr}, '
            f'iterations={self.iterations}, seed={self.seed})'
        )

    def adapt(
        self,
        model: 'FewShotEncoderDecoder',
        shots: Mapping[str, Sequence[Shot]],
        budget: Budget | None = None,
        before: 'Mapping[str, State] | None' = None,
    ) -> 'dict[str, State]':
        """See :class:`Adapter`. A class without a state is matched as it is.

        Where that was judged better before, and there is no time to judge anew, it stays.
        """
        budget = budget or Budget(iterations=self.iterations)
        rng = np.random.default_rng(self.seed)
        images = joined(shots)
        start = self._start(model, images[0].image, list(shots), before or {})
        known = {n: s for n, s in (before or {}).items() if n in shots and s}
        choices = {name: choice_of(state) for name, state in known.items()}
        unjudged = bool(known) or budget.is_short
        folds = [] if unjudged else parts(images, FOLDS)
        better_as_it_was = {
            n for n, s in (before or {}).items() if n in shots and not s
        }
        kept = better_as_it_was if unjudged else set()
        names = list(shots)
        for i, name in enumerate(names):
            once = sum(own.shows(i) for own in images) == 1
            if once and name not in kept and name not in known:
                about = [own for own in images if own.knows(i)]
                choices[name] = choose_by_one(*matched_with_one(model, about, i))
        unlearned = {name for name, own in choices.items() if own.mixture is None}
        if kept | unlearned == set(names):
            return {name: {} for name in names}
        if folds:
            judged, start = self._judged(model, names, images, folds, start, budget)
            choices = judged | choices
            if not judged:
                kept = better_as_it_was
        shares = None
        if known:
            shares = _shares(decoded(self, model, start, images))
        learned = self._train(
            model, images, start, budget.steps(1.0, 'learning'), rng, shares
        )
        if learned is None:
            print_log(
                'adapting diverged, and is dropped: images are matched as they were '
                'before; a lower lr may help',
                'current',
                logging.WARNING,
            )
            return {name: dict(known.get(name, {})) for name in shots}
        shared = {n: v for n, v in learned.items() if not n.startswith(CLASSIFIER)}
        found: dict[str, State] = {}
        both, either = decoded(self, model, learned, images).sum(0).unbind(1)
        for i, name in enumerate(shots):
            choice = choices.get(name, Choice(USUAL, None))
            if name in kept:
                found[name] = {}
                continue
            untaught = int(both[i]) < TAUGHT * int(either[i])
            if choice.mixture is None or (untaught and choice.mixture.decoder):
                found[name] = {}
                continue
            own = {
                n: learned[n][i : i + 1] for n in learned if n.startswith(CLASSIFIER)
            }
            found[name] = {**shared, **own, **stored(choice)}
        return found

    def _judged(
        self,
        model: 'FewShotEncoderDecoder',
        names: Sequence[str],
        images: Sequence[Labelled],
        folds: Sequence[Sequence[int]],
        start: Parameters,
        budget: Budget,
    ) -> tuple[dict[str, Choice], Parameters]:
        """Choices by what is learned without some images, and the mean of all that."""
        found: dict[str, list[Margins]] = {name: [] for name in names}
        members = []
        enough = JUDGED_AFTER * len(folds)
        hopeless = budget.iterations and MOST_FOR_FOLDS * budget.iterations < enough
        least = 0 if hopeless else JUDGED_AFTER
        for k, fold in enumerate(folds):
            rest = [own for i, own in enumerate(images) if i not in fold]
            until, latest = (
                share * (k + 1) / len(folds) for share in (FOLD_SHARE, MOST_FOR_FOLDS)
            )
            if k and budget.iterations_done < JUDGED_AFTER:
                # a machine too slow to judge on: the time is better learned in
                least = 0
            steps = budget.steps(until, 'judging', least, latest)
            rng = np.random.default_rng([self.seed, k])
            member = self._train(model, rest, start, steps, rng)
            if member is None:
                continue
            members.append(member)
            for name, own in judge(
                self, model, member, [images[i] for i in fold], rest, names
            ):
                found[name].append(own)
        choices = {}
        if budget.iterations_done >= enough:
            choices = {name: choose(own) for name, own in found.items()}
        return choices, _mean(members) if members else start

    def space(self, state: 'State') -> 'State':
        """See :class:`Adapter`."""
        own = (CLASSIFIER, *STORED)
        return {name: v for name, v in state.items() if not name.startswith(own)}

    def described(self, state: 'State') -> dict[str, Any]:
        """See :class:`Adapter`."""
        if not state:
            return super().described(state)
        choice = choice_of(state)
        return dict(choice=str(choice.mixture), expected_iou=choice.iou)

    def match(
        self,
        model: 'FewShotEncoderDecoder',
        query_features: Features,
        support: 'State',
        state: 'State',
    ) -> dict[str, Tensor]:
        """See :class:`Adapter`.

        Logits are of the size of the neck's map: ``baseline`` is the first guess of
        matching, ``stage1`` by the decoder, ``final`` by the mixture.
        """
        tuned, fused = query_features
        decoder = self.classified(fused, state)
        mixture = choice_of(state).mixture or USUAL
        head = model.decode_head
        matched = head.match_state(head.prepare(tuned), support)
        size = decoder.shape[-2:]
        margin = mixed(
            mixture, decoder, head.upsample(margins(matched['final'])[:, None], size)
        )
        final, stage1 = (torch.cat([-m, m], 1) / 2 for m in (margin, decoder))
        first_guess = head.upsample(matched['baseline'], size)
        return dict(final=final, stage1=stage1, baseline=first_guess)

    def encode(
        self, model: 'FewShotEncoderDecoder', image: Tensor, state: Parameters
    ) -> tuple[Tensor, Tensor]:
        """Tuned features (B,C,h,w) to match in, and the neck's map (B,D,h',w').

        Images are padded to whole cells of the coarsest level: else its last cells would
        reach beyond the others', and levels be stretched against each other.
        """
        height, width = image.shape[-2:]
        down, right = ((-side) % UNIT for side in (height, width))
        if model.size_divisor is None and (down or right):
            image = F.pad(image, (0, right, 0, down))
        levels = model.levels(image, state)
        neck = self._skeleton([level.shape[1] for level in levels]).to(image.device)
        own = {n[len(NECK) :]: v for n, v in state.items() if n.startswith(NECK)}
        fused: Tensor = functional_call(neck, own, (tuple(levels),), strict=True)[0]
        tuned: Tensor = model.decode_head.select_features(levels)
        if model.size_divisor is None:
            tuned, fused = (
                m[
                    ...,
                    : -(-height * m.shape[-2] // image.shape[-2]),
                    : -(-width * m.shape[-1] // image.shape[-1]),
                ]
                for m in (tuned, fused)
            )
        return tuned, fused

    def classified(self, fused: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """Margins (B,N,h,w) of the classes of a state, from the neck's map."""
        weight, bias = state[f'{CLASSIFIER}weight'], state[f'{CLASSIFIER}bias']
        # features may come out of autocast
        return F.conv2d(fused.to(weight.dtype), weight, bias)

    def _skeleton(self, channels: Sequence[int]) -> nn.Module:
        """A neck of the right shape; its own values are those that training starts at."""
        key = tuple(channels)
        if key not in self._skeletons:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                neck = MODELS.build(dict(self.neck, in_channels=list(channels)))
                with quiet():
                    neck.init_weights()
            self._skeletons[key] = neck.eval().requires_grad_(False)
        return self._skeletons[key]

    @torch.no_grad()
    def _start(
        self,
        model: 'FewShotEncoderDecoder',
        image: Tensor,
        names: Sequence[str],
        before: 'Mapping[str, State]',
    ) -> Parameters:
        """Where learning starts: the model's own values, a new neck and classifier, or
        what was learned before."""
        side = model.size_divisor or SMALL
        levels = model.levels(image[None, :, :side, :side])
        neck = self._skeleton([level.shape[1] for level in levels]).to(image.device)
        channels = neck(tuple(levels))[0].shape[1]
        generator = torch.Generator().manual_seed(self.seed)
        bound = 1 / math.sqrt(channels)
        weight = torch.rand(len(names), channels, 1, 1, generator=generator)
        found: Parameters = {f'{NECK}{n}': p for n, p in neck.named_parameters()}
        found[f'{CLASSIFIER}weight'] = ((2 * weight - 1) * bound).to(image.device)
        found[f'{CLASSIFIER}bias'] = torch.zeros(len(names), device=image.device)
        if self.backbone_lr:
            own = dict(model.named_parameters())
            later = later_parameters(model, model.levels, model.size_divisor or SMALL)
            found.update({name: own[name] for name in later})
        found = {name: value.detach().clone() for name, value in found.items()}
        for i, name in enumerate(names):
            state = before.get(name, {})
            for key, value in state.items():
                if key.startswith(CLASSIFIER):
                    found[key][i] = value[0]
                elif key in found:
                    found[key] = value.clone()
        return found

    def _train(
        self,
        model: 'FewShotEncoderDecoder',
        images: Sequence[Labelled],
        start: Parameters,
        steps: Iterator[float],
        rng: np.random.Generator,
        shares: np.ndarray | None = None,
    ) -> Parameters | None:
        """What is learned from some images, a moving average; None if it diverges."""
        tuned = {n: v.clone().requires_grad_() for n, v in start.items()}
        of_backbone = [
            v for n, v in tuned.items() if not n.startswith((NECK, CLASSIFIER))
        ]
        others = [v for n, v in tuned.items() if n.startswith((NECK, CLASSIFIER))]
        groups: list[dict[str, Any]] = [dict(params=others, lr=self.lr)]
        if of_backbone:
            groups.append(dict(params=of_backbone, lr=self.backbone_lr))
        # what was learned is to be mended, not learned anew
        gentle = 1.0 if shares is None else GENTLE
        highest = [gentle * group['lr'] for group in groups]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.weight_decay)
        average = {n: v.detach().clone() for n, v in tuned.items()}
        for position in steps:
            for group, lr in zip(optimizer.param_groups, highest, strict=True):
                group['lr'] = lr * one_cycle(position)
            crops, masks = self.crops.draw(images, self.batch_size, rng, shares)
            _, fused = self.encode(model, crops, tuned)
            logits = self.classified(fused, tuned)
            loss = decoder_loss(model.logits_at(logits, masks.shape[-2:]), masks)
            if not loss.isfinite():
                return None
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            keep = AVERAGED if position >= AVERAGED_FROM else 0.0
            for name, value in average.items():
                value.lerp_(tuned[name].detach(), 1 - keep)
        if not all(value.isfinite().all() for value in average.values()):
            return None
        return average


def one_cycle(position: float) -> float:
    """Share of the highest learning rate, at a position in [0, 1): up, then down.

    Source: Smith and Topin, "Super-convergence" (2019), with cosines.
    """
    if position < WARM_UP:
        return START + (1 - START) * (1 - math.cos(math.pi * position / WARM_UP)) / 2
    return (1 + math.cos(math.pi * (position - WARM_UP) / (1 - WARM_UP))) / 2


def _shares(counts: Tensor) -> np.ndarray:
    """Of images in learning on: what is still wrong is looked at most.

    Args:
        counts: (K,N,2), see :func:`decoded`.
    """
    both, either = counts.sum(1).double().unbind(1)
    wrong = 1 - both / either.clamp(min=1)
    wrong[either == 0] = 0
    weights = (wrong + LEAST_WRONG).numpy()
    return np.asarray(weights / weights.sum())


def _mean(members: Sequence[Parameters]) -> Parameters:
    return {n: torch.stack([m[n] for m in members]).mean(0) for n in members[0]}

"""Between supports and prediction: what an adapter promises, and what it may not touch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ...utils.random_state import fixed_random_state
from .budget import Budget

if TYPE_CHECKING:
    from ..decode_heads.matching_head import State
    from ..segmentors import FewShotEncoderDecoder

Features = Tensor | tuple[Tensor, ...]
"""(B,C,h,w), or several such of one batch, the first of which the head matches in."""

NAMED = 3
"""Of the tensors that an adapter changed."""


class Shot(NamedTuple):
    """A labelled image as the model takes it.

    Attributes:
        image: (3,H,W) float, normalised.
        mask: (H,W) uint8 in {0, 1, 255}.
    """

    image: Tensor
    mask: Tensor


class Adapter(ABC):
    """Learns from the K shots of each class; a component of the segmentor.

    What it learns is a *state* of each class, a dict of tensors. States belong to the
    supports: they are kept and stored with them, and given back for each query. Nothing
    else may remain of one class when the next comes, and the model stays as it was, which
    :func:`adapt` sees to.

    Args:
        seed: Of all chance in adapting, which starts anew each time.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    @abstractmethod
    def adapt(
        self,
        model: 'FewShotEncoderDecoder',
        shots: Mapping[str, Sequence[Shot]],
        budget: Budget | None = None,
        before: 'Mapping[str, State] | None' = None,
    ) -> 'dict[str, State]':
        """Learn, with gradients on.

        Args:
            model: In eval mode; its parameters take no gradient. What shall be tuned is
                copied.
            shots: Of each class. Those of a class may include images without it, with a
                mask of 0, beside one or more with it.
            budget: Time or iterations; None takes the adapter's own.
            before: States of an earlier time, of some of the classes, to go on from; an
                empty one says that nothing of use was learned then.

        Returns:
            A state for each class; an empty one if nothing of use was learned.
        """

    def space(self, state: 'State') -> 'State':
        """The part of a state that :meth:`encode` depends on; here all of it.

        Classes whose states share these tensors are encoded once.
        """
        return state

    def described(self, state: 'State') -> dict[str, Any]:
        """What people are told of a state: ``choice``, in words, what decides, and
        ``expected_iou`` in [0, 1], or None where it is not known."""
        return dict(
            choice='adapted' if state else 'matching as it is', expected_iou=None
        )

    def encode(
        self, model: 'FewShotEncoderDecoder', image: Tensor, state: 'State'
    ) -> Features:
        """Features of images in the class's own space, supports' and queries'.

        Args:
            model: As above.
            image: (B,3,H,W) float, normalised.
            state: Of the class.

        Returns:
            (B,C,h,w), of the size of ``model.encode``'s; here its own. With more that
            :meth:`match` needs, several maps, of any size, that one first.
        """
        return model.encode(image)

    def match(
        self,
        model: 'FewShotEncoderDecoder',
        query_features: Features,
        support: 'State',
        state: 'State',
    ) -> dict[str, Tensor]:
        """Logits of queries.

        Args:
            model: As above.
            query_features: From :meth:`encode`.
            support: What the head made of the shots' features, from :meth:`encode`.
            state: Of the class.

        Returns:
            As the head's ``match_state``, which does it here; ``baseline`` of the
            head's own making, since presence is judged by it.
        """
        return model.decode_head.match_state(
            model.decode_head.prepare(matched(query_features)), support
        )


def matched(features: Features) -> Tensor:
    """The map that the head matches in."""
    return features if isinstance(features, Tensor) else features[0]


def adapt(
    adapter: Adapter,
    model: 'FewShotEncoderDecoder',
    shots: Mapping[str, Sequence[Shot]],
    budget: Budget | None = None,
    before: 'Mapping[str, State] | None' = None,
) -> 'dict[str, State]':
    """What an adapter learns, with a model that is the same before and after.

    Args:
        adapter: Any.
        model: A few-shot segmentor.
        shots: Of each class.
        budget: See :meth:`Adapter.adapt`.
        before: Likewise.

    Returns:
        A state for each class, without gradient.

    Raises:
        RuntimeError: If the adapter changed a parameter or buffer of the model.
        ValueError: If it gave no state, or one of something else than tensors.
    """
    with _unchanged(model, adapter), fixed_random_state(adapter.seed):
        devices = {p.device for p in model.parameters() if p.is_cuda}
        with torch.random.fork_rng(devices=list(devices)), torch.enable_grad():
            for device in devices:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(adapter.seed)
            found: dict[str, Any] = adapter.adapt(model, shots, budget, before)
    if set(found) != set(shots):
        raise ValueError(
            f'{type(adapter).__name__} gave states of {sorted(found)}: expected '
            f'{sorted(shots)}'
        )
    for name, state in found.items():
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError(
                f'{type(adapter).__name__}: the state of {name} holds something else '
                'than tensors'
            )
    # tensors that classes share stay shared
    detached: dict[int, Tensor] = {}
    return {
        name: {
            key: detached.setdefault(id(value), value.detach())
            for key, value in state.items()
        }
        for name, state in found.items()
    }


@contextmanager
def _unchanged(model: nn.Module, adapter: Adapter) -> Iterator[None]:
    """Eval mode and no gradient inside; all as before outside, or an error.

    Only what is written past autograd, by ``.data``, is not noticed.
    """
    modes = {module: module.training for module in model.modules()}
    grads = {p: (p.requires_grad, p.grad) for p in model.parameters()}
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    # in-place operations count themselves
    versions = {name: tensor._version for name, tensor in tensors.items()}
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for parameter, (wanted, grad) in grads.items():
            parameter.requires_grad_(wanted)
            parameter.grad = grad
        for module, mode in modes.items():
            module.training = mode
    after = dict([*model.named_parameters(), *model.named_buffers()])
    changed = [
        name
        for name in {**tensors, **after}
        if after.get(name) is not tensors.get(name)
        or after[name]._version != versions[name]
    ]
    if changed:
        raise RuntimeError(
            f"{type(adapter).__name__} changed {len(changed)} of the model's own tensors "
            f'({", ".join(changed[:NAMED])}): it has to copy what it tunes'
        )

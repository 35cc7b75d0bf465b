"""Which parameters of an encoder make its coarse, late levels alone."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..unused import PROBE_SIZE, untouched

FINE_STRIDE = 8
"""Levels of this stride or less see edges and textures, which five images do not teach."""


def later_parameters(
    model: nn.Module,
    levels: Callable[[Tensor], Sequence[Tensor]],
    side: int = PROBE_SIZE,
) -> list[str]:
    """Names of the parameters that fine levels do not depend on.

    Fine are the levels of stride 8 or less; where there is none, the first of several;
    of a single level nothing is fine, and all its parameters are named. Found by one
    small image forth and back.

    Args:
        model: Nothing of it is changed.
        levels: Its feature maps of images (1,3,side,side).
        side: Of the image.
    """
    named = {
        name: p for name, p in model.named_parameters() if not name.startswith(SKIP)
    }
    first = next(iter(named.values()))
    image = torch.zeros(1, 3, side, side, dtype=first.dtype, device=first.device)
    wanted = {name: p.requires_grad for name, p in named.items()}
    values = list(named.values())
    try:
        for value in values:
            value.requires_grad_(True)
        with untouched(model), torch.enable_grad():
            maps = levels(image)
            fine = [m for m in maps if side // m.shape[-1] <= FINE_STRIDE]
            if not fine and len(maps) > 1:
                fine = [maps[0]]
            of_all, of_fine = (_reached(chosen, values) for chosen in (maps, fine))
    finally:
        for name, value in named.items():
            value.requires_grad_(wanted[name])
    return [
        name
        for name, late, early in zip(named, of_all, of_fine, strict=True)
        if late and not early
    ]


SKIP = ('decode_head.',)


def _reached(maps: Sequence[Tensor], values: Sequence[Tensor]) -> list[bool]:
    if not maps:
        return [False] * len(values)
    total = torch.stack([m.sum() for m in maps]).sum()
    grads = torch.autograd.grad(total, values, retain_graph=True, allow_unused=True)
    return [grad is not None for grad in grads]

"""Which parameters of an encoder its chosen features do not depend on."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import is_distributed
from mmengine.logging import print_log
from torch import Tensor, nn

PROBE_SIZE = 64


def freeze_unused(
    model: nn.Module,
    encode: Callable[[Tensor], Tensor],
    parts: Iterable[str],
    size: int = PROBE_SIZE,
) -> list[str]:
    """Set ``requires_grad=False`` where training could never change anything.

    A backbone often builds stages behind the feature map that is matched, or norms of
    outputs that nobody takes. Their parameters get no gradient, for which distributed
    training stops, or has to search the graph in every iteration
    (``find_unused_parameters``). They are found by one small image forth and back.

    Args:
        model: Changed in place, in nothing but ``requires_grad``.
        encode: Its features of images (1,3,size,size).
        parts: Names of the model's modules to look at.
        size: Side of the image.

    Returns:
        Names of the parameters that were frozen here. None, with a line in the log, if
        the backbone cannot take such an image.
    """
    named = {
        f'{part}.{name}': parameter
        for part in parts
        for name, parameter in getattr(model, part).named_parameters()
        if parameter.requires_grad
    }
    if not named:
        return []
    first = next(iter(named.values()))
    image = torch.zeros(1, 3, size, size, dtype=first.dtype, device=first.device)
    try:
        with untouched(model), torch.enable_grad():
            # backward, not the graph: checkpointed blocks are not in the graph
            encode(image).sum().backward()
            unused = [name for name, p in named.items() if p.grad is None]
    except Exception as error:  # a foreign backbone may refuse the image by anything
        print_log(
            f'which parameters are unused was not found out ({error}); if several '
            'processes stop for them, set find_unused_parameters=True',
            'current',
            logging.WARNING if is_distributed() else logging.DEBUG,
        )
        return []
    finally:
        for parameter in named.values():
            parameter.grad = None
    for name in unused:
        named[name].requires_grad_(False)
    return unused


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; after it every module's mode and the random state as before."""
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.random.fork_rng(devices=[]):
            for module in modes:
                module.training = False
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def summary(names: Iterable[str], depth: int = 4) -> str:
    """Modules that parameters are in, each once, by the first parts of their names."""
    modules = ('.'.join(name.split('.')[:-1][:depth]) for name in names)
    return ', '.join(dict.fromkeys(modules))

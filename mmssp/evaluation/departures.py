"""What a score departs from, beyond what its data set knows of: weights, rounding, model.

Each function gives sentences that stand beside the score.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ..protocols import get_protocol


def training_departures(
    trained_on: Mapping[str, Any], tested_on: Mapping[str, Any]
) -> list[str]:
    """What the making of weights has against a few-shot test of them.

    Args:
        trained_on: From :func:`mmssp.runtime.checkpoints.load_for_test`.
        tested_on: Metainfo of the tested :class:`EpisodicDataset`.

    Returns:
        A sentence for each: tested classes that were trained on; training images with
        novel classes where the protocol removes them; weights that were selected by
        their scores on tested classes.
    """
    found = []
    tested = list(tested_on.get('class_names', {}).values())
    if trained_on.get('split') == 'base':
        both = _both(tested, trained_on)
        if both:
            found.append(
                f'trained on {len(both)} of the {len(tested)} tested classes '
                f'({", ".join(both)}): they are not novel; test the fold, and the order '
                'of folds, that the checkpoint was trained on'
            )
        protocol = get_protocol(tested_on.get('protocol', 'ssp'))
        if protocol.remove_novel_images and not trained_on.get('remove_novel_images'):
            found.append(
                'trained on images with novel classes (train_dataloader.dataset.'
                'remove_novel_images=True leaves them out)'
            )
    selected_on = trained_on.get('selected_on', {})
    both = _both(tested, selected_on)
    if both and selected_on.get('split') != 'base':
        found.append(
            f'selected as the best of its training by validation on {len(both)} of the '
            f'{len(tested)} tested classes, as in the release of SSP; base classes or '
            'the last iteration select without them (docs/protocols.md)'
        )
    return found


def _both(tested: Iterable[str], other: Mapping[str, Any]) -> list[str]:
    return sorted(set(tested) & set(other.get('class_names', {}).values()))


def rounding_departures(
    device: torch.device,
    dtype: str | None = None,
    channels_last: bool = False,
    compiled: bool = False,
) -> list[str]:
    """Why the last digits of features differ from those of plain float32.

    Args:
        device: That encodes. A GPU may round to TF32, as PyTorch is set in this process;
            a CPU encodes in ``channels_last`` always.
        dtype: Lower precision by name; None for none.
        channels_last: Whether images are encoded in that memory format.
        compiled: Whether the encoder is compiled.
    """
    found = []
    if dtype not in (None, 'float32'):
        found.append(f'features in {dtype}')
    if device.type == 'cuda':
        found += [f'{what} in TF32, as PyTorch is set' for what in in_tf32()]
        if channels_last:
            found.append('features by kernels for channels_last')
    if compiled:
        found.append('features by torch.compile')
    return found


def in_tf32() -> list[str]:
    """What GPUs round to TF32 in this process: ``'convolutions'``, ``'products'``."""
    backends: Any = torch.backends
    parts = {'convolutions': backends.cudnn, 'products': backends.cuda.matmul}
    # PyTorch 2.9 has settings of their own, and refuses to mix them with the older ones
    if hasattr(backends.cudnn, 'conv'):
        parts['convolutions'] = backends.cudnn.conv
        return [
            what
            for what, part in parts.items()
            if _precision(part, backends.cudnn, backends) == 'tf32'
        ]
    return [what for what, part in parts.items() if part.allow_tf32]


def _precision(*settings: Any) -> str:
    """The first that is set, of a part and of what it is a part of."""
    found = (getattr(setting, 'fp32_precision', 'none') for setting in settings)
    return next((precision for precision in found if precision != 'none'), 'none')


def model_departures(model: nn.Module) -> list[str]:
    """What a model does beside matching.

    Args:
        model: Any; a few-shot segmentor may have an adapter, a refiner or views.
    """
    found = []
    for part, does in (
        ('adapter', 'adapted to the supports of each episode'),
        ('refiner', 'masks refined by the image'),
        ('tta', 'logits averaged over views of the query'),
    ):
        component = getattr(model, part, None)
        if component is not None:
            found.append(f'{does} ({component!r})')
    return found


def add_departures(metrics: Iterable[Any], found: Iterable[str]) -> None:
    """Have metrics name departures, each once, whoever finds them.

    Args:
        metrics: Those that have a list ``departures`` are changed.
        found: Sentences.
    """
    texts = list(found)
    for metric in metrics:
        named = getattr(metric, 'departures', None)
        if isinstance(named, list):
            named.extend(text for text in texts if text not in named)

"""Matching alone: features in, logits out, with refinement; inference and training."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor

from .machine import Setup
from .plain_ssp import plain_match
from .scenes import feature_scene, shares_note
from .timing import compare


def run(
    setup: Setup,
    *,
    episodes: int = 4,
    shots: int = 1,
    channels: int = 1024,
    size: tuple[int, int] = (60, 60),
    repeats: int = 3,
    matmul_size: int | None = None,
) -> list[dict[str, Any]]:
    """Rows for inference, and for forward and backward.

    Args:
        setup: How to run. With another dtype, the head is given such features.
        episodes: B.
        shots: K.
        channels: C.
        size: (h, w) of the feature map.
        repeats: Timed calls of each, unless ``setup`` says otherwise.
        matmul_size: See :func:`machine.matmul_call`.
    """
    init_default_scope('mmseg')
    config = dict(type='SSPHead', in_channels=channels, refine=True)
    head = MODELS.build(config).to(setup.device)
    match = torch.compile(head.match) if setup.compile else head.match

    scene = feature_scene(episodes, shots, channels, size)
    scene = {name: x.to(setup.device) for name, x in scene.items()}
    names = ('query_features', 'support_features')
    plain_features = [scene[name] for name in names]
    our_features = [x.to(setup.torch_dtype) for x in plain_features]
    mask, truth = scene['support_mask'], scene['query_mask']

    def inference(function, features: list[Tensor]) -> dict[str, Tensor]:
        with torch.no_grad():
            return function(*features, mask)

    def training(function, features: list[Tensor]) -> list[Tensor]:
        features = [x.detach().requires_grad_() for x in features]
        loss = cross_entropy(function(*features, mask)['final'], truth)
        return torch.autograd.grad(loss, features)

    label = f'({episodes},{channels},{size[0]},{size[1]}), {shots}-shot'
    rows = []
    for kind, way in (('inference', inference), ('forward + backward', training)):
        rows.append(
            compare(
                f'matching, {kind}, {label}',
                lambda way=way: way(match, our_features),
                lambda way=way: way(plain_match, plain_features),
                setup,
                repeats=repeats,
                count=lambda way=way: way(head.match, our_features),
                matmul_size=matmul_size,
            )
        )
    mask = mask[:1]
    plain = inference(plain_match, [x[:1] for x in plain_features])
    ours = setup.ours(lambda: inference(head.match, [x[:1] for x in our_features]))()
    difference = (ours['final'].float() - plain['final']).abs().max().item()
    rows[0]['notes'] += [
        shares_note('matching', plain['baseline']),
        f'matching: final logits differ from the plain ones by {difference:.1e} at most',
    ]
    return rows


def cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Against the mask brought to feature size, so that matching alone is timed."""
    truth = F.interpolate(truth[:, None].float(), logits.shape[-2:])[:, 0]
    return F.cross_entropy(logits.float(), truth.long())

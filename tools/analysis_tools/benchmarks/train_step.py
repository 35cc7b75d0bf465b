"""One step of training: forward, backward, optimizer."""

from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from .machine import Setup
from .models import normalised, random_model
from .plain_ssp import plain_loss
from .scenes import draw_photo
from .timing import compare

SIZES = {'cpu': 241, 'cuda': 473}
# The time does not depend on it, and with so little the weights stay as they are.
LEARNING_RATE = 1e-9


def run(
    setup: Setup,
    *,
    episodes: int = 4,
    shots: int = 1,
    size: int | None = None,
    repeats: int = 3,
    options: dict | None = None,
    matmul_size: int | None = None,
) -> list[dict[str, Any]]:
    """One row.

    Args:
        setup: How to run.
        episodes: B.
        shots: K.
        size: Height and width of the images; None for 473 on a GPU, 241 on a CPU.
        repeats: Timed calls of each, unless ``setup`` says otherwise.
        options: Changes of the config.
        matmul_size: See :func:`machine.matmul_call`.
    """
    size = size or SIZES[setup.device]
    models = {
        'ours': random_model(setup, options),
        'plain': random_model(Setup(setup.device), options),
    }
    optimizers = {
        name: torch.optim.SGD(
            [p for p in model.parameters() if p.requires_grad],
            LEARNING_RATE,
            momentum=0.9,
            weight_decay=5e-4,
        )
        for name, model in models.items()
    }
    for model in models.values():
        model.train()

    inputs, samples = episode_batch(models['plain'], setup, episodes, shots, size)
    truth = torch.cat([sample.gt_sem_seg.data for sample in samples])

    def our_loss(name: str) -> torch.Tensor:
        return sum(models[name].loss(inputs, samples).values())

    def step(name: str, loss: torch.Tensor) -> None:
        optimizers[name].zero_grad()
        loss.backward()
        optimizers[name].step()

    def plain() -> torch.Tensor:
        return plain_loss(
            models['plain'],
            inputs['query'],
            truth,
            inputs['support'],
            inputs['support_mask'],
        )

    row = compare(
        f'training step, {episodes} episodes, {shots}-shot, {size}×{size}',
        lambda: step('ours', our_loss('ours')),
        lambda: step('plain', plain()),
        setup,
        repeats=repeats,
        count=lambda: step('plain', our_loss('plain')),
        matmul_size=matmul_size,
    )
    with torch.no_grad():
        found, expected = setup.ours(lambda: our_loss('ours'))().item(), plain().item()
    row['notes'].append(
        f'training step: loss {found:.5f}, the plain one {expected:.5f}'
    )
    return [row]


def episode_batch(
    model: nn.Module, setup: Setup, episodes: int, shots: int, size: int
) -> tuple[dict[str, torch.Tensor], list[SegDataSample]]:
    """Drawn episodes as the segmentor's losses take them.

    Args:
        model: Whose normalisation counts.
        setup: Device.
        episodes: B.
        shots: K.
        size: Height and width of the images.
    """
    pairs = [
        draw_photo((size, size), [i // (1 + shots) % 5 + 1, 6], seed=i)
        for i in range(episodes * (1 + shots))
    ]
    images = torch.stack([normalised(model, photo) for photo, _ in pairs])
    masks = torch.stack([torch.from_numpy(mask) for _, mask in pairs])
    masks = torch.where(masks == 255, 255, ((masks > 0) & (masks < 6)).to(torch.uint8))
    images, masks = (
        x.to(setup.device).unflatten(0, (episodes, 1 + shots)) for x in (images, masks)
    )
    inputs = dict(query=images[:, 0], support=images[:, 1:], support_mask=masks[:, 1:])
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=mask[None])) for mask in masks[:, 0]
    ]
    return inputs, samples

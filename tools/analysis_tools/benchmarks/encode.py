"""The backbone alone: images in, features out."""

from typing import Any

import torch

from .machine import Setup
from .models import photo_batch, random_model
from .timing import compare


def run(
    setup: Setup,
    *,
    batches: tuple[int, ...] = (1, 4),
    size: int = 473,
    repeats: int = 5,
    options: dict | None = None,
    matmul_size: int | None = None,
) -> list[dict[str, Any]]:
    """A row for each batch size; the plain side takes its images one by one.

    Args:
        setup: How to run.
        batches: Images encoded at a time.
        size: Their height and width.
        repeats: Timed calls of each, unless ``setup`` says otherwise.
        options: Changes of the config.
        matmul_size: See :func:`machine.matmul_call`.
    """
    model = random_model(setup, options)
    plain_model = random_model(Setup(setup.device), options)
    images = photo_batch(model, max(batches), (size, size)).to(setup.device)

    @torch.no_grad()
    def encode(batch: int) -> None:
        model.encode(images[:batch])

    @torch.no_grad()
    def encode_plainly(batch: int) -> None:
        for image in images[:batch]:
            plain_model.encode(image[None])

    @torch.no_grad()
    def encode_uncompiled(batch: int) -> None:
        plain_model.encode(images[:batch])

    return [
        compare(
            f'encoding, batch {batch}, {size}×{size}',
            lambda batch=batch: encode(batch),
            lambda batch=batch: encode_plainly(batch),
            setup,
            repeats=repeats,
            count=lambda batch=batch: encode_uncompiled(batch),
            items=batch,
            unit='images/s',
            matmul_size=matmul_size,
        )
        for batch in batches
    ]

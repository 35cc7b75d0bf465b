"""One query, its support set known beforehand: from the image to the mask."""

from typing import Any

import torch
from torch import Tensor

from .machine import Setup
from .models import normalised, random_model
from .plain_ssp import plain_match, plain_predict
from .scenes import draw_photo, shares_note
from .timing import compare


def run(
    setup: Setup,
    *,
    shots: int = 5,
    size: int = 473,
    repeats: int = 3,
    options: dict | None = None,
    matmul_size: int | None = None,
) -> list[dict[str, Any]]:
    """One row: ours has the support's prototypes, plain encodes all K+1 images.

    Images come from the host's memory (pinned for ours), masks go back there.

    Args:
        setup: How to run.
        shots: K.
        size: Height and width of the images.
        repeats: Timed calls of each, unless ``setup`` says otherwise.
        options: Changes of the config.
        matmul_size: See :func:`machine.matmul_call`.
    """
    model = random_model(setup, options)
    plain_model = random_model(Setup(setup.device), options)
    pairs = [draw_photo((size, size), [1, 2], seed=i) for i in range(1 + shots)]
    images = [normalised(plain_model, photo) for photo, _ in pairs]
    masks = [torch.from_numpy(mask) for _, mask in pairs]
    masks = [torch.where(m == 255, 255, (m == 1).to(torch.uint8)) for m in masks]

    head, device = model.decode_head, setup.device
    match = torch.compile(head.match_state) if setup.compile else None
    query = images[0].pin_memory() if device == 'cuda' else images[0]

    @torch.no_grad()
    def set_support() -> dict[str, Tensor]:
        features = model.encode(torch.stack(images[1:]).to(device))
        return head.support_state(
            features[None], torch.stack(masks[1:]).to(device)[None]
        )

    @torch.no_grad()
    def predict(encoder, match) -> Tensor:
        features = encoder.encode(query[None].to(device, non_blocking=True))
        logits = match(features, state)['final']
        logits = head.upsample(logits, (size, size))
        return (logits[0, 1] > logits[0, 0]).cpu()

    def ours() -> Tensor:
        return predict(model, match or head.match_state)

    def uncompiled() -> Tensor:
        return predict(plain_model, head.match_state)

    @torch.no_grad()
    def plain() -> Tensor:
        placed = [image.to(device) for image in images]
        supports = [mask.to(device) for mask in masks[1:]]
        mask = plain_predict(plain_model, placed[0], placed[1:], supports, (size, size))
        return mask.cpu()

    state = setup.ours(set_support)()
    row = compare(
        f'prediction, support set beforehand, {shots}-shot, {size}×{size}',
        ours,
        plain,
        setup,
        repeats=repeats,
        count=uncompiled,
        matmul_size=matmul_size,
    )
    different = (setup.ours(ours)() != setup.plain(plain)()).sum().item()
    with torch.no_grad():
        features = [plain_model.encode(image[None].to(device)) for image in images]
        first = plain_match(
            features[0], features[1:], [m[None].to(device) for m in masks[1:]]
        )['baseline']
    row['notes'] += [
        shares_note('prediction', first),
        f'prediction: {different} of {size * size} pixels differ from the plain mask',
    ]
    return [row]

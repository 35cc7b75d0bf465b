"""Synthetic features, pictures and data sets that make a matching head work as real ones.

In pure noise no pixel is confident, and self-support would have next to nothing to do.
"""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmseg.datasets import PascalVOCDataset
from PIL import Image
from torch import Tensor

from mmssp.utils.parallel import parallel_map

IGNORE = 255
LISTS = Path('ImageSets', 'Segmentation')
MASKS = 'SegmentationClassAug'


def feature_scene(
    episodes: int,
    shots: int,
    channels: int,
    size: tuple[int, int],
    *,
    object_share: float = 0.25,
    regions: int = 4,
    spread: float = 1.5,
    contrast: float = 6.0,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Features of episodes: an object before regions of background, and noise.

    A quarter of the pixels are clearly the object's, most others clearly background,
    and along borders, where features mix, some are neither.

    Args:
        episodes: B.
        shots: K.
        channels: C.
        size: (h, w) of the feature map.
        object_share: Share of the object's pixels in each image.
        regions: Kinds of background in an episode.
        spread: Standard deviation of the noise, beside prototypes of 1.
        contrast: Sharpness of the borders.
        seed: The only source of chance.

    Returns:
        ``query_features`` (B,C,h,w) and ``support_features`` (B,K,C,h,w) float32;
        ``query_mask`` (B,H,W) and ``support_mask`` (B,K,H,W) uint8 in {0, 1}, at the
        image size that gives such features at stride 8.
    """
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    def smooth(kinds: int) -> Tensor:
        field = normal(1, kinds, 5, 5)
        return F.interpolate(field, size, mode='bicubic', align_corners=True)[0]

    def image(prototypes: Tensor) -> tuple[Tensor, Tensor]:
        field = smooth(len(prototypes))
        background = field[1:].mul(contrast).softmax(0)
        edge = field[0].flatten().quantile(1 - object_share)
        inside = (field[0] - edge).mul(contrast).sigmoid()
        weights = torch.cat([inside[None], (1 - inside) * background])
        features = torch.einsum('rhw,rc->chw', weights, prototypes)
        features += spread * normal(channels, *size)
        image_size = [8 * (n - 1) + 1 for n in size]
        mask = F.interpolate((inside > 0.5)[None, None].float(), image_size)
        return features, mask[0, 0].to(torch.uint8)

    queries, supports = [], []
    for _ in range(episodes):
        # what all pixels share keeps cosines positive, as in real features
        prototypes = 0.5 * normal(1, channels) + normal(1 + regions, channels)
        queries.append(image(prototypes))
        supports += [image(prototypes) for _ in range(shots)]
    query_features, query_mask = (torch.stack(x) for x in zip(*queries, strict=True))
    support_features, support_mask = (
        torch.stack(x).unflatten(0, (episodes, shots))
        for x in zip(*supports, strict=True)
    )
    return dict(
        query_features=query_features,
        query_mask=query_mask,
        support_features=support_features,
        support_mask=support_mask,
    )


def confident_shares(logits: Tensor) -> dict[str, float]:
    """Shares of pixels above the published thresholds.

    Args:
        logits: (B,2,h,w), background first.

    Returns:
        ``foreground`` and ``background``, in [0, 1].
    """
    background, foreground = logits.softmax(1).unbind(1)
    return dict(
        foreground=(foreground > 0.7).float().mean().item(),
        background=(background > 0.6).float().mean().item(),
    )


def shares_note(name: str, logits: Tensor) -> str:
    """Confident shares in words, for below a table."""
    shares = confident_shares(logits)
    return (
        f'{name}: {shares["foreground"]:.0%} of the pixels confidently foreground, '
        f'{shares["background"]:.0%} background, in the first guess'
    )


def draw_photo(
    size: tuple[int, int], labels: Sequence[int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """A picture of one ellipse for each label, side by side, each label in its pattern.

    Args:
        size: (H, W).
        labels: Distinct labels, 1..254.
        seed: The only source of chance.

    Returns:
        (H,W,3) uint8 RGB, and its mask (H,W) uint8: labels, 0 for background, 255
        along the outlines.
    """
    random = np.random.default_rng(seed)
    height, width = size
    coarse = random.uniform(60, 190, (6, 8, 3)).astype(np.float32)
    photo = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros(size, np.uint8)
    y, x = np.mgrid[:height, :width]
    step = width / len(labels)
    for place, label in enumerate(labels):
        radii = random.uniform(0.3, 0.45, 2) * (height / 2, min(step, height))
        centre = (height * random.uniform(0.4, 0.6), step * (place + 0.5))
        inside = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2
        own = np.random.default_rng(label)
        colour, angle, period = own.uniform(0, 255, 3), own.uniform(0, 3), 8 + 4 * label
        waves = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 6.28 / period)
        pattern = colour + 40 * waves[..., None]
        photo = np.where((inside < 1)[..., None], pattern, photo)
        outline = cv2.dilate((inside < 1).astype(np.uint8), np.ones((5, 5), np.uint8))
        mask[outline > 0] = IGNORE
        mask[inside < 1] = label
    photo = photo + random.normal(0, 12, photo.shape)
    return photo.clip(0, 255).astype(np.uint8), mask


def write_voc(
    root: Path, images: int, size: tuple[int, int], num_classes: int = 5
) -> Path:
    """Draw a data set in VOC's layout, two classes an image.

    Args:
        root: Folder, made here.
        images: How many; each class is in ``2 * images / num_classes`` of them.
        size: (H, W) of each.
        num_classes: Of VOC's classes, the first so many.

    Returns:
        ``root``.
    """
    for folder in ('JPEGImages', MASKS, LISTS):
        (root / folder).mkdir(parents=True)
    for i in range(images):
        labels = [(2 * i + k) % num_classes + 1 for k in range(2)]
        photo, mask = draw_photo(size, labels, seed=i)
        Image.fromarray(photo).save(root / 'JPEGImages' / f'{i:06d}.jpg', quality=92)
        (root / MASKS / f'{i:06d}.png').write_bytes(palette_png(mask))
    write_list(root, images)
    return root


def write_masks(
    root: Path, count: int, size: tuple[int, int], workers: int | None = None
) -> Path:
    """Draw the masks of a data set in VOC's layout; all photos are one grey one.

    Args:
        root: Folder, made here.
        count: How many.
        size: (H, W) of each.
        workers: Processes; None takes all CPUs.

    Returns:
        ``root``.
    """
    for folder in ('JPEGImages', MASKS, LISTS):
        (root / folder).mkdir(parents=True)
    photo = io.BytesIO()
    Image.new('RGB', size[::-1], 'grey').save(photo, 'JPEG')
    parallel_map(
        partial(_write_mask, root=root, size=size, photo=photo.getvalue()),
        range(count),
        workers,
    )
    write_list(root, count)
    return root


def _write_mask(i: int, root: Path, size: tuple[int, int], photo: bytes) -> None:
    random = np.random.default_rng(i)
    mask = np.zeros(size, np.uint8)
    for label in random.choice(20, random.integers(1, 4), replace=False) + 1:
        corners = random.uniform(0.05, 0.6) * random.normal(size=(9, 2)) + 0.5
        # smooth outlines, as drawn by hand
        hull = cv2.convexHull((corners * size[::-1]).astype(np.int32))
        cv2.fillPoly(mask, [hull], int(label), lineType=cv2.LINE_8)
        cv2.polylines(mask, [hull], True, IGNORE, 5)
    (root / MASKS / f'{i:06d}.png').write_bytes(palette_png(mask))
    (root / 'JPEGImages' / f'{i:06d}.jpg').write_bytes(photo)


def write_list(root: Path, count: int) -> None:
    names = [f'{i:06d}\n' for i in range(count)]
    (root / LISTS / 'val.txt').write_text(''.join(names))


def palette_png(mask: np.ndarray) -> bytes:
    """A mask (H,W) uint8 as a PNG with VOC's colours."""
    palette = np.zeros((256, 3), np.uint8)
    palette[:21] = PascalVOCDataset.METAINFO['palette']
    palette[IGNORE] = (224, 224, 192)
    picture, stream = Image.fromarray(mask), io.BytesIO()
    picture.putpalette(palette.tobytes())
    picture.save(stream, 'PNG')
    return stream.getvalue()

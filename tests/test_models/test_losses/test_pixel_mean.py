"""Losses as means over pixels: mmseg's own numbers, with weights, samplers, channels."""

import pytest
import torch
from mmseg.registry import MODELS
from torch.nn.functional import cross_entropy

from mmssp.models.losses import PixelMean
from mmssp.models.losses.pixel_mean import build_losses, class_counts

WEIGHTS = [1.0, 5.0]


def batch(ignored: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2,2,9,7) and labels (2,9,7)."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (2, 9, 7), generator=rng)
    if ignored:
        labels[torch.rand(labels.shape, generator=rng) < 0.3] = 255
    return torch.randn(2, 2, 9, 7, generator=rng), labels


def found(loss: dict, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    (counts,) = class_counts(labels)
    return PixelMean(counts)(build_losses(loss), logits, labels)


@pytest.mark.parametrize('ignored', [False, True])
def test_class_weights_count_in_the_mean_as_in_pytorch(ignored):
    logits, labels = batch(ignored)
    loss = dict(type='CrossEntropyLoss', avg_non_ignore=True, class_weight=WEIGHTS)
    expected = cross_entropy(logits, labels, torch.tensor(WEIGHTS), ignore_index=255)
    torch.testing.assert_close(found(loss, logits, labels), expected)


@pytest.mark.parametrize(
    'options',
    [
        dict(type='CrossEntropyLoss', avg_non_ignore=True),
        dict(type='CrossEntropyLoss'),
        dict(type='CrossEntropyLoss', class_weight=WEIGHTS),
        dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True),
        dict(type='DiceLoss'),
    ],
)
def test_without_ignored_pixels_a_loss_is_mmsegs(options):
    logits, labels = batch(ignored=False)
    expected = MODELS.build(options)(logits, labels)
    torch.testing.assert_close(found(options, logits, labels), expected)


def test_several_losses_are_added():
    logits, labels = batch(ignored=True)
    one = dict(type='CrossEntropyLoss', avg_non_ignore=True)
    twice = found([one, one], logits, labels)
    torch.testing.assert_close(twice, 2 * found(one, logits, labels))


def test_counts_are_of_both_classes_and_of_all_masks_of_a_set():
    first, second = torch.tensor([[0, 1, 255]]), [torch.ones(2, 2), torch.zeros(1, 3)]
    query, support = class_counts(first, second)
    assert query.tolist() == [1, 1]
    assert support.tolist() == [3, 4]

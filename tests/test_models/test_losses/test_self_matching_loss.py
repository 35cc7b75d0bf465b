"""Self-matching by name: replaced, put inside, and left as published."""

import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmssp.models.losses import FeatureLoss, PixelMean, SelfMatchingLoss


@MODELS.register_module(force=True)
class LengthLoss(FeatureLoss):
    """The mean length of features: a loss that needs no mask."""

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, features, masks, mean: PixelMean) -> Tensor:
        return (
            self.loss_weight
            * torch.cat([f.norm(dim=1).flatten() for f in features]).mean()
        )


def losses(**options) -> dict[str, Tensor]:
    torch.manual_seed(0)
    head = MODELS.build(dict(type='SSPHead', in_channels=5, **options))
    return head.loss(
        torch.randn(2, 5, 6, 6),
        torch.randn(2, 3, 5, 6, 6),
        torch.randint(0, 2, (2, 24, 24)),
        torch.randint(0, 2, (2, 3, 24, 24)),
    )


CE = dict(type='CrossEntropyLoss', avg_non_ignore=True)


@pytest.mark.parametrize('which', ['loss_query_self', 'loss_support_self'])
def test_a_loss_of_mmseg_is_put_into_self_matching(which):
    named = losses(**{which: dict(type='SelfMatchingLoss', loss=CE)})
    torch.testing.assert_close(losses(**{which: CE})[which], named[which])


def test_self_matching_takes_the_scale_of_the_head_unless_it_has_its_own():
    def of(**options) -> Tensor:
        own = dict(type='SelfMatchingLoss', loss=CE, **options)
        return losses(similarity_scale=3.0, loss_query_self=own)['loss_query_self']

    torch.testing.assert_close(of(), of(similarity_scale=3.0))
    assert not torch.isclose(of(), of(similarity_scale=10.0))


def test_any_loss_of_features_takes_its_place():
    found = losses(loss_support_self=dict(type='LengthLoss', loss_weight=2.0))
    alone = losses(loss_support_self=dict(type='LengthLoss'))
    torch.testing.assert_close(
        found['loss_support_self'], 2 * alone['loss_support_self']
    )
    assert 1 < alone['loss_support_self'] < 4  # √5 or so


def test_batches_of_different_size_have_one_mean_over_all_pixels():
    torch.manual_seed(0)
    features = [torch.randn(1, 4, 3, 5), torch.randn(1, 4, 6, 2)]
    masks = [torch.randint(0, 2, (1, 12, 20)), torch.randint(0, 2, (1, 18, 6))]
    loss = SelfMatchingLoss(CE)
    counts = torch.tensor([1, 1])  # sums: both sides are divided by two
    together = loss(features, masks, PixelMean(counts))
    each = [
        loss([f], [m], PixelMean(counts)) for f, m in zip(features, masks, strict=True)
    ]
    torch.testing.assert_close(together, sum(each))

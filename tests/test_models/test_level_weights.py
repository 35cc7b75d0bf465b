"""level_weights: several levels of a backbone count as they are weighted."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from mmssp.apis.models import fingerprint

LEVELS = dict(
    type='BaselineHead',
    in_channels=[4, 6],
    in_index=[1, 0],
    input_transform='resize_concat',
)


def maps() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return (
        torch.randn(2, 6, 4, 5, generator=rng) * 50,
        torch.randn(2, 4, 8, 10, generator=rng),
    )


def test_a_cosine_is_the_weighted_mean_of_those_of_the_levels():
    coarse, fine = maps()
    head = MODELS.build(dict(LEVELS, level_weights=[3, 1]))
    first, second = head.select_features([coarse, fine]).flatten(2)
    assert first.shape == (10, 80)
    wide = F.interpolate(coarse, (8, 10), mode='bilinear', align_corners=True)
    cosines = [
        F.cosine_similarity(
            one.flatten(1)[:, :, None], other.flatten(1)[:, None], dim=0
        )
        for one, other in (fine, wide)
    ]
    torch.testing.assert_close(
        first.T @ second, 0.75 * cosines[0] + 0.25 * cosines[1], rtol=1e-4, atol=1e-5
    )


def test_without_weights_levels_are_joined_as_they_are():
    coarse, fine = maps()
    features = MODELS.build(LEVELS).select_features([coarse, fine])
    assert torch.equal(features[:, :4], fine)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(level_weights=[1]), r'level_weights=\[1\]: expected as many as'),
        (dict(level_weights=[1, 0]), 'level_weights=0: expected a number'),
        (dict(level_weights=[1, -2]), 'level_weights=-2: expected a number'),
        (
            dict(level_weights=[1], in_channels=4, in_index=1, input_transform=None),
            "expected as many .* with input_transform='resize_concat'",
        ),
    ],
)
def test_weights_that_fit_nothing_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(LEVELS, **changes))


def test_states_are_of_models_of_the_same_weights():
    def of(**head) -> str:
        torch.manual_seed(0)
        model = dict(
            type='FewShotEncoderDecoder',
            data_preprocessor=dict(type='FewShotDataPreProcessor'),
            backbone=dict(type='PatchBackbone', channels=4),
            decode_head=dict(LEVELS, in_channels=[4, 4], in_index=[0, 0], **head),
        )
        return fingerprint(MODELS.build(model))

    found = {of(), of(level_weights=[1, 1]), of(level_weights=[1, 2])}
    assert len(found) == 3
    assert of(level_weights=[2, 2]) in found

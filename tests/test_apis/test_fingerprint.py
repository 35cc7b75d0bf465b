"""What states of supports depend on is told apart; what they do not is not."""

import pytest

from mmssp.apis.models import fingerprint

PLAIN = dict()
OTHER_STATES = {
    'pixels': dict(memory=dict(type='PixelPrototypes')),
    'enlarged otherwise': dict(memory=dict(type='PixelPrototypes', align_corners=True)),
    'parts': dict(memory=dict(type='PartPrototypes')),
    'more parts': dict(memory=dict(type='PartPrototypes', parts=6)),
    'tokens': dict(memory=dict(type='SupportTokens')),
    'whitened': dict(memory=dict(type='WhitenedPrototypes')),
    'debiased': dict(debiasing=dict(type='PositionalDebiasing')),
}
SAME_STATES = {
    'named default': dict(memory=dict(type='MeanPrototypes')),
    'refined': dict(refine=True),
    'grouped': dict(grouping=dict(type='QueryClusters')),
    'adaptive foreground': dict(adaptive_foreground_weight=0.5),
}


@pytest.mark.parametrize('name', OTHER_STATES)
def test_heads_with_other_states_have_another(name, build_segmentor):
    prints = {
        fingerprint(build_segmentor(**head)) for head in (PLAIN, *OTHER_STATES.values())
    }
    assert len(prints) == 1 + len(OTHER_STATES)
    again = fingerprint(build_segmentor(**OTHER_STATES[name]))
    assert again in prints


@pytest.mark.parametrize('name', SAME_STATES)
def test_heads_with_the_same_states_have_the_same(name, build_segmentor):
    found, expected = (
        fingerprint(build_segmentor(**head)) for head in (SAME_STATES[name], PLAIN)
    )
    assert found == expected

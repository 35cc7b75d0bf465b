"""What a result says of itself."""

import numpy as np
import pytest

from mmssp.apis.result import Result, checked_share


def result(**options) -> Result:
    """Two classes, of which the second is not present."""
    probabilities = np.zeros((2, 4, 6), np.float32)
    probabilities[0, :2] = 0.9
    probabilities[1, 1:] = 0.95
    return Result.from_probabilities(
        image=np.zeros((4, 6, 3), np.uint8),
        names=('red', 'blue'),
        probabilities=probabilities,
        scores=dict(red=0.8, blue=0.2),
        threshold=0.5,
        presence_threshold=0.5,
        **options,
    )


def test_a_class_that_is_not_present_has_no_pixel():
    assert np.unique(result().mask).tolist() == [0, 1]
    assert result().areas == dict(red=12, blue=0)


def test_of_several_classes_the_one_to_explain_is_asked_for():
    with pytest.raises(ValueError, match='name=None: expected one of'):
        result(_explain=lambda name: None).explain()


def test_a_result_without_features_says_that_it_cannot_be_explained():
    with pytest.raises(ValueError, match='cannot be explained'):
        result().explain('red')


@pytest.mark.parametrize('value', [-0.1, 1.1, float('nan'), '0.5', None])
def test_a_share_outside_of_its_range_is_an_error(value):
    with pytest.raises(ValueError, match=r'threshold=.*expected a number in \[0, 1\]'):
        checked_share('threshold', value)

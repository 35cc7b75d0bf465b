"""Several processes learn from their episodes what one would learn from all of them."""

import gradients
import pytest
import torch
from processes import forked

# (dtype, greatest difference, relative to the greatest gradient of a parameter)
PRECISIONS = [(torch.float64, 1e-6), (torch.float32, 1e-4)]


def compare(found: dict, expected: dict, tolerance: float) -> None:
    assert len(found['gradients']) == len(expected['gradients']) > 20
    for one, other in zip(found['gradients'], expected['gradients'], strict=True):
        assert other.abs().max() > 0
        assert (one - other).abs().max() <= tolerance * other.abs().max()
    torch.testing.assert_close(found['loss'], expected['loss'], rtol=1e-5, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize(('dtype', 'tolerance'), PRECISIONS)
@pytest.mark.parametrize('same_size', [True, False])
def test_two_by_two_episodes_have_the_gradients_of_four(
    dtype, tolerance, same_size, tmp_path
):
    model = gradients.build(dtype)
    expected = gradients.train_step(model, range(gradients.EPISODES), 2, same_size)
    forked(2, gradients.as_a_rank, tmp_path / 'two.pt', dtype, 2, same_size)
    compare(torch.load(tmp_path / 'two.pt'), expected, tolerance)


@pytest.mark.slow
def test_four_processes_have_the_gradients_of_one(tmp_path):
    expected = gradients.train_step(
        gradients.build(torch.float64), range(gradients.EPISODES), 1, True
    )
    forked(4, gradients.as_a_rank, tmp_path / 'four.pt', torch.float64, 1, True)
    compare(torch.load(tmp_path / 'four.pt'), expected, 1e-6)

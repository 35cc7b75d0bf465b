"""A loss, or weights to be saved, that are no numbers end the training."""

from types import SimpleNamespace

import pytest
import torch
from mmseg.structures import SegDataSample

from mmssp.engine.hooks import FiniteLossHook

RUNNER = SimpleNamespace(iter=6)


def batch(*episodes: int) -> dict:
    return dict(
        data_samples=[
            SegDataSample(
                metainfo=dict(
                    episode=i,
                    img_path=f'q{i}.jpg',
                    support_img_paths=[f's{i}.jpg', 't'],
                )
            )
            for i in episodes
        ]
    )


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_message_has_iteration_losses_episodes_and_files(value):
    losses = dict(loss=torch.tensor(value), loss_final=torch.tensor(0.5), lr=1.0)
    with pytest.raises(ValueError) as caught:
        FiniteLossHook().after_train_iter(RUNNER, 6, batch(24, 25), losses)
    message = str(caught.value)
    assert message.startswith(
        f'iteration 7: the loss is not finite (loss {value:g}, loss_final 0.5) on '
        'episode 24 (query q24.jpg, supports s24.jpg, t), '
        'episode 25 (query q25.jpg, supports s25.jpg, t); '
    )
    assert '--resume goes on' in message


@pytest.mark.parametrize(
    'outputs', [None, dict(), dict(loss=torch.tensor(3.0)), dict(loss=2.0)]
)
def test_numbers_and_nothing_pass(outputs):
    FiniteLossHook().after_train_iter(RUNNER, 6, batch(1), outputs)


def test_batches_of_another_kind_end_with_a_message_too():
    with pytest.raises(ValueError, match='on a batch without data_samples'):
        FiniteLossHook().after_train_iter(
            RUNNER, 6, [torch.zeros(1)], dict(loss=torch.tensor(float('nan')))
        )


def test_weights_that_are_no_numbers_are_not_saved():
    weights = dict(a=torch.ones(2), steps=torch.tensor(3), b=torch.tensor([1.0, 0.0]))
    hook = FiniteLossHook()
    hook.before_save_checkpoint(RUNNER, dict(state_dict=weights))
    weights['b'][0] = float('inf')
    with pytest.raises(ValueError, match='1 of the weights to be saved, b first'):
        hook.before_save_checkpoint(RUNNER, dict(state_dict=weights))

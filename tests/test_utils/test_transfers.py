"""Results that are read some time after they were asked for."""

import pytest
import torch

from mmssp.utils import transfers
from mmssp.utils.transfers import Transfers


def test_what_is_on_the_cpu_arrives_at_once():
    queue = Transfers()
    queue.put('a', torch.tensor([1, 2]), torch.tensor([3]))
    ((item, tensors),) = queue.arrived()
    assert item == 'a'
    assert [tensor.tolist() for tensor in tensors] == [[1, 2], [3]]
    assert not list(queue.arrived(everything=True))


class Event:
    """A mark in a stream of a GPU that reaches it when somebody waits for it."""

    def __init__(self) -> None:
        self.reached = False

    def synchronize(self) -> None:
        self.reached = True


@pytest.fixture
def sent() -> Transfers:
    """Five results on their way, of which two are so at a time."""
    queue = Transfers(ahead=2)
    for number in range(5):
        queue._sent.append(transfers._Sent(number, [torch.tensor(number)], Event()))
    return queue


def test_the_last_few_are_left_on_their_way(sent):
    events = [one.event for one in sent._sent]
    assert [item for item, _ in sent.arrived()] == [0, 1, 2]
    assert [event.reached for event in events] == [True] * 3 + [False] * 2
    assert not list(sent.arrived())


def test_all_are_waited_for_in_the_end(sent):
    assert [item for item, _ in sent.arrived(everything=True)] == [0, 1, 2, 3, 4]
    assert not list(sent.arrived(everything=True))

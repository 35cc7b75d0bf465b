"""Results on their way from a GPU, which works on while they are copied."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar('T')
AHEAD = 16
"""Results on their way at a time: enough that a GPU never waits for who reads them."""


@dataclass
class _Sent(Generic[T]):
    item: T
    tensors: list[Tensor]
    event: torch.cuda.Event | None


class Transfers(Generic[T]):
    """A queue of tensors that are copied to the CPU.

    To read a tensor of a GPU is to wait for all that the GPU was told before. Here the
    copy is asked for at once, and read some results later, when it has long been made.
    What is on a CPU already, or on a device other than CUDA's, does not queue.

    Args:
        ahead: Results on their way at a time.
    """

    def __init__(self, ahead: int = AHEAD) -> None:
        self._ahead = ahead
        self._sent: deque[_Sent[T]] = deque()

    def put(self, item: T, *tensors: Tensor) -> None:
        """Ask for a copy of some tensors of one device.

        Args:
            item: Whatever they belong to.
            *tensors: They are not to be changed in place afterwards.
        """
        on_gpu = tensors[0].is_cuda
        copies = [tensor.to('cpu', non_blocking=on_gpu) for tensor in tensors]
        event = None
        if on_gpu:
            event = torch.cuda.current_stream(tensors[0].device).record_event()
        self._sent.append(_Sent(item, copies, event))

    def arrived(self, everything: bool = False) -> Iterator[tuple[T, list[Tensor]]]:
        """Take out what has arrived, in the order of :meth:`put`.

        Args:
            everything: Wait for all of it.
        """
        while self._sent:
            first = self._sent[0]
            if first.event is not None:
                if len(self._sent) <= self._ahead and not everything:
                    return
                first.event.synchronize()
            self._sent.popleft()
            yield first.item, first.tensors

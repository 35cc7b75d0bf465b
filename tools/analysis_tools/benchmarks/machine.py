"""How a benchmark runs (device, precision, threads), and on what machine."""

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mmssp

DTYPES = {
    'float32': torch.float32,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
}
# Large enough for the full rate, small enough for a fraction of a second.
MATMUL_SIZE = {'cpu': 2048, 'cuda': 8192}


@dataclass(frozen=True)
class Setup:
    """How our side of a comparison runs; the plain side is always float32 and eager.

    Attributes:
        device: ``'cpu'`` or ``'cuda'``, for both sides.
        dtype: Precision of the backbone, and of features given to the head.
        tf32: Whether float32 products may round their factors to TF32 (CUDA).
        channels_last: Whether the backbone works in that memory format.
        compile: Whether ``torch.compile`` is used.
        repeats: Timed calls of each side; None for each benchmark's own number.
    """

    device: str = 'cpu'
    dtype: str = 'float32'
    tf32: bool = False
    channels_last: bool = False
    compile: bool = False
    repeats: int | None = None

    @property
    def torch_dtype(self) -> torch.dtype:
        return DTYPES[self.dtype]

    @property
    def options(self) -> str:
        """The options that depart from float32 and eager, in words."""
        chosen = [] if self.dtype == 'float32' else [self.dtype]
        switches = ('tf32', 'channels_last', 'compile')
        chosen += [name.replace('_', '-') for name in switches if getattr(self, name)]
        return ', '.join(chosen) or 'float32'

    def ours(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """``call`` in the chosen precision."""

        def run() -> Any:
            lower = self.dtype != 'float32'
            with (
                tf32_allowed(self.tf32),
                torch.autocast(self.device, self.torch_dtype, enabled=lower),
            ):
                return call()

        return run

    def plain(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """``call`` in float32 alone."""

        def run() -> Any:
            with tf32_allowed(False):
                return call()

        return run

    def prepare(self, model: nn.Module) -> nn.Module:
        """Put a model on the device, in the memory format, its backbone compiled.

        Args:
            model: Changed in place.
        """
        model.to(self.device)
        if self.channels_last:
            model.to(memory_format=torch.channels_last)
        if self.compile:
            # in place, so that the state dict keeps its keys
            model.backbone.compile()
        return model


@contextmanager
def tf32_allowed(allowed: bool) -> Iterator[None]:
    """Allow TF32 in matrix products and convolutions inside, or forbid it."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = allowed
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def matmul_call(setup: Setup, size: int | None = None) -> tuple[Callable[[], Any], int]:
    """A square matrix product in the precision of our side, and its operations.

    Args:
        setup: Device and precision.
        size: Rows; None for one that gives the device's full rate.

    Returns:
        The call, and how many floating-point operations it takes.
    """
    size = size or MATMUL_SIZE[setup.device]
    a, b = torch.rand(2, size, size, device=setup.device, dtype=setup.torch_dtype)
    return setup.ours(lambda: a @ b), 2 * size**3


def describe(setup: Setup) -> dict[str, str | int]:
    """Versions, device and threads that figures belong to."""
    on_gpu = setup.device == 'cuda'
    return {
        'mmssp': mmssp.__version__,
        'torch': torch.__version__,
        'Python': platform.python_version(),
        'device': torch.cuda.get_device_name() if on_gpu else cpu_name(),
        'CPUs': usable_cpus(),
        'threads': torch.get_num_threads(),
        'ours in': setup.options,
    }


def usable_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, 'sched_getaffinity'):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """Model of the CPU as the system names it."""
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()

"""Time, peak memory and arithmetic of calls that are compared with each other."""

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from .machine import Setup, matmul_call

Call = Callable[[], Any]
# calls before the measured ones; on a GPU kernels are chosen in them
WARMUP = {'cpu': 0, 'cuda': 3}


def interleaved(
    calls: Mapping[str, Call], repeats: int, device: str = 'cpu'
) -> dict[str, float]:
    """Median seconds of several calls, taken in turns: A B A B …

    What else the machine does then slows all of them alike.

    Args:
        calls: By name.
        repeats: Timed calls of each.
        device: ``'cuda'`` waits for the device before and after each call.

    Returns:
        Name → seconds.
    """
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(timed(call, device)[0])
    return {name: median(values) for name, values in seconds.items()}


def timed(call: Call, device: str = 'cpu') -> tuple[float, Any]:
    """Seconds of one call, until the device is done with it, and what it returned."""
    _synchronize(device)
    start = time.perf_counter()
    result = call()
    _synchronize(device)
    return time.perf_counter() - start, result


def _synchronize(device: str) -> None:
    if device == 'cuda':
        torch.cuda.synchronize()


def peak_memory(call: Call, device: str = 'cpu') -> int:
    """Most bytes of tensors alive at once during a call, beyond those before it.

    On a CPU from the profiler's record of each allocation of PyTorch's allocator; what
    libraries take by themselves is not in it. Slow: not for timed calls.

    Args:
        call: What it returns is alive until its end.
        device: ``'cpu'`` or ``'cuda'``.
    """
    if device == 'cuda':
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        call()
    events = [
        (event.start_ns(), event.nbytes())
        for event in record.profiler.kineto_results.events()
        if event.name() == '[memory]'
    ]
    alive = peak = 0
    for _, change in sorted(events, key=lambda event: event[0]):
        alive += change
        peak = max(peak, alive)
    return peak


def operations(call: Call) -> int:
    """Floating-point operations of a call's matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def compare(
    what: str,
    ours: Call,
    plain: Call,
    setup: Setup,
    *,
    repeats: int,
    count: Call | None = None,
    items: int = 1,
    unit: str = 's',
    matmul_size: int | None = None,
) -> dict[str, Any]:
    """Measure our way of doing something beside the plain way.

    Args:
        what: Name of the row.
        ours: Our way; run in the precision of ``setup``.
        plain: The plain way; run in float32.
        setup: How to run.
        repeats: Timed calls of each, unless ``setup`` says otherwise.
        count: Does the same arithmetic as ``ours``, where that is compiled and cannot
            be counted.
        items: Things done in a call.
        unit: ``'s'`` for seconds a call, or ``'…/s'`` for things a second.
        matmul_size: See :func:`matmul_call`.

    Returns:
        A row, see :func:`make_row`.
    """
    product, product_operations = matmul_call(setup, matmul_size)
    calls = dict(ours=setup.ours(ours), plain=setup.plain(plain), product=product)
    for _ in range(WARMUP[setup.device] or int(setup.compile)):
        for call in calls.values():
            call()
    # on a CPU, where nothing is compiled, this is the warm-up
    peaks = {side: peak_memory(calls[side], setup.device) for side in ('ours', 'plain')}
    seconds = interleaved(calls, setup.repeats or repeats, setup.device)
    return make_row(
        what,
        seconds['ours'],
        seconds['plain'],
        peaks=peaks,
        operations=operations(setup.ours(count or ours)),
        rate=product_operations / seconds['product'],
        items=items,
        unit=unit,
    )


def make_row(
    what: str,
    ours: float,
    plain: float,
    *,
    peaks: Mapping[str, int] | None = None,
    operations: float | None = None,
    rate: float | None = None,
    items: int = 1,
    unit: str = 's',
) -> dict[str, Any]:
    """One row of the table.

    Args:
        what: Its name.
        ours: Seconds of our way.
        plain: Seconds of the plain way.
        peaks: Bytes of peak memory, ``ours`` and ``plain``.
        operations: Floating-point operations of ours.
        rate: Operations a second of the machine's own matrix product.
        items: Things done in that time.
        unit: ``'s'``, or ``'…/s'``.

    Returns:
        ``what``, ``unit``, ``ours``, ``plain`` (in that unit), ``times_faster``,
        ``ours_peak``, ``plain_peak`` (bytes), ``memory_ratio``, ``gflop``,
        ``matmul_gflops`` and ``matmul_share``; None where not measured.
    """
    peaks = peaks or {}
    seconds_given = unit == 's'
    known = operations is not None and rate is not None
    return dict(
        what=what,
        unit=unit,
        ours=ours if seconds_given else items / ours,
        plain=plain if seconds_given else items / plain,
        times_faster=plain / ours,
        ours_peak=peaks.get('ours'),
        plain_peak=peaks.get('plain'),
        memory_ratio=peaks['ours'] / peaks['plain'] if peaks else None,
        gflop=operations / 1e9 if known else None,
        matmul_gflops=rate / 1e9 if known else None,
        matmul_share=operations / ours / rate if known else None,
        notes=[],
    )

"""What this machine can do at best, measured beside every benchmark: the convolution all of it is made of."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F


def median_seconds(run: Callable[[], object], repeats: int = 7, warm_up: int = 2) -> float:
    """Return the median time of a call, in seconds."""
    times = []
    for _ in range(warm_up):
        run()
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def convolution_ceiling(dtype: torch.dtype, size: int = 256) -> float:
    """Return the FLOP/s of a 3x3 convolution, 64 to 64 channels on size x size, in the faster layout."""
    best = 0.0
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(1, 64, size, size).to(dtype).to(memory_format=layout)
        weight = torch.randn(64, 64, 3, 3).to(dtype).to(memory_format=layout)
        with torch.no_grad():
            seconds = median_seconds(functools.partial(F.conv2d, x, weight, padding=1))
        best = max(best, 2 * 9 * 64 * 64 * size * size / seconds)
    return best


def alternating_medians(
    runs: Mapping[str, Callable[[], object]], repeats: int = 5, warm_up: int = 1
) -> dict[str, float]:
    """Return the median seconds of each call.

    They are taken in turns, so that a slow minute of the machine hits all alike.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warm_up + repeats):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if turn >= warm_up:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}

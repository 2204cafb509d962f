"""Which device to compute on, in which precision, and how much memory that takes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import psutil
import torch

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


def best_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the type of convolutions for its name in a configuration.

    Args:
        name: one of DTYPES, or "auto": bfloat16 where the hardware has it, else float32. Emulated bfloat16
            is slower than float32, so support by the processor decides, not by torch.
        device: where the convolutions run.
    """
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float32
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name under which configurations and records know a type, such as "float32"."""
    return str(dtype).removeprefix("torch.")


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return a context in which convolutions and products run in `dtype` while parameters stay float32.

    For float32 itself it changes nothing.
    """
    return contextlib.nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def memory_in_use(device: torch.device) -> int:
    """Return the bytes that torch's allocator uses on a GPU, or the resident set of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    resident: int = psutil.Process().memory_info().rss
    return resident


@contextlib.contextmanager
def memory_trace(device: torch.device, every: float = 0.1) -> Iterator[list[tuple[float, int]]]:
    """Sample `memory_in_use` while the block runs.

    Args:
        device: whose memory.
        every: seconds between two samples.

    Yields:
        A list of (seconds since the start of the block, bytes) that grows.
    """
    trace: list[tuple[float, int]] = []
    start, ended = time.monotonic(), threading.Event()

    def watch() -> None:
        while True:
            trace.append((time.monotonic() - start, memory_in_use(device)))
            if ended.wait(every):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield trace
    finally:
        ended.set()
        watcher.join()

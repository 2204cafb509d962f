"""Which device to compute on, and in which precision."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

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

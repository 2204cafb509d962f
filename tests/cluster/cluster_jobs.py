"""What the tests of `ourgan.cluster` run in other processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from ourgan._core import files
from ourgan._core.errors import OurganError


def smooth(source: str, out: str, *, seconds: float = 0.0, killed_once: str = "", journal: str = "") -> None:
    """Some arithmetic whose bytes depend on the order of sums; `killed_once`: dies there the first time."""
    if killed_once and not Path(killed_once).exists():
        Path(killed_once).write_text("here")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(seconds)
    pixels = np.frombuffer(Path(source).read_bytes(), np.uint8).astype(np.float32)
    value = float((pixels * np.sin(pixels)).sum())
    if journal:
        with Path(journal).open("a") as file:
            file.write(f"{Path(out).name}\n")
    files.write_bytes(out, f"{value!r}\n".encode())


def always_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuses(what: str) -> None:
    raise OurganError(f"{what}: cannot be used")


def sees(out: str) -> None:
    time.sleep(0.3)  # long enough for the other process to take its share
    files.write_bytes(out, f"{os.environ['CUDA_VISIBLE_DEVICES']} {os.getpid()}".encode())


def threads(out: str) -> None:
    import torch

    files.write_bytes(out, str(torch.get_num_threads()).encode())

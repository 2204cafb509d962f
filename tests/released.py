"""A small network as if it were released: what the tests of weights load."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ourgan.models.rrdbnet import RRDBNet
from ourgan.weights import Released

TINY = {"channels": 4, "blocks": 1, "growth": 2}
REVISION = "0123456789abcdef0123456789abcdef01234567"


def tiny_state() -> dict[str, Tensor]:
    torch.manual_seed(3)
    return dict(RRDBNet(**TINY).state_dict())


def tiny_entry() -> Released:
    body = save(tiny_state())
    return Released(
        name="tiny",
        repository="someone/tiny",
        revision=REVISION,
        file="tiny.safetensors",
        size=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        licence="CC0-1.0",
        architecture="RRDBNet",
        arguments=TINY,
        purpose="a test",
        confidence="made here",
    )


class Hostile:
    """Its pickle runs a command that leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)

"""Random streams of a training, all derived from its one seed in one way.

A stream is named by its place: ("weights", scale) for the weights that a network begins with, (iteration,
number) for the patches of a batch. What it gives depends on the seed and the place alone, never on what was
drawn from another stream, so that a resumed training sees what it would have seen. (The noise of a scene is
no stream: it is a function of its position, `ourgan.upscale.noise`.)
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def stream(seed: int, *place: int | str) -> torch.Generator:
    """Return a generator at the beginning of the stream of `place`, on the CPU.

    It is seeded by 64 bits of the SHA-256 of seed and place.
    """
    digest = hashlib.sha256("/".join(map(str, (seed, *place))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


@contextlib.contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Let torch's global generator begin like `generator` for the networks built inside, then put it back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        yield

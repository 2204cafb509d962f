"""One job: a function by its name, arguments in plain JSON values, the files it reads and those it writes.

Each output is whole or absent. Where its outputs are there a job is done, whichever worker did it; so a job
that was lost, or ran twice, costs time and nothing else. All paths must mean the same files to every worker.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ourgan._core.errors import OurganError

# Of every job on a CPU: sums come out the same however many workers share a machine.
THREADS = 1


class ClusterError(OurganError):
    """Jobs that could not be run; says where and what to do."""


@dataclass(frozen=True)
class Job:
    """A function, "package.module:name", to be called with `arguments` (JSON values, as keywords).

    It reads `inputs` and must leave `outputs`, each atomically, with the same bytes every time.
    """

    function: str
    arguments: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether all that it writes is there."""
        return all(Path(path).exists() for path in self.outputs)

    @property
    def key(self) -> str:
        """The same for the same job, on any machine."""
        described = json.dumps([self.function, self.arguments, self.inputs, self.outputs], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()[:32]


Runner = Callable[[Sequence[Job]], Iterator[OurganError | None]]
"""Runs jobs in any order; yields, for each that ended, None or what was wrong with it."""


def execute(job: Job) -> None:
    """Do a job in this process, unless it is done. Raises ClusterError if an input is not there."""
    if job.done:
        return
    for path in job.inputs:
        if not Path(path).exists():
            worker = f"{socket.gethostname()} (process {os.getpid()})"
            raise ClusterError(
                f"worker {worker}: {path} is not there; all workers must see it under that path"
            )
    module, _, name = job.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    with _torch_threads(THREADS):
        function(**job.arguments)
    if not job.done:
        raise RuntimeError(
            f"{job.function} left {[p for p in job.outputs if not Path(p).exists()]} unwritten"
        )


@contextlib.contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    if "torch" not in sys.modules:  # the job does not need it
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

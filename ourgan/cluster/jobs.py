"""Jobs, and running them in this process or in processes that are started again when they are killed.

A job is a function by its name, arguments in plain JSON values, the files it reads and those it writes. Each
output is whole or absent. Where its outputs are there a job is done, whichever worker did it; so a job
that was lost, or ran twice, costs time and nothing else. All paths must mean the same files to every worker.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import importlib
import json
import logging
import multiprocessing
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ourgan._core.errors import OurganError

log = logging.getLogger(__name__)

# Of every job on a CPU: sums come out the same however many workers share a machine.
THREADS = 1
ATTEMPTS = 3  # of a job whose process is killed


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
    with _torch_threads():
        function(**job.arguments)
    if not job.done:
        raise RuntimeError(
            f"{job.function} left {[p for p in job.outputs if not Path(p).exists()]} unwritten"
        )


def find_gpus() -> list[str]:
    """Return what CUDA_VISIBLE_DEVICES may say, one GPU at a time."""
    import torch

    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]


def run_here(jobs: Sequence[Job]) -> Iterator[OurganError | None]:
    """Run jobs one after the other in this process; see `Runner`."""
    for job in jobs:
        try:
            execute(job)
        except OurganError as error:
            yield error
        else:
            yield None


def run_in_processes(gpus: list[str], workers: int, jobs: Sequence[Job]) -> Iterator[OurganError | None]:
    """Run jobs in as many processes as `workers`, which share out `gpus` in turns; see `Runner`."""
    waiting = collections.deque(jobs)
    ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=_keep_busy, args=(gpus[n % len(gpus)] if gpus else "", waiting, ended))
        for n in range(workers)
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in jobs:
            error = ended.get()
            if error is not None and not isinstance(error, OurganError):
                raise error
            yield error
    finally:
        waiting.clear()
        for thread in threads:
            thread.join()


@contextlib.contextmanager
def _torch_threads() -> Iterator[None]:
    if "torch" not in sys.modules:  # the job does not need it
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep_busy(gpu: str, waiting: collections.deque[Job], ended: queue.SimpleQueue[Exception | None]) -> None:
    """Give jobs to one process, alone in its pool, so that it is known which job it died of."""
    with contextlib.ExitStack() as living:
        pool: ProcessPoolExecutor | None = None
        while waiting:
            try:
                job = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            for attempt in range(1, ATTEMPTS + 1):
                if pool is None:
                    # A forked process cannot use CUDA.
                    context = multiprocessing.get_context("spawn")
                    pool = living.enter_context(ProcessPoolExecutor(1, context, _start_worker, (gpu,)))
                error: Exception | None = None
                try:
                    pool.submit(execute, job).result()
                except BrokenProcessPool:
                    pool = None
                    log.warning(
                        "a worker was killed in %s, attempt %d of %d", job.function, attempt, ATTEMPTS
                    )
                    error = ClusterError(
                        f"{job.function} was killed {ATTEMPTS} times, most likely because memory ran out: "
                        "repeat with --workers 1 (what is finished is kept)"
                    )
                    continue
                except Exception as caught:
                    error = caught
                break
            ended.put(error)


def _start_worker(gpu: str) -> None:
    """Set what has to be set before this process has imported torch or touched CUDA."""
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu

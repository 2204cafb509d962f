"""Many jobs on the processes and machines one has: files in, files out, so that any of them may be lost.

A job names a function, its arguments in plain JSON values, the files it reads and the files it writes, each
whole or absent. Where its files are there it is done, whoever made them; so a job that was lost, or ran
twice, costs time and nothing else. All paths must mean the same files to every worker.
"""

from __future__ import annotations

import collections
import contextlib
import functools
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

from tqdm.auto import tqdm

from ourgan._core.errors import OurganError

log = logging.getLogger(__name__)

# Of every job on a CPU: sums come out the same however many workers share a machine.
THREADS = 1
ATTEMPTS = 3  # of a job whose process is killed


class ClusterError(OurganError):
    """Jobs that could not be run; says where and what to do."""


@dataclass(frozen=True)
class Job:
    """`function`, "package.module:name", is called with `arguments` (JSON values, as keywords).

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
"""Runs jobs in any order; yields, for each that ended, nothing or what was wrong with it."""


def run_jobs(
    jobs: Sequence[Job], cluster: str | None = None, *, workers: int | None = None, title: str = "jobs"
) -> None:
    """Run jobs that are not done yet; those after a failed one still run, and what is made is kept.

    Args:
        cluster: None for processes of this machine; else "tcp://...", "tls://..." or a .toml file for
            Dask, see `ourgan.cluster.dask`.
        workers: processes of this machine; None: one for each GPU, or for each core. 1 runs the jobs in
            this very process.

    Raises the first job's OurganError once all have ended, ClusterError if there is nothing to run them on.
    """
    waiting = [job for job in {job.key: job for job in jobs}.values() if not job.done]
    if not waiting:
        return
    wrong = []
    with tqdm(total=len(waiting), desc=title, unit="job") as bar:
        for error in _runner(cluster, workers, len(waiting))(waiting):
            bar.update()
            if error is not None:
                log.warning("%s", error)
                wrong.append(error)
    if wrong:
        more = f" ({len(wrong) - 1} more of {len(waiting)} jobs failed)" if len(wrong) > 1 else ""
        raise type(wrong[0])(f"{wrong[0]}{more}")


def execute(job: Job) -> None:
    """Do a job here, unless it is done. Raises ClusterError for a file that this worker does not see."""
    if job.done:
        return
    for path in job.inputs:
        if not Path(path).exists():
            raise ClusterError(
                f"worker {whoami()}: {path} is not there; all workers must see it under that path"
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


def whoami() -> str:
    """Host and process of this worker, for the person who has to find it."""
    return f"{socket.gethostname()} (process {os.getpid()})"


def _runner(cluster: str | None, workers: int | None, jobs: int) -> Runner:
    if cluster is not None:
        from ourgan.cluster.dask import on_dask

        return functools.partial(on_dask, cluster)
    gpus = _gpus()
    count = min(workers or len(gpus) or os.cpu_count() or 1, jobs)
    if count == 1:
        return _here
    return functools.partial(_in_processes, gpus, count)


def _here(jobs: Sequence[Job]) -> Iterator[OurganError | None]:
    for job in jobs:
        try:
            execute(job)
        except OurganError as error:
            yield error
        else:
            yield None


def _gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may say, one GPU at a time."""
    import torch

    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]


def _in_processes(gpus: list[str], workers: int, jobs: Sequence[Job]) -> Iterator[OurganError | None]:
    """In processes that are started again when they are killed."""
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


def _keep_busy(gpu: str, waiting: collections.deque[Job], ended: queue.SimpleQueue[Exception | None]) -> None:
    """One process and its jobs: alone in its pool, so that it is known which job it died of."""
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
    """Before this process has imported torch or touched CUDA."""
    os.environ["OMP_NUM_THREADS"] = str(THREADS)
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu

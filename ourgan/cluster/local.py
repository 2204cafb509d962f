"""Jobs in this process, or in processes of this machine that are started again when they are killed."""

from __future__ import annotations

import collections
import contextlib
import logging
import multiprocessing
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from ourgan._core.errors import OurganError
from ourgan.cluster.jobs import THREADS, ClusterError, Job, execute

log = logging.getLogger(__name__)

ATTEMPTS = 3  # of a job whose process is killed


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
    """Run jobs in several processes; see `Runner`.

    Args:
        gpus: as `find_gpus` gives them; process n sees number n of them, in turns.
        workers: how many processes.
        jobs: what is to be done.
    """
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

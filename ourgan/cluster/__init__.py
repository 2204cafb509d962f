"""Many jobs on the processes and machines one has: files in, files out, so that any of them may be lost.

This room knows nothing of pictures: it may import `_core` alone, and jobs name their functions by text.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence

from tqdm.auto import tqdm

from ourgan.cluster.jobs import ClusterError, Job, Runner, find_gpus, run_here, run_in_processes

__all__ = ["ClusterError", "Job", "run_jobs"]

log = logging.getLogger(__name__)


def run_jobs(
    jobs: Sequence[Job], cluster: str | None = None, *, workers: int | None = None, title: str = "jobs"
) -> None:
    """Run jobs that are not done yet; those after a failed one still run, and what is finished is kept.

    Args:
        jobs: in any order; one that occurs twice runs once.
        cluster: None for processes of this machine; else "tcp://...", "tls://..." or a .toml file, see
            `ourgan.cluster.dask`.
        workers: processes of this machine, 1 for this very one; None: one for each GPU, or for each core.
        title: what the progress bar says.

    Raises:
        OurganError: That of the first job that failed, once all have ended.
        ClusterError: There is nothing to run them on.
    """
    waiting = [job for job in {job.key: job for job in jobs}.values() if not job.done]
    if not waiting:
        return
    errors = []
    with tqdm(total=len(waiting), desc=title, unit="job") as bar:
        for error in _choose_runner(cluster, workers, len(waiting))(waiting):
            bar.update()
            if error is not None:
                log.warning("%s", error)
                errors.append(error)
    if errors:
        more = f" ({len(errors) - 1} more of {len(waiting)} jobs failed)" if len(errors) > 1 else ""
        raise type(errors[0])(f"{errors[0]}{more}")


def _choose_runner(cluster: str | None, workers: int | None, jobs: int) -> Runner:
    if cluster is not None:
        from ourgan.cluster.dask import run_on_dask

        return functools.partial(run_on_dask, cluster)
    gpus = find_gpus()
    count = min(workers or len(gpus) or os.cpu_count() or 1, jobs)
    return run_here if count == 1 else functools.partial(run_in_processes, gpus, count)

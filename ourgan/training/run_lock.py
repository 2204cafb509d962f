"""One process at a time in the directory of a training."""

from __future__ import annotations

import atexit
import os
from pathlib import Path

from filelock import SoftFileLock, Timeout

from ourgan.training.errors import TrainingError

HELD = ".held-"  # a file in the directory, followed by the directory's inode

_locks: dict[tuple[int, Path], SoftFileLock] = {}  # by process, since a forked child holds nothing


def hold(run: Path) -> None:
    """Take the directory `run` for this process, until `release` or the end of the process.

    The file that says so is made exclusively and names the process and its machine: no locking by the
    operating system is needed, which network file systems may not have. A dead process of this machine is
    succeeded, and so is any in a directory that was copied, which has another inode than its original.
    Raises TrainingError, naming the other process, and OSError where nothing can be written.
    """
    mark = run.resolve() / f"{HELD}{run.stat().st_ino}"
    if (os.getpid(), mark) in _locks and mark.exists():
        return
    for copied in run.glob(f"{HELD}*"):
        if copied.name != mark.name:
            copied.unlink(missing_ok=True)
    lock = SoftFileLock(mark, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise TrainingError(
            f"{run}: {_owner(mark)} is training there: wait for it, or choose another --out "
            f"(if it has ended, delete {run / mark.name})"
        ) from None
    _locks[os.getpid(), mark] = lock


def release(run: Path) -> None:
    """Let another process have `run`; nothing where this one does not hold it."""
    for pid, mark in list(_locks):
        if pid == os.getpid() and mark.parent == run.resolve():
            _locks.pop((pid, mark)).release()


def _owner(mark: Path) -> str:
    try:
        pid, host, *_ = mark.read_text().splitlines()
    except (OSError, ValueError):
        return "another process"
    return f"process {pid} on {host.partition('?')[0]}"  # what follows the name tells containers apart


@atexit.register
def _release_all() -> None:
    for pid, mark in list(_locks):
        if pid == os.getpid():
            _locks.pop((pid, mark)).release()

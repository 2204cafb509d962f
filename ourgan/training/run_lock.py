"""The process of a training: alone in its directory, and stopped between two iterations, not in one."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from filelock import SoftFileLock, Timeout

from ourgan.training.checkpoint import TrainingError

LOCK = ".lock-"  # a file in the directory, followed by the directory's inode
OLD_LOCK = ".held-"  # of earlier versions, a process of which may still be training there

_locks: dict[tuple[int, Path], SoftFileLock] = {}  # by process, since a forked child holds nothing


def acquire(run: Path) -> None:
    """Take the directory `run` for this process, until `release` or the end of the process.

    The file that says so is made exclusively and names the process and its machine: no locking by the
    operating system is needed, which network file systems may not have. A dead process of this machine is
    succeeded, and so is any in a directory that was copied, which has another inode than its original.

    Raises:
        TrainingError: another process is training there; it is named.
        OSError: nothing can be written there.
    """
    inode = run.stat().st_ino
    old, mark = (run.resolve() / f"{prefix}{inode}" for prefix in (OLD_LOCK, LOCK))
    if (os.getpid(), mark) in _locks and mark.exists():
        return
    for copied in [*run.glob(f"{OLD_LOCK}*"), *run.glob(f"{LOCK}*")]:
        if copied.name not in (old.name, mark.name):
            copied.unlink(missing_ok=True)
    if old.exists():
        _exclusively(run, old).release()
    _locks[os.getpid(), mark] = _exclusively(run, mark)


@atexit.register
def release(run: Path | None = None) -> None:
    """Let another process have `run`, or all directories that this one has."""
    for pid, mark in list(_locks):
        if pid == os.getpid() and (run is None or mark.parent == run.resolve()):
            _locks.pop((pid, mark)).release()


def _exclusively(run: Path, mark: Path) -> SoftFileLock:
    lock = SoftFileLock(mark, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise TrainingError(
            f"{run}: {_owner(mark)} is training there: wait for it, or choose another --out "
            f"(if it has ended, delete {run / mark.name})"
        ) from None
    return lock


def _owner(mark: Path) -> str:
    try:
        pid, host, *_ = mark.read_text().splitlines()
    except (OSError, ValueError):
        return "another process"
    return f"process {pid} on {host.partition('?')[0]}"  # what follows the name tells containers apart


class Interrupt:
    """Whether a person, or the machine, has asked to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def check(self) -> None:
        """Raise what the signal asks for: KeyboardInterrupt, or SystemExit(143) for SIGTERM."""
        if self.signal == signal.SIGTERM:
            raise SystemExit(143)
        if self.signal is not None:
            raise KeyboardInterrupt


@contextlib.contextmanager
def defer_signals() -> Iterator[Interrupt]:
    """Hold back the first SIGINT or SIGTERM until `check`; a second one acts at once.

    Outside the main thread, where Python delivers no signals, nothing is held back.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        interrupt.signal = number
        signal.signal(number, previous[signal.Signals(number)])

    for number in previous:
        signal.signal(number, remember)
    try:
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

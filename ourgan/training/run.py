"""The loop of every training: progress, log, checkpoints, interruption, resume, in a directory of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tqdm.auto import tqdm

from ourgan._core.files import clean_partial, refuse_unwritable
from ourgan.training import run_lock
from ourgan.training.checkpoint import CHECKPOINT, LOG, TrainingError, read_log, write_log
from ourgan.training.nan_report import report_not_finite

log = logging.getLogger(__name__)

Line = dict[str, Any]  # of the log


@dataclasses.dataclass(frozen=True)
class Progress:
    """One iteration done."""

    position: dict[str, int]  # of the trainer after it
    losses: dict[str, float]
    seconds: float
    total: int  # iterations since the training began
    logged: bool  # whether the log gets a line of it
    milestone: bool  # whether the training has something to measure or to draw, and saves its state, after it

    def line(self) -> Line:
        """Return the line of the log."""
        losses = {name: float(f"{value:.5g}") for name, value in self.losses.items()}
        return {**self.position, **losses, "seconds": round(self.seconds, 4)}


@runtime_checkable
class Trainer(Protocol):
    """The state of a training, and its next iteration."""

    @property
    def finished(self) -> bool:
        """Whether no iteration is left to do."""

    @property
    def position(self) -> dict[str, int]:
        """Where it stands: the iterations done, after the scale where there are scales."""

    @property
    def status(self) -> str:
        """What the progress bar says."""

    @property
    def work(self) -> tuple[int, int]:
        """Work done and all work, in a unit of the training's own."""

    def begin(self, run: Path) -> list[Line]:
        """Prepare a new training in `run`; return lines for the log."""

    def step(self) -> Progress:
        """Do the next iteration."""

    def milestone(self, run: Path) -> list[Line]:
        """Measure or draw after an iteration that asks for it; return lines for the log."""

    def save(self, path: Path, **metadata: Any) -> None:
        """Write the whole state, and plain data beside it, atomically."""

    def load(self, path: Path) -> dict[str, Any]:
        """Continue from `save`; return its metadata. Raises CheckpointError for another training's."""


@contextlib.contextmanager
def open_run(run: Path, resume: bool) -> Iterator[bool]:
    """Open the directory of a run for this process alone; yield whether a checkpoint is to be continued.

    It is made where it is missing, and rid of what a killed run left half-written.

    Raises:
        TrainingError: a training is there and `resume` is False, another process is training there, or
            nothing can be written there.
    """
    with refuse_unwritable(run, "choose another --out", TrainingError):
        run.mkdir(parents=True, exist_ok=True)
        run_lock.acquire(run)
        clean_partial(run)
    try:
        found = (run / CHECKPOINT).exists()
        if found and not resume:
            raise TrainingError(
                f"{run} holds a training already: continue it with --resume, or choose another --out"
            )
        yield found
    finally:
        run_lock.release(run)


def train_loop(
    trainer: Trainer,
    run: Path,
    *,
    resuming: bool,
    checkpoint_seconds: float,
    tensorboard: Path | None = None,
    progress: bool = True,
    title: str = "",
) -> list[Line]:
    """Train to the end in an opened directory, and return the log.

    The state is saved at every milestone, when `checkpoint_seconds` have gone by, and before a signal is
    obeyed: a training killed at any moment ends, once resumed, with the bits it would have had (on a CPU).

    `resuming` goes on from the checkpoint there; `tensorboard` is a directory for a log beside; `title`
    stands before what the bar says.

    Raises:
        TrainingError: a loss or a gradient is not finite (nan_report.json says what is known).
        CheckpointError: the checkpoint is of another training, or damaged, or cannot be written.
        KeyboardInterrupt: Ctrl-C, after the state was saved; SystemExit(143) likewise for SIGTERM.
    """
    lines, seconds = _resume(trainer, run, title) if resuming else ([], 0.0)
    writer = _tensorboard(tensorboard)
    last_save = time.monotonic()
    started, stopping = last_save - seconds, False

    def save() -> None:
        # The log first: whatever it holds beyond the checkpoint is dropped on resuming.
        write_log(run / LOG, lines)
        trainer.save(run / CHECKPOINT, seconds=round(time.monotonic() - started, 1))

    with run_lock.defer_signals() as interrupt, _bar(trainer, progress) as bar, report_not_finite(run):
        lines += [] if resuming else trainer.begin(run)
        while not (stopping or trainer.finished):
            done = trainer.step()
            if done.logged:
                lines.append(done.line())
                _write_scalars(writer, done)
            # Read once: a signal that comes after this line waits for the next iteration, and its save.
            stopping = interrupt.signal is not None
            if done.milestone:
                lines += trainer.milestone(run)
            if done.milestone or stopping or time.monotonic() - last_save > checkpoint_seconds:
                save()
                last_save = time.monotonic()
            _show(bar, trainer, done, title)
        interrupt.check()
    if writer is not None:
        writer.close()
    return lines


def training_minutes(lines: Iterable[Mapping[str, float]]) -> float:
    """Return the minutes of computing, from a log whose timed lines count for the iterations before them."""
    total, before = 0.0, (0, 0)
    for line in lines:
        if "seconds" not in line:
            continue
        here = (int(line.get("scale", 0)), int(line["iteration"]))
        total += line["seconds"] * (here[1] - (before[1] if here[0] == before[0] else 0))
        before = here
    return round(total / 60, 1)


def _resume(trainer: Trainer, run: Path, title: str) -> tuple[list[Line], float]:
    """Load the checkpoint; return the log up to it, and the seconds it took."""
    meta = trainer.load(run / CHECKPOINT)
    position = trainer.position
    where = ", ".join(f"{name} {number}" for name, number in position.items())
    log.info("%sresuming at %s", f"{title}: " if title else "", where)
    here = list(position.values())
    lines = [line for line in read_log(run / LOG) if [line[name] for name in position] <= here]
    return lines, float(meta.get("seconds", 0.0))


def _bar(trainer: Trainer, progress: bool) -> Any:
    done, total = trainer.work
    return tqdm(
        total=total,
        initial=done,
        disable=not progress,
        mininterval=1.0,
        bar_format="{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}",
    )


def _show(bar: Any, trainer: Trainer, done: Progress, title: str) -> None:
    bar.set_description_str(f"{title} {trainer.status}".strip(), refresh=False)
    losses = {name: f"{value:.3g}" for name, value in done.losses.items()}
    bar.set_postfix(losses | {"s/it": f"{done.seconds:.2g}"}, refresh=False)
    bar.update(trainer.work[0] - bar.n)


def _tensorboard(directory: Path | None) -> Any:
    if directory is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainingError(
            "a TensorBoard log needs the package tensorboard: pip install tensorboard"
        ) from None
    return SummaryWriter(str(directory))


def _write_scalars(writer: Any, done: Progress) -> None:
    if writer is None:
        return
    for name, value in done.line().items():
        if name not in done.position:
            writer.add_scalar(name, value, done.total)

"""Runs a training of super-resolution to its end: progress, log, best weights, checkpoints, resume."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from tqdm.auto import tqdm

from ourgan.training import checkpoint
from ourgan.training.checkpoint import CHECKPOINT, LOG, close_run, open_run, read_log, write_log
from ourgan.training.interrupt import deferred
from ourgan.training.nan_report import reported
from ourgan.training.super_resolution import Progress, SuperResolutionTrainer, Validation

log = logging.getLogger(__name__)

LOG_EVERY = 10  # iterations


def train_super_resolution(
    trainer: SuperResolutionTrainer,
    run: Path,
    *,
    resume: bool = False,
    checkpoint_seconds: float = 120.0,
    progress: bool = True,
    title: str = "",
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Train to the last iteration, or until validation has not improved `config.patience` times.

    Leaves in the directory `run` its log, checkpoint and best weights. A run killed at any moment goes on
    from its last checkpoint with `resume=True` and, on a CPU, ends with the same weights bit for bit.
    Returns the averaged network with the best weights by validation, in evaluation mode, and the log.

    Raises:
        TrainingError: a run is there and `resume` is False, another process trains there, or a loss or a
            gradient is not finite (nan_report.json says what is known).
        CheckpointError: the checkpoint is of another photo, network, seed or configuration, or damaged.
        KeyboardInterrupt: Ctrl-C, after the state was saved.
    """
    resuming = open_run(run, resume)
    try:
        state = _State(trainer, run)
        if resuming:
            state.load()
            log.info("%s: resuming at iteration %d", title or run, trainer.iteration)
        _to_the_end(state, checkpoint_seconds, progress, title)
        trainer.average.load_state_dict(state.best_weights())
    finally:
        close_run(run)
    return trainer.average, state.lines


def _to_the_end(state: _State, checkpoint_seconds: float, progress: bool, title: str) -> None:
    trainer = state.trainer
    last_save = time.monotonic()
    bar = tqdm(total=trainer.config.iterations, initial=trainer.iteration, desc=title, disable=not progress)
    with deferred() as interrupt, bar, reported(state.run):
        if not state.lines:
            state.validated(trainer.validate())  # of the weights it starts from
        while not state.ended:
            done = trainer.step()
            bar.update()
            bar.set_postfix({name: f"{value:.3g}" for name, value in done.losses.items()}, refresh=False)
            if done.iteration % LOG_EVERY == 0 or trainer.finished:
                state.lines.append(_line(done))
            stopping = interrupt.signal is not None
            validating = done.iteration % trainer.config.validate_every == 0 or trainer.finished
            if validating:
                state.validated(trainer.validate())
                bar.set_description_str(f"{title} ST-LPIPS {state.best.st_lpips:.3f}", refresh=False)
            if validating or stopping or time.monotonic() - last_save > checkpoint_seconds:
                state.save()
                last_save = time.monotonic()
            if stopping:
                interrupt.check()
        interrupt.check()


class _State:
    """Log and best weights beside the trainer's own state."""

    def __init__(self, trainer: SuperResolutionTrainer, run: Path) -> None:
        self.trainer, self.run = trainer, run
        self.lines: list[dict[str, Any]] = []
        self.best = Validation(-1, float("inf"), 0.0)
        self.waited = 0  # validations since the best
        self._seconds = 0.0
        self._started = time.monotonic()

    @property
    def ended(self) -> bool:
        patience = self.trainer.config.patience
        return self.trainer.finished or bool(patience and self.waited >= patience)

    @property
    def best_path(self) -> Path:
        """Named by its iteration: what a killed run wrote ahead of its checkpoint is not mistaken for it."""
        return self.run / f"best-{self.best.iteration:06d}.safetensors"

    def validated(self, found: Validation) -> None:
        self.lines.append({k: _rounded(v) for k, v in dataclasses.asdict(found).items()})
        if found.st_lpips < self.best.st_lpips:
            self.best, self.waited = found, 0
            checkpoint.save(self.best_path, self.trainer.average.state_dict(), {"iteration": found.iteration})
        else:
            self.waited += 1

    def best_weights(self) -> dict[str, Tensor]:
        return checkpoint.load(self.best_path)[0]

    def save(self) -> None:
        # The log first: whatever it holds beyond the checkpoint is dropped on resuming.
        write_log(self.run / LOG, self.lines)
        seconds = round(self._seconds + time.monotonic() - self._started, 1)
        facts = {"best": dataclasses.asdict(self.best), "waited": self.waited, "seconds": seconds}
        self.trainer.save(self.run / CHECKPOINT, **facts)
        for old in self.run.glob("best-*.safetensors"):
            if old != self.best_path:
                old.unlink()

    def load(self) -> None:
        meta = self.trainer.load(self.run / CHECKPOINT)
        self.best, self.waited = Validation(**meta["best"]), meta["waited"]
        self._seconds = meta["seconds"]
        self.best_weights()  # that they are there and whole is better known before hours of training
        lines = read_log(self.run / LOG)
        self.lines = [line for line in lines if line["iteration"] <= self.trainer.iteration]


def _line(done: Progress) -> dict[str, Any]:
    found = {name: _rounded(value) for name, value in done.losses.items()}
    return {"iteration": done.iteration, **found, "seconds": round(done.seconds, 3)}


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.5g}")

"""A training in a process of its own, which comes to grief where its parent says.

    python training_child.py JOB.json

JOB.json: "photo" (.npy), "run", "config", "seed", "checkpoint_seconds", "resume", and one of
"count_calls": true, to print the number of function calls (Python's or C's) of the training;
"kill_at_call": n, to die by SIGKILL at the n-th of them;
"kill_in": ["fsync" | "replace" | "write", n], to die there in the n-th checkpoint;
"wait_at": n, to print "ready" before the n-th iteration and go on once a line comes in.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ourgan._core.strict_toml import from_dict
from ourgan.config import GlobalStructureConfig
from ourgan.training import checkpoint
from ourgan.training.scales import ScaleTrainer, train_global_structure


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Calls:
    """Counts function calls, and dies at one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.count = 0
        self.last = last

    def __call__(self, frame: object, event: str, argument: object) -> None:
        self.count += event in ("call", "c_call")
        if self.count == self.last:
            die()


def die_in_checkpoint(place: str, number: int) -> None:
    """Die in the `number`-th checkpoint: half-written, before its fsync, or before its rename."""
    save_file, function, saved = checkpoint.save_file, getattr(os, place, None), 0

    def save(tensors: Any, path: Path, **options: Any) -> None:
        nonlocal saved
        saved += 1
        save_file(tensors, path, **options)
        if saved == number and place == "write":
            os.truncate(path, path.stat().st_size // 2)
            die()

    def wrapped(*arguments: Any) -> Any:
        if saved == number:
            die()
        return function(*arguments)

    checkpoint.save_file = save
    if function is not None and place != "write":
        setattr(os, place, wrapped)


def wait_at(number: int) -> None:
    step: Callable[..., Any] = ScaleTrainer.step
    done = 0

    def waiting(trainer: ScaleTrainer) -> Any:
        nonlocal done
        done += 1
        if done == number:
            print("ready", flush=True)
            sys.stdin.readline()
        return step(trainer)

    ScaleTrainer.step = waiting  # type: ignore[method-assign]


def train(job: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    config = from_dict(GlobalStructureConfig, job["config"], "job")
    if "kill_in" in job:
        die_in_checkpoint(*job["kill_in"])
    if "wait_at" in job:
        wait_at(job["wait_at"])
    photo = torch.from_numpy(np.load(job["photo"]))
    calls = Calls(job.get("kill_at_call"))
    if "kill_at_call" in job or "count_calls" in job:
        sys.setprofile(calls)
    train_global_structure(
        photo,
        config,
        Path(job["run"]),
        seed=job["seed"],
        resume=job.get("resume", False),
        checkpoint_seconds=job["checkpoint_seconds"],
        progress=False,
    )
    sys.setprofile(None)
    if "count_calls" in job:
        print(calls.count)


if __name__ == "__main__":
    train(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

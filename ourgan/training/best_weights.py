"""Validation of a super-resolution network, and the weights that were best by it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from torch import nn

from ourgan.training import checkpoint


@dataclasses.dataclass(frozen=True)
class Validation:
    """The averaged network on what it was not trained on."""

    iteration: int
    st_lpips: float  # lower is better; training stops by this one
    psnr: float  # in decibels

    def line(self) -> dict[str, Any]:
        """Return the line of the log."""
        numbers = {"st_lpips": self.st_lpips, "psnr": self.psnr}
        return {"iteration": self.iteration} | {name: float(f"{v:.5g}") for name, v in numbers.items()}


class BestWeights:
    """The best validation so far, and its weights as a file in the directory of the run."""

    def __init__(self) -> None:
        self.validation = Validation(-1, float("inf"), 0.0)
        self.waited = 0  # validations since the best

    def _path(self, run: Path) -> Path:
        # Named by its iteration: what a killed run wrote ahead of its checkpoint is not mistaken for it.
        return run / f"best-{self.validation.iteration:06d}.safetensors"

    def update(self, values: Validation, network: nn.Module, run: Path) -> None:
        """Keep the weights of `network` in `run` if `values` are better than the best so far."""
        if values.st_lpips < self.validation.st_lpips:
            self.validation, self.waited = values, 0
            checkpoint.save(self._path(run), network.state_dict(), {"iteration": values.iteration})
        else:
            self.waited += 1

    def remove_others(self, run: Path) -> None:
        """Remove the files of earlier bests; to be called once a checkpoint names the new one."""
        for old in run.glob("best-*.safetensors"):
            if old != self._path(run):
                old.unlink()

    def metadata(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it, as plain data."""
        return {"best": dataclasses.asdict(self.validation), "waited": self.waited}

    def restore(self, meta: dict[str, Any], run: Path) -> None:
        """Continue from `metadata`. Raises CheckpointError unless the weights are there and whole."""
        self.validation, self.waited = Validation(**meta["best"]), meta["waited"]
        if self.validation.iteration >= 0:  # better known before hours of training than after
            checkpoint.load(self._path(run))

    def load_into(self, network: nn.Module, run: Path) -> None:
        """Put the weights into `network`. Raises CheckpointError unless they are there and whole."""
        network.load_state_dict(checkpoint.load(self._path(run))[0])

"""Training of step 1 from scale to scale (Alg. F.1): position, checkpoints, samples of each scale."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ourgan._core import files
from ourgan._core.devices import dtype_name
from ourgan._core.strict_toml import ConfigError, to_dict
from ourgan.config.structure import SinGANStructureConfig, StructureConfig
from ourgan.io.pixels import contact_sheet, digest
from ourgan.models.pyramid import GlobalGenerator
from ourgan.training import checkpoint
from ourgan.training.learners import HPVAEGANLearner, SinGANLearner
from ourgan.training.nan_report import NotFinite
from ourgan.training.run import Line, Progress, open_run, train_loop
from ourgan.training.scale_learner import ScaleLearner
from ourgan.upscale.noise import scene_noise

LOG_EVERY = 20  # iterations


def train_global_structure(
    photo: Float[Tensor, "3 h w"],
    config: StructureConfig,
    run: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    device: str | torch.device = "cpu",
    checkpoint_seconds: float = 60.0,
    tensorboard: Path | None = None,
    progress: bool = True,
) -> GlobalGenerator:
    """Train step 1 on `photo`, in [0, 1], in the directory `run`: SinGAN with its configuration.

    Leaves there `log.jsonl`, a sheet of samples for every scale and `checkpoint.safetensors`. A run
    that was killed at any moment goes on from its last checkpoint with `resume=True` and, on a CPU,
    ends with the weights it would have had, bit for bit.

    Raises what `open_run` and `train_loop` raise.
    """
    with open_run(run, resume) as resuming:
        trainer = ScaleTrainer(photo, config, seed=seed, device=device)
        train_loop(
            trainer,
            run,
            resuming=resuming,
            checkpoint_seconds=checkpoint_seconds,
            tensorboard=tensorboard,
            progress=progress,
        )
    return trainer.generator.eval().requires_grad_(False)


class ScaleTrainer:
    """The state of a training of step 1, and the next iteration: a `Trainer` for `ourgan.training.run`.

    The photo is in [0, 1]. On a CPU, the same seed, thread count and torch give the same weights bit for bit,
    interrupted or not.
    """

    def __init__(
        self,
        photo: Float[Tensor, "3 h w"],
        config: StructureConfig,
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        self.config, self.seed = config, seed
        kind = SinGANLearner if isinstance(config, SinGANStructureConfig) else HPVAEGANLearner
        self.learner: ScaleLearner = kind(photo, config, seed, torch.device(device))

    @property
    def generator(self) -> GlobalGenerator:
        """The generator, grown up to the current scale."""
        return self.learner.generator

    @property
    def scale(self) -> int:
        """The current scale, from 0."""
        return self.learner.scale

    @property
    def iteration(self) -> int:
        """The iterations done at the current scale."""
        return self.learner.iteration

    @property
    def finished(self) -> bool:
        """Whether every scale has had its iterations."""
        return self.scale == self.config.network.scales - 1 and self._scale_finished

    @property
    def _scale_finished(self) -> bool:
        return self.iteration >= self.learner.scale_iterations

    def step(self) -> Progress:
        """Do the next iteration, entering the next scale first where the current one is done.

        Raises NotFinite as `ScaleLearner.step`.
        """
        started = time.perf_counter()
        try:
            if self._scale_finished:
                self.learner.enter(self.scale + 1)
            losses = self.learner.step()
        except NotFinite as error:
            error.evidence["identity"] = self.identity()
            raise
        done = sum(map(self.config.training.scale_iterations, range(self.scale)))
        return Progress(
            self.position,
            losses=losses,
            seconds=time.perf_counter() - started,
            total=done + self.iteration,
            logged=self.iteration % LOG_EVERY == 0 or self._scale_finished,
            milestone=self._scale_finished,
        )

    # -- for the loop -----------------------------------------------------------------------------

    @property
    def position(self) -> dict[str, int]:
        """The current scale and the iterations done there."""
        return {"scale": self.scale, "iteration": self.iteration}

    @property
    def status(self) -> str:
        """What the progress bar says: scale, size and iteration."""
        height, width = self.generator.sizes[self.scale]
        kind, of = "VAE" if self.learner.is_vae else "GAN", self.learner.scale_iterations
        scale = f"scale {self.scale + 1}/{self.config.network.scales}"
        return f"{scale} {kind} {width}x{height} {self.iteration}/{of}"

    @property
    def work(self) -> tuple[int, int]:
        """The work done and all work: an iteration at the last scale costs a hundred of the first."""
        costs = [self.learner.work(scale) for scale in range(self.config.network.scales)]
        of_scales = [cost * self.config.training.scale_iterations(s) for s, cost in enumerate(costs)]
        return sum(of_scales[: self.scale]) + costs[self.scale] * self.iteration, sum(of_scales)

    def begin(self, run: Path) -> list[Line]:  # noqa: ARG002
        """Return no lines for the log: nothing is measured before the first iteration."""
        return []

    def milestone(self, run: Path) -> list[Line]:
        """Draw samples of the scale that has ended into the directory `run`; no lines for the log."""
        with files.atomic_path(run / f"scale-{self.scale:02d}.png") as path:
            sample_sheet(self.generator, range(4)).save(path)
        return []

    # -- state ------------------------------------------------------------------------------------

    def save(self, path: Path, **metadata: Any) -> None:
        """Write the whole state atomically: networks, both optimisers, noise generator, position."""
        tensors = checkpoint.collect(self.learner.modules(), self.learner.optimizers())
        tensors["rng"] = self.learner.rng.get_state()
        position = {**self.position, "noise_amplitudes": self.generator.noise_amplitudes}
        meta = {"position": position, "identity": self.identity(), "streams": self.learner.streams}
        checkpoint.save(path, tensors, meta | metadata)

    def load(self, path: Path) -> dict[str, Any]:
        """Continue from `save`; return its metadata. CheckpointError for another training's, or damage."""
        tensors, meta = checkpoint.load(path)
        with contextlib.suppress(KeyError, ConfigError):
            # Without the keys that only earlier versions had.
            meta["identity"]["config"] = self.config.upgrade(meta["identity"]["config"])
        checkpoint.check_identity(path, meta, self.identity())
        with checkpoint.fitting(path):
            self.learner.streams = meta.get("streams", 1)
            self.learner.restore(tensors, meta["position"])
        return meta

    def identity(self) -> dict[str, Any]:
        """Return what must be equal for a checkpoint to be continued, as plain data."""
        return {
            "config": to_dict(self.config) | {"dtype": dtype_name(self.learner.dtype)},
            "seed": self.seed,
            "sizes": [list(size) for size in self.generator.sizes],
            "photo": digest(self.learner.photos[-1]),
        }


@torch.no_grad()
def sample_sheet(generator: GlobalGenerator, seeds: Iterable[int]) -> Image.Image:
    """Return samples of a generator, in rows of four."""
    device = next(generator.parameters()).device
    scenes = [generator.draw(scene_noise(seed, device))[0].float() for seed in seeds]
    return contact_sheet([scene.mul(0.5).add(0.5).clamp(0, 1).cpu() for scene in scenes], 4)

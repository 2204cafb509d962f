"""Runs a training of step 1 to its end: progress, log, checkpoints, interruption, resume."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from ourgan._core import files
from ourgan.config import GlobalStructureConfig, SinGANConfig
from ourgan.io.pixels import contact_sheet
from ourgan.models.hp_vae_gan import GlobalGenerator
from ourgan.training.checkpoint import CHECKPOINT, LOG, close_run, open_run, read_log, write_log
from ourgan.training.errors import TrainingError
from ourgan.training.hp_vae_gan import GlobalStructureTrainer, Progress
from ourgan.training.interrupt import deferred
from ourgan.training.nan_report import reported
from ourgan.training.singan import SinGANTrainer
from ourgan.upscale.noise import scene_noise

log = logging.getLogger(__name__)

LOG_EVERY = 20  # iterations


def train_global_structure(
    photo: Tensor,
    config: GlobalStructureConfig,
    run: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    device: str | torch.device = "cpu",
    checkpoint_seconds: float = 60.0,
    tensorboard: Path | None = None,
    progress: bool = True,
) -> GlobalGenerator:
    """Train step 1 on `photo`, (3, H, W) in [0, 1], in the directory `run`: SinGAN with its configuration.

    Leaves there `log.jsonl`, a sheet of samples for every scale and `checkpoint.safetensors`. A run
    that was killed at any moment goes on from its last checkpoint with `resume=True` and, on a CPU,
    ends with the weights it would have had, bit for bit.

    Raises:
        TrainingError: a run is there and `resume` is False, another process trains there, or a loss or a
            gradient is not finite (nan_report.json says what is known).
        CheckpointError: the checkpoint is of another photo, seed or configuration, or damaged.
        KeyboardInterrupt: Ctrl-C, after the state was saved.
    """
    resuming = open_run(run, resume)
    try:
        trainer: GlobalStructureTrainer
        if isinstance(config, SinGANConfig):
            trainer = SinGANTrainer(photo, config, seed=seed, device=device)
        else:
            trainer = GlobalStructureTrainer(photo, config, seed=seed, device=device)
        seconds = 0.0
        if resuming:
            seconds = trainer.load(run / CHECKPOINT).get("seconds", 0.0)
            log.info("resuming at scale %d, iteration %d", trainer.scale, trainer.iteration)
        _to_the_end(trainer, run, resuming, seconds, checkpoint_seconds, tensorboard, progress)
    finally:
        close_run(run)
    return trainer.generator.eval().requires_grad_(False)


def _to_the_end(
    trainer: GlobalStructureTrainer,
    run: Path,
    resuming: bool,
    seconds: float,
    checkpoint_seconds: float,
    tensorboard: Path | None,
    progress: bool,
) -> None:
    history = _history(run / LOG, trainer) if resuming else []
    writer = _tensorboard(tensorboard)
    started = time.monotonic() - seconds
    last_save = time.monotonic()

    def save() -> None:
        # The log first: whatever it holds beyond the checkpoint is dropped on resuming.
        write_log(run / LOG, history)
        trainer.save(run / CHECKPOINT, seconds=round(time.monotonic() - started, 1))

    with deferred() as interrupt, _bar(trainer, progress) as bar, reported(run):
        while not trainer.finished:
            done = trainer.step()
            bar.update(trainer.work(done.scale))
            _show(bar, trainer, done)
            of = trainer.config.stage_iterations(done.scale)
            if done.iteration % LOG_EVERY == 0 or done.iteration == of:
                history.append(_line(done))
                _write_scalars(writer, trainer, history[-1])
            # Read once: a signal that comes after this line waits for the next iteration, and its save.
            stopping = interrupt.signal is not None
            if done.iteration == of or stopping or time.monotonic() - last_save > checkpoint_seconds:
                save()
                last_save = time.monotonic()
            if done.iteration == of:
                with files.atomic_path(run / f"scale-{done.scale:02d}.png") as path:
                    sample_sheet(trainer.generator, range(4)).save(path)
            if stopping:
                interrupt.check()
        interrupt.check()
    if writer is not None:
        writer.close()


@torch.no_grad()
def sample_sheet(generator: GlobalGenerator, seeds: Iterable[int], columns: int = 4) -> Image.Image:
    """Samples side by side."""
    device = next(generator.parameters()).device
    scenes = [generator.draw(scene_noise(seed, device))[0].float() for seed in seeds]
    return contact_sheet([scene.mul(0.5).add(0.5).clamp(0, 1).cpu() for scene in scenes], columns)


def training_minutes(lines: Iterable[Mapping[str, float]]) -> float:
    """Minutes of computing, from a log whose timed lines stand for the iterations since the one before."""
    total, before = 0.0, (0, 0)
    for line in lines:
        if "seconds" not in line:
            continue
        here = (int(line.get("scale", 0)), int(line["iteration"]))
        total += line["seconds"] * (here[1] - (before[1] if here[0] == before[0] else 0))
        before = here
    return round(total / 60, 1)


def _bar(trainer: GlobalStructureTrainer, progress: bool) -> Any:
    config = trainer.config
    total = sum(trainer.work(s) * config.stage_iterations(s) for s in range(config.scales))
    before = sum(trainer.work(s) * config.stage_iterations(s) for s in range(trainer.scale))
    return tqdm(
        total=total,
        initial=before + trainer.work(trainer.scale) * trainer.iteration,
        disable=not progress,
        mininterval=1.0,
        # In units of work, since an iteration at the last scale costs a hundred of the first.
        bar_format="{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}",
    )


def _show(bar: Any, trainer: GlobalStructureTrainer, done: Progress) -> None:
    height, width = trainer.generator.sizes[done.scale]
    kind = "VAE" if trainer.is_vae else "GAN"
    of = trainer.config.stage_iterations(done.scale)
    bar.set_description_str(
        f"scale {done.scale + 1}/{trainer.config.scales} {kind} {width}x{height} {done.iteration}/{of}",
        refresh=False,
    )
    losses = {name: f"{value:.3g}" for name, value in done.losses.items()}
    bar.set_postfix(losses | {"s/it": f"{done.seconds:.2g}"}, refresh=False)


def _line(done: Progress) -> dict[str, Any]:
    losses = {name: float(f"{value:.5g}") for name, value in done.losses.items()}
    return {"scale": done.scale, "iteration": done.iteration, **losses, "seconds": round(done.seconds, 4)}


def _history(path: Path, trainer: GlobalStructureTrainer) -> list[dict[str, Any]]:
    """The log up to the trainer's position."""
    here = (trainer.scale, trainer.iteration)
    return [line for line in read_log(path) if (line["scale"], line["iteration"]) <= here]


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


def _write_scalars(writer: Any, trainer: GlobalStructureTrainer, line: dict[str, Any]) -> None:
    if writer is None:
        return
    step = line["iteration"] + sum(trainer.config.stage_iterations(s) for s in range(line["scale"]))
    for name, value in line.items():
        if name not in ("scale", "iteration"):
            writer.add_scalar(name, value, step)

"""What one call of `ourgan train` is to do, and what of it is refused before an hour of computing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ourgan._core import files
from ourgan._core.devices import best_device
from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import to_dict
from ourgan.config import Profile, SuperResolutionConfig, SuperResolutionTraining
from ourgan.config.structure import AnyStructure, StructureConfig
from ourgan.io.model_dir import read_model
from ourgan.io.read import read_image
from ourgan.pipeline import OurGAN
from ourgan.training.finetune import width_of_step
from ourgan.training.patches import train_width
from ourgan.upscale.networks import starting_network

RUN = "training"  # subdirectory of a model that holds checkpoints and logs
STEPS = (1, 2, 3, 4)
DEFAULT_STEPS = (1, 2, 3)  # of a generator that learns; else step 1, which takes seconds


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo as it was read: the file may be another one, or gone, when the training ends."""

    path: Path
    sha256: str  # of the file
    image: Float[Tensor, "3 h w"]  # in [0, 1]

    @classmethod
    def read(cls, path: Path) -> Photo:
        """Read a photo and the checksum of its file. Raises ImageError for one that cannot be used."""
        image = read_image(path)
        return cls(path, files.sha256(path), image)


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """Which steps of which model learn from which photo, and how."""

    photo: Photo
    out: Path
    profile: str  # its name
    steps: tuple[int, ...]
    structure: AnyStructure
    super_resolution: SuperResolutionConfig
    training: SuperResolutionTraining  # of steps 2 to 4
    seed: int
    resume: bool
    credit: str
    tensorboard: Path | None
    device: torch.device

    def run_of_step(self, step: int) -> Path:
        """Return the directory in which a step from 2 on is trained."""
        return self.out / RUN / f"sr{step}"

    def settings_of_steps(self) -> str:
        """Return the SHA-256 of how steps 2 to 4 learn, from whatever weights."""
        table = {"training": to_dict(self.training), "noise_std": self.super_resolution.noise_std}
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Asked:
    """The options that were given; None for one that was left out, which nothing contradicts."""

    profile: str | None = None
    generator: str | None = None
    backbone: str | None = None
    weights: str | None = None
    seed: int | None = None
    credit: str | None = None
    tensorboard: Path | None = None


def plan_job(
    photo: Path, out: Path, profile: Profile, steps: Sequence[int] | None, resume: bool, asked: Asked
) -> TrainingJob:
    """Return what a call of `ourgan.train`, whose arguments these are, is to do.

    Raises:
        OurganError: for a photo, steps or an option that cannot be used.
    """
    structure = profile.structure(asked.generator or _generator_of(out) or "ourgan")
    if steps is None:
        steps = DEFAULT_STEPS if isinstance(structure, StructureConfig) else (1,)
    if not steps or not set(steps) <= set(STEPS):
        raise OurganError(f"steps {steps}: a model has the steps 1 to 4")
    settings = choose_settings(profile, asked.backbone, asked.weights)
    return TrainingJob(
        photo=Photo.read(photo),
        out=out,
        profile=profile.name,
        steps=tuple(sorted(set(steps))),
        structure=structure,
        super_resolution=settings,
        training=profile.training(settings.backbone),
        seed=asked.seed or 0,
        resume=resume,
        credit=asked.credit or "",
        tensorboard=asked.tensorboard,
        device=best_device(),
    )


def _generator_of(out: Path) -> str | None:
    """Return the generator of the model that lies in a directory; None where there is none."""
    return read_model(out)[0].config.generator if (out / "config.json").exists() else None


def choose_settings(profile: Profile, backbone: str | None, weights: str | None) -> SuperResolutionConfig:
    """Return the profile's steps 2 to 4 with another backbone or other weights to start from."""
    settings = profile.super_resolution
    if backbone and backbone != settings.backbone:
        settings = dataclasses.replace(settings, backbone=backbone, weights="auto")
    return dataclasses.replace(settings, weights=weights) if weights else settings


def check_out(job: TrainingJob) -> bool:
    """Return whether the directory holds a model; refuse a taken one, or one without the first step."""
    done = (job.out / "config.json").exists()
    if 1 in job.steps and done and not job.resume:
        raise OurganError(
            f"{job.out} holds a model already: choose another --out, add steps with --steps 2,3, or go on "
            "with what was interrupted with --resume"
        )
    if 1 not in job.steps and not done:
        raise OurganError(f"{job.out} holds no model to add steps to: train step 1 first, with --steps 1,2,3")
    return done


def check_writable(out: Path) -> None:
    """Refuse a directory that cannot be made or written."""
    with files.refuse_unwritable(out, "choose another --out"):
        out.mkdir(parents=True, exist_ok=True)
        files.write_bytes(out / ".writable", b"")
        (out / ".writable").unlink()


def check_model(model: OurGAN, job: TrainingJob, generator: str | None) -> None:
    """Refuse another generator than the model's, if one is named, another photo, or steps of another kind."""
    own = model.generator.config.generator
    if generator and own != generator:
        raise OurganError(
            f"{job.out} is a model of {own}, not of {generator}: leave --generator out, or choose another "
            "--out"
        )
    if job.photo.sha256 != model.metadata.photo_sha256:
        raise OurganError(
            f"{job.photo.path}: not the photo of {job.out}, which learned from {model.metadata.photo} (its "
            f"sha256 is {job.photo.sha256[:12]}..., the model's {model.metadata.photo_sha256[:12]}...)"
        )
    mine, theirs = job.super_resolution, model.upscaler.settings
    if model.steps and (mine.backbone, mine.noise_std) != (theirs.backbone, theirs.noise_std):
        raise OurganError(
            f"{job.out} has steps with backbone {theirs.backbone} and noise {theirs.noise_std:g}, which all "
            "its steps share: use these, or another --out"
        )


def check_photo(photo: Photo, sizes: tuple[tuple[int, int], ...]) -> None:
    """Refuse a photo too small for the pyramid of `sizes`, or too flat or tall for its first scale."""
    height, width = photo.image.shape[1:]
    first, last = sizes[0], sizes[-1]
    if height < last[0] or width < last[1]:
        raise OurganError(
            f"{photo.path}: {width}x{height} pixels, step 1 learns from {last[1]}x{last[0]}: use a larger "
            "photo, or a profile with a smaller width"
        )
    if min(first) < 8 or max(first) > 8 * min(first):
        # The first scale is as wide for every photo: 8 rows of it at least, and 8 times its width at most.
        flattest = min(8.0, int(10 * first[1] / 8) / 10)
        most = f"{flattest:g}:1" if width > height else "1:8"
        raise OurganError(
            f"{photo.path}: {width}x{height} is too elongated (its first scale would be {first[1]}x"
            f"{first[0]}): crop it to at most {most}"
        )


def check_steps(job: TrainingJob) -> None:
    """Refuse at once what steps 2 to 4 would refuse after an hour of step 1."""
    image = job.photo.image
    width = width_of_step(2, image)  # the smallest at which the photo is learned
    height = round(image.shape[1] * width / image.shape[2])
    try:
        train_width(height, width, job.training.patch, job.training.validation_share)
    except OurganError as error:
        raise OurganError(f"{job.photo.path}: {error}") from None
    starting_network(job.super_resolution)

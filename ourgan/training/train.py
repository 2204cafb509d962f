"""From a photo to a model directory: `ourgan train` (Alg. F.1 to F.5)."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from ourgan import weights as released
from ourgan._core import files, provenance
from ourgan._core.errors import OurganError
from ourgan.config import Profile, SuperResolutionConfig, load_profile
from ourgan.config.structure import StructureConfig
from ourgan.io.model_dir import ModelMetadata, StepMetadata, fine_tuned_file, fine_tuned_files
from ourgan.io.model_photo import ModelPhoto, keep_photo
from ourgan.io.pixels import to_uint8
from ourgan.models.generator import Generator
from ourgan.models.generators import new_generator
from ourgan.models.training_free import TrainingFree
from ourgan.pipeline import OurGAN
from ourgan.training.asked import check_asked
from ourgan.training.checkpoint import LOG, read_log
from ourgan.training.finetune import finetune, photo_of_step, save_network, width_of_step
from ourgan.training.job import (
    RUN,
    Asked,
    TrainingJob,
    check_model,
    check_out,
    check_photo,
    check_steps,
    check_writable,
    plan_job,
)
from ourgan.training.model_card import CARD, write_model_card
from ourgan.training.run import training_minutes
from ourgan.training.scales import train_global_structure
from ourgan.upscale.upscaler import Upscaler

log = logging.getLogger(__name__)

Path_ = str | os.PathLike[str]


def train(
    photo: Path_,
    out: Path_,
    profile: Profile | str = "auto",
    *,
    steps: Sequence[int] | None = None,
    generator: str | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    seed: int | None = None,
    resume: bool = False,
    credit: str | None = None,
    tensorboard: Path | None = None,
) -> OurGAN:
    """Train steps of the model directory `out` on a photo, in their order; each is usable once it is done.

    Args:
        photo: an image file.
        out: the directory of the model; it is made where it is missing.
        profile: how much to train: a name of `ourgan.config.PROFILES`, the path of a .toml file, or "auto".
        steps: 1 learns the scene, 2 to 4 fine-tune super-resolution. Those left out use what is there, or
            the released weights. Default: 1, 2 and 3; with a generator that learns nothing, 1.
        generator: of step 1, one of `ourgan.config.GENERATORS`; default: the model's, else "ourgan".
        backbone: "esrgan" or "swinir" for steps 2 to 4; default: the model's, else the profile's.
        weights: where steps 2 to 4 start: a name of registry.toml or a file; default: the profile's.
        seed: of everything that is random; default: 0.
        resume: go on from the last checkpoint; finished steps are not done again.
        credit: the photo's author and licence, for the card; a finished model takes another one, too.
        tensorboard: a directory for a log of step 1.

    Returns:
        The model, with its steps.

    Raises:
        OurganError: in one line, for an unusable photo, a directory that is taken or cannot be written, a
            step without the first, another training's checkpoint, an option that cannot be obeyed.
    """
    name = profile if isinstance(profile, str) else profile.name
    loaded = load_profile(profile) if isinstance(profile, str) else profile
    asked = Asked(None if name == "auto" else name, generator, backbone, weights, seed, credit, tensorboard)
    return _train_job(plan_job(Path(photo), Path(out), loaded, steps, resume, asked), asked)


def _train_job(job: TrainingJob, asked: Asked) -> OurGAN:
    """Check what can be checked at once, then train step by step."""
    model = OurGAN.from_pretrained(job.out, device=job.device) if check_out(job) else None
    if model is not None:
        check_model(model, job, asked.generator)
    else:
        height, width = job.photo.image.shape[1:]
        check_photo(job.photo, job.structure.network.sizes(height / width))
    check_asked(asked, job, model)
    if job.steps[-1] > 1:
        check_steps(job)
    # A card is written for a new model, for another credit, and where a kill left none.
    card = model is None or asked.credit is not None or (1 in job.steps and not (job.out / CARD).exists())
    model = model or _train_structure(job)
    if asked.credit is not None:
        model = dataclasses.replace(model, metadata=dataclasses.replace(model.metadata, credit=asked.credit))
    keep_photo(ModelPhoto(job.photo.path, job.photo.sha256), job.out)
    if card:
        write_model_card(model, job.photo.image, job.out, job.out / RUN / LOG)
    for step in job.steps[1:] if job.steps[0] == 1 else job.steps:
        model = _train_step(model, job, step)
        write_model_card(model, job.photo.image, job.out, job.out / RUN / LOG)
        # Half a gigabyte that nobody needs once the model names the step.
        shutil.rmtree(job.run_of_step(step), ignore_errors=True)
    return model


def _new_generator(job: TrainingJob, run: Path) -> Generator:
    """Return step 1 of the photo: trained, or holding it."""
    image = job.photo.image
    if isinstance(job.structure, StructureConfig):
        return train_global_structure(
            image,
            job.structure,
            run,
            seed=job.seed,
            resume=job.resume,
            device=job.device,
            tensorboard=job.tensorboard,
        )
    generator = new_generator(job.structure.network, image.shape[1] / image.shape[2])
    assert isinstance(generator, TrainingFree)
    generator.hold(to_uint8(image))
    return generator


def _train_structure(job: TrainingJob) -> OurGAN:
    """Train step 1; return a model that has no other step yet."""
    check_writable(job.out)
    run = job.out / RUN
    generator = _new_generator(job, run)
    metadata = ModelMetadata(
        photo=job.photo.path.name,
        photo_sha256=job.photo.sha256,
        credit=job.credit,
        profile=job.profile,
        seed=job.seed,
        minutes=training_minutes(read_log(run / LOG)) if job.structure.training else 0.0,
        trained_on=f"{provenance.device_name(job.device)}, {torch.get_num_threads()} threads",
        commit=provenance.record()["commit"] or "",
        training=job.structure.training,
    )
    upscaler = Upscaler(_portable(job.super_resolution), device=job.device)
    return OurGAN(generator, upscaler, metadata, directory=job.out)


def _train_step(model: OurGAN, job: TrainingJob, step: int) -> OurGAN:
    """Fine-tune one step; return the model with it, once its weights are in the directory."""
    if step in model.steps:
        if not job.resume:
            raise OurganError(f"{job.out} has a step {step} already: choose another --out, or other --steps")
        log.info("step %d: done already", step)
        return model
    image, twin = job.photo.image, step - 1
    if twin in model.steps and width_of_step(step, image) == width_of_step(twin, image):
        log.info("step %d learns from the same pixels as step %d: the same weights serve", step, twin)
        files.write_bytes(job.out / fine_tuned_file(step), (job.out / fine_tuned_file(twin)).read_bytes())
        return _with_step(model, job, step, dataclasses.replace(model.steps[twin], minutes=0.0))
    if (width := width_of_step(step, image)) < 256 * 4 ** (step - 1):
        log.info(
            "step %d: the photo is %d px wide, less than %d: learning from %d to %d px",
            *(step, image.shape[2], 256 * 4 ** (step - 1), width // 4, width),
        )
    run = job.run_of_step(step)
    network, metadata = finetune(
        photo_of_step(image, step),
        job.super_resolution,
        job.training,
        run,
        seed=job.seed,
        resume=job.resume,
        device=job.device,
        title=f"step {step}",
    )
    # The weights first: a config.json that names a step promises its file.
    save_network(network, job.out / fine_tuned_file(step))
    files.write_bytes(job.out / f"sr{step}-{LOG}", (run / LOG).read_bytes())
    metadata = dataclasses.replace(
        metadata, profile=job.profile, seed=job.seed, settings=job.settings_of_steps()
    )
    return _with_step(model, job, step, metadata)


def _with_step(model: OurGAN, job: TrainingJob, step: int, metadata: StepMetadata) -> OurGAN:
    steps = {**model.steps, step: metadata}
    upscaler = Upscaler(_portable(job.super_resolution), fine_tuned_files(job.out, steps), job.device)
    return dataclasses.replace(model, upscaler=upscaler, steps=steps)


def _portable(settings: SuperResolutionConfig) -> SuperResolutionConfig:
    """Return the settings without a file of weights, which a model directory does not carry along."""
    known = settings.released in released.read_registry()
    return settings if known else dataclasses.replace(settings, weights="auto")

"""`ourgan train`: from a photo to a model directory."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ourgan import weights as released
from ourgan._core import files, provenance
from ourgan._core.devices import best_device
from ourgan._core.errors import OurganError
from ourgan.config import Profile, SuperResolutionConfig
from ourgan.io.model_dir import ModelMetadata, fine_tuned_file
from ourgan.io.read import read_image
from ourgan.pipeline import OurGAN
from ourgan.training.checkpoint import LOG
from ourgan.training.finetune import finetune, photo_of_step, save_network, width_of_step
from ourgan.training.model_card import publish
from ourgan.training.patches import learned_width
from ourgan.training.run import train_global_structure, training_minutes
from ourgan.upscale.upscaler import starting_network

log = logging.getLogger(__name__)

RUN = "training"  # subdirectory of a model that holds checkpoints and logs
STEPS = (1, 2, 3, 4)


def train_model(
    photo_path: Path,
    out: Path,
    profile: Profile,
    *,
    steps: Sequence[int] = (1,),
    generator: str | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    seed: int = 0,
    resume: bool = False,
    credit: str = "",
    tensorboard: Path | None = None,
) -> OurGAN:
    """Train steps of the model directory `out` on a photo, in their order; each is usable once it is done.

    Args:
        steps: 1 learns the scene, 2 to 4 fine-tune super-resolution. Those left out use what is there, or
            the released weights.
        generator: of step 1, one of `ourgan.config.GENERATORS`; default: the model's, else "ourgan".
        backbone: "esrgan" or "swinir" for steps 2 to 4; default: the model's, else the profile's.
        weights: where steps 2 to 4 start: a name of registry.toml or a file; default: the profile's.
        resume: go on from the last checkpoint; finished steps are not done again.
        credit: the photo's author and licence, for the card.
        tensorboard: a directory for a log of step 1.

    Raises OurganError with one line: an unusable photo, a directory that is taken or cannot be written, a
    step without the first, another training's checkpoint.
    """
    steps = sorted(set(steps))
    if not steps or not set(steps) <= set(STEPS):
        raise OurganError(f"steps {steps}: a model has the steps 1 to 4")
    photo = read_image(photo_path)
    done = (out / "config.json").exists()
    device = best_device()
    if 1 in steps and done and not resume:
        raise OurganError(
            f"{out} holds a finished model already: choose another --out, add steps with --steps 2,3, "
            "or continue with --resume"
        )
    if 1 not in steps and not done:
        raise OurganError(f"{out} holds no model to add steps to: train step 1 first, with --steps 1,2,3")
    profile = dataclasses.replace(profile, global_structure=profile.structure(generator or "ourgan"))
    settings = _settings(profile.super_resolution, backbone, weights)
    model = OurGAN.from_pretrained(out, device=device) if done else None
    if model is not None:
        if generator:
            _check_generator(model, profile.global_structure.generator, out)
        _check_model(model, settings, photo_path, out)
    else:
        check_photo(photo, photo_path, profile.global_structure.sizes(photo.shape[1] / photo.shape[2]))
    if steps[-1] > 1:
        _check_steps(photo, photo_path, settings, profile)
    if model is None:
        model = _train_structure(
            photo, photo_path, out, profile, settings, seed, resume, credit, device, tensorboard
        )
        publish(model, photo, out, out / RUN / LOG)
    for step in steps[1:] if steps[0] == 1 else steps:
        _train_step(model, photo, out, step, settings, profile, seed, resume, device)
        publish(model, photo, out, out / RUN / LOG)
        # Half a gigabyte that nobody needs once the model names the step.
        shutil.rmtree(_run(out, step), ignore_errors=True)
    return model


def _run(out: Path, step: int) -> Path:
    return out / RUN / f"sr{step}"


def _settings(
    settings: SuperResolutionConfig, backbone: str | None, weights: str | None
) -> SuperResolutionConfig:
    if backbone and backbone != settings.backbone:
        settings = dataclasses.replace(settings, backbone=backbone, weights="auto")
    return dataclasses.replace(settings, weights=weights) if weights else settings


def _check_generator(model: OurGAN, generator: str, out: Path) -> None:
    if (own := model.generator.config.generator) != generator:
        raise OurganError(
            f"{out} is a model of {own}, not of {generator}: leave --generator out, or choose another --out"
        )


def _check_model(model: OurGAN, settings: SuperResolutionConfig, photo: Path, out: Path) -> None:
    """Refuse to add steps from another photo, or of another kind than those that are there."""
    if (found := files.sha256(photo)) != model.metadata.photo_sha256:
        raise OurganError(
            f"{photo}: not the photo of {out}, which learned from {model.metadata.photo} (its sha256 is "
            f"{found[:12]}..., the model's {model.metadata.photo_sha256[:12]}...)"
        )
    theirs = model.super_resolution
    if model.steps and (settings.backbone, settings.noise_std) != (theirs.backbone, theirs.noise_std):
        raise OurganError(
            f"{out} has steps with backbone {theirs.backbone} and noise {theirs.noise_std:g}, which all its "
            "steps share: use these, or another --out"
        )


def _check_steps(photo: Tensor, path: Path, settings: SuperResolutionConfig, profile: Profile) -> None:
    """Refuse at once what steps 2 to 4 would refuse after an hour of step 1."""
    config = profile.training(settings.backbone)
    width = width_of_step(2, photo)  # the smallest at which the photo is learned
    height = round(photo.shape[1] * width / photo.shape[2])
    try:
        learned_width(height, width, config.patch, config.validation_share)
    except OurganError as error:
        raise OurganError(f"{path}: {error}") from None
    starting_network(settings)


def _portable(settings: SuperResolutionConfig) -> SuperResolutionConfig:
    """Without a file of weights, which a model directory does not carry along."""
    known = settings.released in released.read_registry()
    return settings if known else dataclasses.replace(settings, weights="auto")


def _train_structure(
    photo: Tensor,
    photo_path: Path,
    out: Path,
    profile: Profile,
    settings: SuperResolutionConfig,
    seed: int,
    resume: bool,
    credit: str,
    device: torch.device,
    tensorboard: Path | None,
) -> OurGAN:
    config = profile.global_structure
    try:
        out.mkdir(parents=True, exist_ok=True)
        files.write_bytes(out / ".writable", b"")
        (out / ".writable").unlink()
    except OSError as error:
        raise OurganError(f"{out}: cannot be written ({error.strerror}); choose another --out") from None
    generator = train_global_structure(
        photo, config, out / RUN, seed=seed, resume=resume, device=device, tensorboard=tensorboard
    )
    lines = [json.loads(line) for line in (out / RUN / LOG).read_text().splitlines()]
    facts = ModelMetadata(
        photo=photo_path.name,
        photo_sha256=files.sha256(photo_path),
        credit=credit,
        profile=profile.name,
        seed=seed,
        minutes=training_minutes(lines),
        trained_on=f"{provenance.device_name(device)}, {torch.get_num_threads()} threads",
        commit=provenance.record()["commit"] or "",
    )
    return OurGAN(generator, _portable(settings), facts, device, directory=out)


def _train_step(
    model: OurGAN,
    photo: Tensor,
    out: Path,
    step: int,
    settings: SuperResolutionConfig,
    profile: Profile,
    seed: int,
    resume: bool,
    device: torch.device,
) -> None:
    """Fine-tune one step and add it to the model and its directory."""
    if step in model.steps:
        if not resume:
            raise OurganError(f"{out} has a step {step} already: choose another --out, or other --steps")
        log.info("step %d: done already", step)
        return
    model.super_resolution = _portable(settings)
    twin = step - 1
    if twin in model.steps and width_of_step(step, photo) == width_of_step(twin, photo):
        log.info("step %d learns from the same pixels as step %d: the same weights serve", step, twin)
        files.write_bytes(out / fine_tuned_file(step), (out / fine_tuned_file(twin)).read_bytes())
        model.steps[step] = dataclasses.replace(model.steps[twin], minutes=0.0)
        return
    config = profile.training(settings.backbone)
    run = _run(out, step)
    if (width := width_of_step(step, photo)) < 256 * 4 ** (step - 1):
        log.info(
            "step %d: the photo is %d px wide, less than %d: learning from %d to %d px",
            *(step, photo.shape[2], 256 * 4 ** (step - 1), width // 4, width),
        )
    network, facts = finetune(
        photo_of_step(photo, step),
        settings,
        config,
        run,
        seed=seed,
        resume=resume,
        device=device,
        title=f"step {step}",
    )
    # The weights first: a config.json that names a step promises its file.
    save_network(network, out / fine_tuned_file(step))
    files.write_bytes(out / f"sr{step}-{LOG}", (run / LOG).read_bytes())
    model.steps[step] = facts


def check_photo(photo: Tensor, path: Path, sizes: tuple[tuple[int, int], ...]) -> None:
    """Refuse a photo too small for the pyramid, or too flat or tall for its first scale."""
    height, width = photo.shape[1:]
    first, last = sizes[0], sizes[-1]
    if height < last[0] or width < last[1]:
        raise OurganError(
            f"{path}: {width}x{height} pixels, step 1 learns from {last[1]}x{last[0]}: use a larger photo, "
            "or a profile with a smaller width"
        )
    if min(first) < 8 or max(first) > 8 * min(first):
        raise OurganError(
            f"{path}: {width}x{height} is too elongated (its first scale would be {first[1]}x{first[0]}): "
            "crop it to at most 4:1"
        )

"""Super-resolution fine-tuned on one photo (Alg. F.3, F.5), or pre-trained on many images (F.2, F.4)."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from ourgan import hub
from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan.config import SuperResolutionConfig, SuperResolutionTraining
from ourgan.io.model_dir import StepMetadata
from ourgan.io.pixels import digest, resize_to_width
from ourgan.training.patches import FolderPatches, PhotoPatches
from ourgan.training.run import Line, open_run, train_loop, training_minutes
from ourgan.training.seeds import seeded, stream
from ourgan.training.super_resolution import SuperResolutionTrainer
from ourgan.upscale.networks import NETWORKS, starting_network

DEGRADATIONS = {"esrgan": "bicubic", "swinir": "bsrgan"}  # Sec. 4.1 of the paper, Appendix F


def width_of_step(step: int, photo: Tensor) -> int:
    """Return the width in pixels at which step 2, 3 or 4 learns: its output's, or the photo's if less."""
    return min(256 * 4 ** (step - 1), photo.shape[2])


def photo_of_step(photo: Tensor, step: int) -> Tensor:
    """Return the photo (3, H, W) as a step learns to make it: 1,024 pixels wide for step 2, 4,096 for step 3.

    A smaller one is used as it is: the step then learns from scales that the photo has (the paper's
    internal recurrence).
    """
    width = width_of_step(step, photo)
    if width == photo.shape[2]:
        return photo
    return resize_to_width(photo, width)


def train_super_resolution(
    trainer: SuperResolutionTrainer,
    run: Path,
    *,
    resume: bool = False,
    checkpoint_seconds: float = 120.0,
    progress: bool = True,
    title: str = "",
) -> tuple[nn.Module, list[Line]]:
    """Train to the last iteration, or until validation has not improved `config.patience` times.

    Leaves in the directory `run` its log, checkpoint and best weights. A run killed at any moment goes on
    from its last checkpoint with `resume=True` and, on a CPU, ends with the same weights bit for bit.
    Returns the averaged network with the best weights by validation, in evaluation mode, and the log.

    Raises what `open_run` and `train_loop` raise.
    """
    with open_run(run, resume) as resuming:
        lines = train_loop(
            trainer,
            run,
            resuming=resuming,
            checkpoint_seconds=checkpoint_seconds,
            progress=progress,
            title=title,
        )
        return trainer.best_network(run), lines


def finetune(
    photo: Float[Tensor, "3 h w"],
    settings: SuperResolutionConfig,
    config: SuperResolutionTraining,
    run: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    device: str | torch.device = "cpu",
    progress: bool = True,
    title: str = "fine-tuning",
) -> tuple[nn.Module, StepMetadata]:
    """Fine-tune a network on one photo (Alg. F.3 for ESRGAN, F.5 for SwinIR).

    The photo, in [0, 1], has the size that the step makes: see `photo_of_step`. The settings say the
    backbone, the weights to start from, and the noise on LR patches. Log, checkpoint and best weights lie in
    `run`.

    Returns:
        The network of the best validation, float32, in evaluation mode, and how it came about.

    Raises:
        OurganError: a photo too small, weights that do not fit, another training's checkpoint, a loss that
            is not finite.
    """
    patches = PhotoPatches(
        photo,
        patch=config.patch,
        validation_share=config.validation_share,
        degradation=DEGRADATIONS[settings.backbone],
        noise_std=settings.noise_std,
        dihedral=config.dihedral,
        seed=seed,
    )
    network, source = starting_network(settings)
    trainer = SuperResolutionTrainer(
        network,
        settings.backbone,
        patches,
        config,
        seed=seed,
        identity={"photo": digest(photo), "start": source.sha256, "noise_std": settings.noise_std},
        device=device,
    )
    best, lines = train_super_resolution(trainer, run, resume=resume, progress=progress, title=title)
    # Of a file of one's own the name alone: its path is nobody else's business.
    own = source.source.startswith("file: ")
    start = f"{Path(settings.released).name} (a local file)" if own else f"{source.name} ({source.source})"
    origin = {"width": photo.shape[2], "start": start, "start_sha256": source.sha256}
    return best, _metadata(trainer, lines, noise_std=settings.noise_std, **origin)


def pretrain(
    images: Path,
    backbone: str,
    config: SuperResolutionTraining,
    out: Path,
    *,
    noise_std: float = 0.0,
    seed: int = 0,
    resume: bool = False,
    device: str | torch.device = "cpu",
    progress: bool = True,
    network: nn.Module | None = None,
) -> list[dict[str, Any]]:
    """Pre-train a new network on many images, by L1 first, then adversarially (Alg. F.2, F.4).

    The folder of images is searched through all its levels; all eight flips and turns are used.
    `l1_iterations` of the `iterations` are L1 alone; where that is 0, the first half, as the paper gives one
    number for both parts. `out` is the safetensors file of weights to write; checkpoint and log lie in a
    directory beside it. `network` is in place of the paper's, for trials. Return the log.

    Raises:
        OurganError: no usable image, a file that exists, another training's checkpoint.
    """
    if out.exists():
        raise OurganError(f"{out} exists: choose another --out")
    if not config.l1_iterations:
        config = dataclasses.replace(config, l1_iterations=config.iterations // 2)
    out.parent.mkdir(parents=True, exist_ok=True)
    with seeded(stream(seed, "weights", "network")):
        network = network or NETWORKS[backbone]()
    patches = FolderPatches(
        images, patch=config.patch, degradation=DEGRADATIONS[backbone], noise_std=noise_std, seed=seed
    )
    trainer = SuperResolutionTrainer(
        network,
        backbone,
        patches,
        config,
        seed=seed,
        identity={"images": [path.name for path in patches.paths], "noise_std": noise_std},
        device=device,
    )
    run = out.with_name(f"{out.stem}-training")
    best, lines = train_super_resolution(trainer, run, resume=resume, progress=progress, title="pretrain")
    save_network(best, out)
    return lines


def image_folder(images: str) -> Path:
    """Return a folder as it is; fetch "user/dataset", where that is no folder here, from the Hub."""
    if Path(images).is_dir() or not hub.looks_like_repository(images):
        return Path(images)
    return hub.download_images(images)


def save_network(network: nn.Module, path: Path) -> None:
    """Write a network's weights in float16 under their official names, whole or not at all."""
    plain = copy.deepcopy(network).cpu()
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in plain.state_dict().items()
    }
    with files.atomic_path(path) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})


def _metadata(trainer: SuperResolutionTrainer, lines: list[Line], **origin: Any) -> StepMetadata:
    judged = [line for line in lines if "st_lpips" in line]
    best = min(judged, key=lambda line: line["st_lpips"])
    return StepMetadata(
        perceptual=trainer.perceptual.trunk_name,
        iterations=trainer.iteration,
        best_iteration=best["iteration"],
        st_lpips=(judged[0]["st_lpips"], best["st_lpips"]),
        psnr=(judged[0]["psnr"], best["psnr"]),
        minutes=training_minutes(lines),
        **origin,
    )

"""`ourgan train`: from a photo to a model directory."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import torch
from torch import Tensor

from ourgan import files, provenance
from ourgan.config import Profile
from ourgan.devices import best_device
from ourgan.errors import OurganError
from ourgan.evaluation.coherence import distance_to_photo, diversity, row_colour_error
from ourgan.images import contact_sheet, read_image, resize
from ourgan.synthesis.pipeline import ModelFacts, OurGAN
from ourgan.training.loop import LOG, train_global_structure

log = logging.getLogger(__name__)

RUN = "training"  # subdirectory of a model that holds checkpoint and log
SHEET_SEEDS = range(12)


def train_model(
    photo_path: Path,
    out: Path,
    profile: Profile,
    *,
    seed: int = 0,
    resume: bool = False,
    credit: str = "",
    tensorboard: Path | None = None,
) -> OurGAN:
    """Train step 1 on a photo and write the model directory `out`.

    Steps 2 and 3 use the released weights. Raises OurganError with one line: an unusable photo, a
    directory that is taken or cannot be written, another training's checkpoint.
    """
    photo = read_image(photo_path)
    config = profile.global_structure
    check_photo(photo, photo_path, config.sizes(photo.shape[1] / photo.shape[2]))
    if (out / "config.json").exists():
        raise OurganError(f"{out} holds a finished model already: choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        files.write_bytes(out / ".writable", b"")
        (out / ".writable").unlink()
    except OSError as error:
        raise OurganError(f"{out}: cannot be written ({error.strerror}); choose another --out") from None
    device = best_device()
    generator = train_global_structure(
        photo, config, out / RUN, seed=seed, resume=resume, device=device, tensorboard=tensorboard
    )
    lines = [json.loads(line) for line in (out / RUN / LOG).read_text().splitlines()]
    facts = ModelFacts(
        photo=photo_path.name,
        photo_sha256=files.sha256(photo_path),
        credit=credit,
        profile=profile.name,
        seed=seed,
        minutes=training_minutes(lines),
        trained_on=f"{provenance.device_name(device)}, {torch.get_num_threads()} threads",
        commit=provenance.record()["commit"] or "",
    )
    model = OurGAN(generator, profile.super_resolution, facts, device)
    publish(model, photo, out, out / RUN / LOG)
    return model


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


def training_minutes(lines: list[dict[str, float]]) -> float:
    """Minutes of computing, from a log whose every line stands for the iterations since the one before."""
    total, before = 0.0, (0, 0)
    for line in lines:
        here = (int(line["scale"]), int(line["iteration"]))
        total += line["seconds"] * (here[1] - (before[1] if here[0] == before[0] else 0))
        before = here
    return round(total / 60, 1)


def publish(model: OurGAN, photo: Tensor, out: Path, training_log: Path) -> None:
    """Write weights, configuration, log, contact sheet and card."""
    model.save_pretrained(out)
    samples = [model.sample(seed) for seed in SHEET_SEEDS]
    small = resize(photo, (samples[0].shape[1], samples[0].shape[2]))
    sheet = contact_sheet([small, *samples[:11]], 4, ["the photo", *(f"seed {s}" for s in SHEET_SEEDS)][:12])
    with files.atomic_path(out / "samples.jpg") as temporary:
        sheet.save(temporary, format="jpeg", quality=90)
    metrics = {
        "row_colour_error": sum(row_colour_error(small, s) for s in samples) / len(samples),
        "diversity": diversity(samples),
        "distance_to_photo": min(distance_to_photo(small, s) for s in samples),
    }
    files.write_bytes(out / LOG, training_log.read_bytes())
    files.write_bytes(out / "README.md", card(model, metrics, os.path.basename(out.resolve())).encode())


def card(model: OurGAN, metrics: dict[str, float], name: str) -> str:
    """The model card."""
    facts, config = model.facts, model.generator.config
    height, width = model.generator.sizes[-1]
    licence = (
        f"Photo: {facts.credit}." if facts.credit else "Ask the photo's author before you publish the model."
    )
    coordinate = "on" if config.coordinate_generator else "off"
    iterations = [config.stage_iterations(s) for s in range(config.scales)]
    return f"""# {name}

An OUR-GAN model of one photograph, `{facts.photo}` (sha256 `{facts.photo_sha256}`). {licence}

![samples](samples.jpg)

| | |
|---|---|
| step 1 | {width}x{height} px, {config.scales} scales, vertical coordinate {coordinate} |
| iterations per scale | {", ".join(map(str, iterations))}, batch {config.batch_size} |
| trained | profile {facts.profile}, seed {facts.seed}, {facts.minutes} minutes on {facts.trained_on} |
| steps 2 and 3 | released weights `{model.super_resolution.weights}`, not fine-tuned on the photo |
| row colour error | {metrics["row_colour_error"]:.1f} of 255 (lower: more of the photo's layout) |
| diversity | {metrics["diversity"]:.1f} of 255 (mean over pairs; higher: more variety) |
| nearest to the photo | {metrics["distance_to_photo"]:.1f} of 255 (0 would be a copy) |

    ourgan synthesize {name} --seed 7 --size 4k --out scene.tif
"""

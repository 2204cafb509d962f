"""What lies beside a model's weights: contact sheet, log and model card."""

from __future__ import annotations

import html
import os
import re
import shlex
from pathlib import Path

from torch import Tensor

from ourgan._core import files
from ourgan.io.pixels import contact_sheet, resize
from ourgan.metrics.layout import distance_to_photo, diversity, row_colour_error
from ourgan.pipeline import OurGAN
from ourgan.training.checkpoint import LOG

SHEET = "samples.jpg"
SHEET_SEEDS = range(12)


def publish(model: OurGAN, photo: Tensor, out: Path, training_log: Path) -> None:
    """Write weights of step 1, configuration, log, contact sheet and card of a model into its directory."""
    model.save_pretrained(out)
    samples = [model.sample(seed) for seed in SHEET_SEEDS]
    small = resize(photo, (samples[0].shape[1], samples[0].shape[2]))
    sheet = contact_sheet([small, *samples[:11]], 4, ["the photo", *(f"seed {s}" for s in SHEET_SEEDS)][:12])
    with files.atomic_path(out / SHEET) as temporary:
        sheet.save(temporary, format="jpeg", quality=90)
    metrics = {
        "row_colour_error": sum(row_colour_error(small, s) for s in samples) / len(samples),
        "diversity": diversity(samples),
        "distance_to_photo": min(distance_to_photo(small, s) for s in samples),
    }
    if training_log.exists():
        files.write_bytes(out / LOG, training_log.read_bytes())
    files.write_bytes(out / "README.md", card(model, metrics, os.path.basename(out.resolve())).encode())


def card(model: OurGAN, metrics: dict[str, float], name: str) -> str:
    """The model card: front matter for the Hub, then what a reader wants to know."""
    facts, config = model.metadata, model.generator.config
    photo, title, credit = _plain(facts.photo), _plain(name), _plain(facts.credit)
    height, width = model.generator.sizes[-1]
    licence = f"Photo: {credit}." if credit else "Ask the photo's author before you publish the model."
    kind = {"ourgan": "An OUR-GAN", "hp-vae-gan": "An HP-VAE-GAN", "singan": "A SinGAN"}[config.generator]
    coordinate = "on" if config.coordinate_generator else "off"
    iterations = [config.stage_iterations(s) for s in range(config.scales)]
    options = "" if config.generator == "ourgan" else f"--generator {config.generator} "
    options += f"--steps {','.join(map(str, [1, *sorted(model.steps)]))}"
    options += f" --backbone {model.super_resolution.backbone}" if model.steps else ""
    command = (
        f"ourgan train {_word(facts.photo)} --out {_word(name)} --profile {_word(facts.profile)} "
        f"--seed {facts.seed} {options}"
    )
    trained = f"profile {_plain(facts.profile)}, seed {facts.seed}, {facts.minutes} minutes"
    return f"""---
library_name: ourgan
tags: [ourgan, one-shot, image-generation, super-resolution]
license: other
thumbnail: {SHEET}
---

# {title}

{kind} model of one photograph, {photo} (sha256 `{facts.photo_sha256}`). {licence}

![samples]({SHEET})

| | |
|---|---|
| step 1 | {config.generator}, {width}x{height} px, {config.scales} scales, vertical coordinate {coordinate} |
| iterations per scale | {", ".join(map(str, iterations))}, batch {config.batch_size} |
| trained | {trained} on {_plain(facts.trained_on)} |
{_steps(model)}
| row colour error | {metrics["row_colour_error"]:.1f} of 255 (lower: more of the photo's layout) |
| diversity | {metrics["diversity"]:.1f} of 255 (mean over pairs; higher: more variety) |
| nearest to the photo | {metrics["distance_to_photo"]:.1f} of 255 (0 would be a copy) |

    {command}
    ourgan synthesize {_word(name)} --seed 7 --size 4k --out scene.tif
"""


def _plain(text: str) -> str:
    """On one line of Markdown, without HTML or marks of its own: a file's name may hold anything."""
    line = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]{}|~$#!])", r"\\\1", line)


def _word(text: str) -> str:
    """One word of a command that may be copied from the card into a shell."""
    return shlex.quote(" ".join(text.split()))


def _steps(model: OurGAN) -> str:
    """A row of the card for each step with weights of its own."""
    released = model.super_resolution.released
    if not model.steps:
        return f"| steps 2 and 3 | released weights `{released}`, not fine-tuned on the photo |"
    rows = []
    for step, facts in sorted(model.steps.items()):
        (before, after), (psnr_before, psnr_after) = facts.st_lpips, facts.psnr
        rows.append(
            f"| step {step} | {model.super_resolution.backbone}, {facts.width // 4} -> {facts.width} px, "
            f"from {_plain(facts.start)}; best of {facts.iterations} iterations at {facts.best_iteration}; "
            f"LR noise {facts.noise_std:g}; {facts.minutes} minutes; "
            f"perceptual loss by {_plain(facts.perceptual)}. "
            f"Validation strip, before and after: ST-LPIPS {before:.3f}, {after:.3f}; "
            f"PSNR {psnr_before:.1f}, {psnr_after:.1f} dB |"
        )
    others = [step for step in (2, 3) if step not in model.steps]
    rows += [f"| step {step} | released weights `{released}`, not fine-tuned |" for step in others]
    return "\n".join(rows)

"""What lies beside a model's weights: contact sheet, a picture of the photo's pixels, log and model card."""

from __future__ import annotations

import dataclasses
import html
import io
import re
import shlex
from pathlib import Path

import numpy as np
from huggingface_hub import ModelCardData
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ourgan._core import files
from ourgan.config import steps_of
from ourgan.hub.upload import photo_line
from ourgan.io.model_dir import StepMetadata
from ourgan.io.pixels import contact_sheet, resize
from ourgan.metrics.layout import distance_to_photo, diversity, row_colour_error
from ourgan.models.training_free import TrainingFree
from ourgan.pipeline import OurGAN
from ourgan.training.checkpoint import LOG
from ourgan.upscale.detail import Wish

SHEET = "samples.jpg"
CARD = "README.md"  # written last
SHEET_SEEDS = range(12)
REDRAWN = "redrawn.jpg"
LARGEST = 300_000  # bytes of it
KINDS = {
    "ourgan": "An OUR-GAN",
    "hp-vae-gan": "An HP-VAE-GAN",
    "singan": "A SinGAN",
    "patches": "A patch-based",
}


def write_model_card(model: OurGAN, photo: Float[Tensor, "3 h w"], out: Path, training_log: Path) -> None:
    """Save a model into its directory, with what a reader wants to see and to know of it.

    Overwrites what is there: weights of step 1, config.json, the log and what `write_card` writes.

    The weights of its steps lie in `out` already. The training log, of step 1, is copied where there is one.

    Raises:
        ModelError: a step has no weights in `out`.
        OSError: `out` cannot be written.
    """
    model.save_pretrained(out)
    if training_log.exists():
        files.write_bytes(out / LOG, training_log.read_bytes())
    write_card(dataclasses.replace(model, directory=out), photo, out)


def write_card(model: OurGAN, photo: Float[Tensor, "3 h w"], out: Path) -> None:
    """Draw twelve samples and, if the photo is at hand, a picture of its pixels; write them and README.md.

    Args:
        model: lies in `out`.
        photo: that it learned from, in [0, 1].
        out: its directory.
    """
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
    redrawn = _redraw(model, out / REDRAWN)
    kept = next((name for name in files.PHOTOS if (out / name).is_file()), None)
    text = card(model, metrics, out.resolve().name, redrawn=redrawn, photo_file=kept)
    files.write_bytes(out / CARD, text.encode())


def _redraw(model: OurGAN, path: Path) -> bool:
    """Write a picture with detail from the photo, of 300 kB at most; return whether there is one now."""
    look = model.look(Wish("auto", "auto"), model.generator.sizes[-1], steps_of("1k"))
    if look.detail != "photo":
        path.unlink(missing_ok=True)
        return False
    pixels = model.synthesize(SHEET_SEEDS[0], "1k", scene="projected", detail="photo", progress=False)
    for quality in range(90, 0, -5):
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(pixels)).save(buffer, format="jpeg", quality=quality)
        if buffer.tell() <= LARGEST:
            break
    files.write_bytes(path, buffer.getvalue())
    return True


def card(
    model: OurGAN,
    metrics: dict[str, float],
    name: str,
    *,
    redrawn: bool = False,
    photo_file: str | None = None,
) -> str:
    """Return the model card: front matter for the Hub, then Markdown.

    Args:
        model: that it is about.
        metrics: of its samples.
        name: of the model.
        redrawn: whether there is a picture with detail from the photo beside it.
        photo_file: the photo's name beside it, if it is there.
    """
    front_matter = ModelCardData(
        library_name="ourgan",
        tags=["ourgan", "one-shot", "image-generation", "super-resolution"],
        license="other",
        thumbnail=SHEET,
    )
    credit, learned = _plain(model.metadata.credit), not isinstance(model.generator, TrainingFree)
    return f"""---
{front_matter.to_yaml().strip()}
---

# {_plain(name)}

{_origin(model)}

![samples]({SHEET})

{_pixels(credit, redrawn, learned)}

{photo_line(photo_file)}

| | |
|---|---|
{_structure(model)}
{_steps(model)}
{_measured(metrics)}

    {_command(model, name)}
    ourgan synthesize {_word(name)} --seed 7 --size 4k --out scene.tif
"""


def _origin(model: OurGAN) -> str:
    """Return the sentences of the card on the photo and its author."""
    metadata, credit = model.metadata, _plain(model.metadata.credit)
    licence = f"Photo: {credit}." if credit else "Ask the photo's author before you publish the model."
    if isinstance(model.generator, TrainingFree):
        licence += " The model holds the photo, and its pictures are made of the photo's pixels."
    photo = f"{_plain(metadata.photo)} (sha256 `{metadata.photo_sha256}`)"
    return f"{KINDS[model.generator.config.generator]} model of one photograph, {photo}. {licence}"


def _measured(metrics: dict[str, float]) -> str:
    """Return the rows of the card about the samples."""
    return f"""\
| row colour error | {metrics["row_colour_error"]:.1f} 8-bit levels (lower: more of the photo's layout) |
| diversity | {metrics["diversity"]:.1f} 8-bit levels (mean over pairs; higher: more variety) |
| nearest to the photo | {metrics["distance_to_photo"]:.1f} 8-bit levels (0 would be a copy) |"""


def _pixels(credit: str, redrawn: bool, learned: bool) -> str:
    """Return the part of the card that says whose pixels pictures are made of."""
    shown = f"""\
![a picture with detail from the photo]({REDRAWN})

*Seed {SHEET_SEEDS[0]} at 1K with detail from the photo; above, scenes as step 1 draws them.*

"""
    follows = (
        f"{credit}; their licence follows the photo's" if credit else "ask its author before you use them"
    )
    painted = " With `--scene drawn --detail network` all is painted by networks." if learned else ""
    return f"""\
{shown if redrawn else ""}\
Where the photo is at hand, `ourgan synthesize` redraws the scene from the photo's patches and takes the \
detail from its pixels. Such pictures contain the photo's own pixels: {follows}.{painted}"""


def _structure(model: OurGAN) -> str:
    """Return the rows of the card about step 1."""
    metadata, config = model.metadata, model.generator.config
    height, width = model.generator.sizes[-1]
    scales = f"{config.scales} scales, vertical coordinate {'on' if config.coordinate else 'off'}"
    step = f"| step 1 | {config.generator}, {width}x{height} px, {scales} |"
    if metadata.training is None:
        return f"{step}\n| trained | not at all, profile {_plain(metadata.profile)} |"
    iterations = [metadata.training.scale_iterations(s) for s in range(config.scales)]
    trained = f"profile {_plain(metadata.profile)}, seed {metadata.seed}, {metadata.minutes} minutes"
    return f"""\
{step}
| iterations per scale | {", ".join(map(str, iterations))}, batch {metadata.training.batch_size} |
| trained | {trained} on {_plain(metadata.trained_on)} |"""


def _steps(model: OurGAN) -> str:
    """Return a row of the card for each step with weights of its own."""
    released = model.upscaler.settings.released
    if not model.steps:
        return f"| steps 2 and 3 | released weights `{released}`, not fine-tuned on the photo |"
    rows = [_step(step, model.upscaler.settings.backbone, of) for step, of in sorted(model.steps.items())]
    others = [step for step in (2, 3) if step not in model.steps]
    rows += [f"| step {step} | released weights `{released}`, not fine-tuned |" for step in others]
    return "\n".join(rows)


def _step(step: int, backbone: str, metadata: StepMetadata) -> str:
    (before, after), (psnr_before, psnr_after) = metadata.st_lpips, metadata.psnr
    return (
        f"| step {step} | {backbone}, {metadata.width // 4} -> {metadata.width} px, "
        f"from {_plain(metadata.start)}; best of {metadata.iterations} iterations at "
        f"{metadata.best_iteration}; LR noise {metadata.noise_std:g}; {metadata.minutes} minutes; "
        f"perceptual loss by {_plain(metadata.perceptual)}. "
        f"Validation strip, before and after: ST-LPIPS {before:.3f}, {after:.3f}; "
        f"PSNR {psnr_before:.1f}, {psnr_after:.1f} dB |"
    )


def _command(model: OurGAN, name: str) -> str:
    """Return the command that trains such a model."""
    metadata, generator = model.metadata, model.generator.config.generator
    options = "" if generator == "ourgan" else f"--generator {generator} "
    options += f"--steps {','.join(map(str, [1, *sorted(model.steps)]))}"
    options += f" --backbone {model.upscaler.settings.backbone}" if model.steps else ""
    return (
        f"ourgan train {_word(metadata.photo)} --out {_word(name)} --profile {_word(metadata.profile)} "
        f"--seed {metadata.seed} {options}"
    )


def _plain(text: str) -> str:
    """Return text as one line of Markdown without HTML or marks: a file's name may hold anything."""
    line = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]{}|~$#!])", r"\\\1", line)


def _word(text: str) -> str:
    """Return text as one word of a command that may be copied from the card into a shell."""
    return shlex.quote(" ".join(text.split()))

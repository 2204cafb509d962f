"""What workers do for the benchmark: train, draw, enlarge, measure; see `ourgan.cluster`.

Arguments are plain JSON values, and each function leaves its outputs whole or not at all, with the same
bytes whoever ran it.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from torch import Tensor

from ourgan._core import files
from ourgan._core.devices import best_device
from ourgan._core.strict_toml import from_dict
from ourgan.benchmark.cache import write_cell
from ourgan.config import SIZES, SuperResolutionConfig, load_profile
from ourgan.io.model_dir import ModelMetadata, read_model
from ourgan.io.pixels import write_image
from ourgan.io.read import read_image
from ourgan.metrics import registry
from ourgan.pipeline import OurGAN
from ourgan.training.train import train_model
from ourgan.upscale.upscaler import Enlarger

TRAINED = "trained.json"  # the last file of a training that is complete


def train(photo: str, out: str, profile: str, generator: str, seed: int, credit: str) -> None:
    """Learn step 1 of a photo into the directory `out`; goes on with what a killed run left there."""
    with _alone(out) as done:
        if not done:
            train_model(
                Path(photo),
                Path(out),
                load_profile(profile),
                steps=(1,),
                generator=generator,
                seed=seed,
                resume=True,
                credit=credit,
            )
            files.write_json(Path(out) / TRAINED, {"profile": profile, "generator": generator, "seed": seed})


def fine_tune(
    photo: str, out: str, profile: str, model: str, backbone: str, steps: list[int], seed: int
) -> None:
    """Fine-tune steps of x4 on a photo, beside a copy of the step 1 of `model`, in the directory `out`."""
    with _alone(out) as done:
        if not done:
            if not (Path(out) / "config.json").exists():
                held = OurGAN.from_pretrained(model)
                held.steps = {}
                held.save_pretrained(out)
            train_model(
                Path(photo),
                Path(out),
                load_profile(profile),
                steps=steps,
                backbone=backbone,
                seed=seed,
                resume=True,
            )
            files.write_json(Path(out) / TRAINED, {"profile": profile, "backbone": backbone, "seed": seed})


def draw(
    out: str,
    model: str,
    picture: str,
    seed: int,
    size: str,
    width: int | None,
    enlarger: str,
    super_resolution: dict[str, Any],
) -> None:
    """Make one picture, a PNG: step 1 by `model`, or the file `picture`; then steps 2 and on.

    `enlarger`: the model directory whose own weights of these steps are used, "" for released ones.
    """
    image = OurGAN.from_pretrained(model).sample(seed, width=width) if model else read_image(picture)
    steps = _enlarger(enlarger, json.dumps(super_resolution))
    for step in range(2, SIZES[size] + 2):
        image = steps.step(image, seed, step, method="auto", progress=False)
    write_image(out, image)


def measure_picture(photo: str, picture: str, cells: list[dict[str, Any]]) -> None:
    """Measure one picture; `cells`: "path" and "inputs" of each, whose "metric" says which."""
    original, made = _photo(photo), read_image(picture)
    for cell in cells:
        of_picture = registry.find_metric(cell["inputs"]["metric"]).of_picture
        assert of_picture is not None
        write_cell(Path(cell["path"]), cell["inputs"], of_picture(original, made))


def measure_pairs(pictures: list[str], cell: dict[str, Any]) -> None:
    """Measure all pictures of one model against each other."""
    of_pairs = registry.find_metric(cell["inputs"]["metric"]).of_pairs
    assert of_pairs is not None
    write_cell(Path(cell["path"]), cell["inputs"], of_pairs([Path(picture) for picture in pictures]))


@contextlib.contextmanager
def _alone(out: str) -> Iterator[bool]:
    """Keep other workers from a directory that is trained in; says whether that is done already.

    A cluster may start a job again while the worker it takes for lost still runs.
    """
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{out}.lock"):
        yield (Path(out) / TRAINED).exists()


@functools.lru_cache(maxsize=1)
def _enlarger(directory: str, super_resolution: str) -> Enlarger:
    """Kept for the next picture: most have the same."""
    settings = from_dict(SuperResolutionConfig, json.loads(super_resolution), "the job")
    steps = read_model(Path(directory)).steps if directory else {}
    return Enlarger(settings, steps, Path(directory) if directory else None, best_device(), ModelMetadata())


@functools.lru_cache(maxsize=1)
def _photo(path: str) -> Tensor:
    return read_image(path)

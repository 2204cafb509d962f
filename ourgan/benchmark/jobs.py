"""The benchmark's models and pictures: the jobs, and what workers do for them.

Jobs (`ourgan.cluster`) have plain JSON values as arguments, and each function leaves its outputs whole or not
at all, with the same bytes whichever worker ran it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from ourgan._core import files
from ourgan._core.strict_toml import from_dict
from ourgan.benchmark.config import Preflight
from ourgan.benchmark.samples import Model, Source, Upscaling, hash_inputs, scene_sizes
from ourgan.benchmark.ways import PIXELS, Way
from ourgan.cluster import Job
from ourgan.config import SuperResolutionConfig, load_profile, steps_of
from ourgan.io.model_dir import STRUCTURE, fine_tuned_files, read_model
from ourgan.io.pixels import from_uint8, write_image
from ourgan.io.read import read_image
from ourgan.pipeline import OurGAN
from ourgan.training.train import train as train_model
from ourgan.upscale.upscaler import Upscaler

JOBS = __name__
TRAINED = "trained.json"  # the last file of a training that is complete


def list_pictures(
    preflight: Preflight, photo: Path, source: Source, upscaling: Upscaling, way: Way
) -> list[Job]:
    """Return a job for each picture of one generator, photo, backbone and way; its file's name is its key.

    Raises OurganError where the photo is too small for that way.
    """
    plan, jobs = preflight.plan, []
    own, scene = scene_sizes(source, photo, plan.width)
    made_of = way.look(photo, own, scene, steps_of(plan.size)).describe()
    model, given = (source, ()) if isinstance(source, Model) else (None, source)
    for seed in range(plan.seeds if model else len(given)):
        picture = "" if model else str(given[seed])
        inputs = {
            "scene": model.key if model else files.sha256(picture),
            "seed": seed,
            "size": plan.size,
            "width": plan.width,
            "super_resolution": upscaling.settings,
            "weights": upscaling.weights,
        }
        # Nothing more for the paper's way: its pictures keep the names they have always had.
        inputs |= {"made_of": made_of, "pixels": PIXELS} if made_of else {}
        path = str(preflight.out / "pictures" / f"{hash_inputs(inputs)}.png")
        arguments = {
            "out": path,
            "model": str(model.directory) if model else "",
            "picture": picture,
            "seed": seed,
            "size": plan.size,
            "width": plan.width,
            "fine_tuned": upscaling.directory,
            "super_resolution": upscaling.settings,
            "way": [way.scene, way.detail],
            "photo": str(photo),
            "own": list(own),
        }
        reads = str(model.directory / STRUCTURE) if model else picture
        jobs.append(Job(f"{JOBS}:draw", arguments, (reads, str(photo)), (path,)))
    return jobs


def train(photo: str, out: str, profile: str, generator: str, seed: int, credit: str) -> None:
    """Learn step 1 of a photo into the directory `out`; goes on with what a killed run left there."""
    with _alone(out) as done:
        if not done:
            settings = load_profile(profile)
            options: dict[str, Any] = {"steps": (1,), "generator": generator, "credit": credit}
            train_model(Path(photo), Path(out), settings, seed=seed, resume=True, **options)
            files.write_json(Path(out) / TRAINED, {"profile": profile, "generator": generator, "seed": seed})


def fine_tune(
    photo: str, out: str, profile: str, model: str, backbone: str, steps: Sequence[int], seed: int
) -> None:
    """Fine-tune `steps` on a photo, beside a copy of the step 1 of `model`, in the directory `out`."""
    with _alone(out) as done:
        if not done:
            if not (Path(out) / "config.json").exists():
                dataclasses.replace(OurGAN.from_pretrained(model), steps={}).save_pretrained(out)
            settings = load_profile(profile)
            options: dict[str, Any] = {"steps": steps, "backbone": backbone}
            train_model(Path(photo), Path(out), settings, seed=seed, resume=True, **options)
            files.write_json(Path(out) / TRAINED, {"profile": profile, "backbone": backbone, "seed": seed})


def draw(
    out: str,
    model: str,
    picture: str,
    seed: int,
    size: str,
    width: int | None,
    fine_tuned: str,
    super_resolution: dict[str, Any],
    way: Sequence[str],
    photo: str,
    own: Sequence[int],
) -> None:
    """Write one picture, a PNG: step 1 by `model`, or the file `picture`; then steps 2 and on, or the photo.

    Args:
        out: the file.
        model: a directory; "" for `picture`.
        picture: a file of a scene.
        seed: of the scene and of the noise.
        size: of the picture.
        width: of the model's scene; None for its own.
        fine_tuned: the model directory whose own weights of these steps are used, "" for released ones.
        super_resolution: a SuperResolutionConfig in plain data.
        way: scene and detail.
        photo: the photo's file.
        own: (height, width) of the photo, see `Way.look`.
    """
    image = OurGAN.from_pretrained(model).sample(seed, width=width) if model else read_image(picture)
    steps, shape = steps_of(size), (image.shape[1], image.shape[2])
    look = Way(*way).look(Path(photo), (own[0], own[1]), shape, steps)
    made = look.rows(_upscaler(fine_tuned, json.dumps(super_resolution)), look.begin(image), seed, steps)
    write_image(out, from_uint8(np.concatenate(list(made.rows(0, None, False)))))


@contextlib.contextmanager
def _alone(out: str) -> Iterator[bool]:
    """Keep other workers from a directory that is trained in; yield whether that is done already.

    A cluster may start a job again while the worker it takes for lost still runs.
    """
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{out}.lock"):
        yield (Path(out) / TRAINED).exists()


@functools.lru_cache(maxsize=1)
def _upscaler(directory: str, super_resolution: str) -> Upscaler:
    """Return what upscales; kept for the next picture, since most have the same."""
    settings = from_dict(SuperResolutionConfig, json.loads(super_resolution), "the job")
    steps = read_model(Path(directory))[3] if directory else {}
    return Upscaler(settings, fine_tuned_files(Path(directory), steps))

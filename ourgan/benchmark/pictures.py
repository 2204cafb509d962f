"""The pictures that are measured: with which weights each is upscaled, and which results are wanted of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ourgan._core import files
from ourgan._core.devices import best_device, compute_dtype, dtype_name
from ourgan._core.strict_toml import to_dict
from ourgan.benchmark.config import Preflight, released_weights
from ourgan.benchmark.jobs import Result, hash_inputs
from ourgan.benchmark.photo_sets import Photograph
from ourgan.benchmark.samples import Model, SampleSource
from ourgan.benchmark.table import Cell
from ourgan.cluster import Job
from ourgan.config import SuperResolutionConfig, steps_of
from ourgan.io.model_dir import STRUCTURE
from ourgan.metrics.registry import Metric

JOBS = "ourgan.benchmark.jobs"


@dataclasses.dataclass(frozen=True)
class Upscaling:
    """With what steps 2 and on of a photo's pictures are made.

    Attributes:
        directory: the model with weights of its own for these steps, or "".
        settings: a SuperResolutionConfig in plain data.
        weights: sha256 for each step.
        kind: "fine-tuned", "partly fine-tuned" or "released".
    """

    directory: str
    settings: dict[str, Any]
    weights: dict[str, str]
    kind: str


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture to be measured: its file, the hash of what it is made from, and the job that makes it."""

    path: Path
    key: str
    job: Job


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Results that are made together, and the job that makes those of them that are not there."""

    cell: Cell
    results: Sequence[Result]
    job: Job | None

    def read(self) -> None:
        """Put the results into the cell of the table."""
        for result in self.results:
            self.cell.values.setdefault(result.inputs["metric"], []).extend(result.read())


def choose_upscaling(size: str, models: Sequence[Model], photo: Photograph, backbone: str) -> Upscaling:
    """Return the steps' own weights if any model of the photo has them, the same for all its generators.

    Args:
        size: of the pictures, "1k" or "4k".
        models: all there are.
        photo: whose pictures are upscaled.
        backbone: "esrgan" or "swinir".
    """
    steps = steps_of(size)
    own = [
        model
        for model in models
        if model.metadata.photo_sha256 == photo.sha256 and model.super_resolution.backbone == backbone
    ]
    best = max(own, key=lambda model: len(set(steps) & set(model.steps)), default=None)
    tuned = sorted(set(steps) & set(best.steps)) if best else []
    if best is None or not tuned:
        # Released weights were never trained with the noise of Eq. 4, which they would smear.
        settings, directory = SuperResolutionConfig(backbone=backbone, noise_std=0.0), ""
    else:
        settings, directory = best.super_resolution, str(best.directory)
    dtype = dtype_name(compute_dtype(settings.dtype, best_device()))
    settings = dataclasses.replace(settings, dtype=dtype)
    released = "" if len(tuned) == len(steps) else released_weights(backbone, settings.weights)
    weights = {str(step): best.step_weights(step) if best and step in tuned else released for step in steps}
    kind = "fine-tuned" if len(tuned) == len(steps) else "partly fine-tuned" if tuned else "released"
    return Upscaling(directory, to_dict(settings), weights, kind)


def list_pictures(preflight: Preflight, source: SampleSource, upscaling: Upscaling) -> list[Picture]:
    """Return the pictures of one generator, photo and backbone."""
    plan, model, pictures = preflight.plan, source.model, []
    for seed in range(plan.seeds if model else len(source.pictures)):
        picture = "" if model else str(source.pictures[seed])
        key = hash_inputs(
            {
                "scene": model.key if model else files.sha256(picture),
                "seed": seed,
                "size": plan.size,
                "width": plan.width,
                "super_resolution": upscaling.settings,
                "weights": upscaling.weights,
            }
        )
        path = preflight.out / "pictures" / f"{key}.png"
        arguments = {
            "out": str(path),
            "model": str(model.directory) if model else "",
            "picture": picture,
            "seed": seed,
            "size": plan.size,
            "width": plan.width,
            "fine_tuned": upscaling.directory,
            "super_resolution": upscaling.settings,
        }
        reads = str(model.directory / STRUCTURE) if model else picture
        pictures.append(Picture(path, key, Job(f"{JOBS}:draw", arguments, (reads,), (str(path),))))
    return pictures


def list_measurements(
    preflight: Preflight, cell: Cell, pictures: Sequence[Picture], metrics: Sequence[Metric]
) -> list[Measurement]:
    """Return the measurements of one cell of the table: of each picture, then of the pairs.

    Args:
        preflight: the benchmark.
        cell: gets the number of pictures now, and the results when they are read.
        pictures: of that cell.
        metrics: that can be had here.
    """
    photo, path = next(item for item in preflight.photos.items() if item[0].name == cell.photo)
    cell.count, results_in = len(pictures), str(preflight.out / "cells")

    def plan(
        function: str, reads: Sequence[str], arguments: dict[str, Any], wanted: Sequence[Metric], **of: Any
    ) -> Measurement:
        inputs = [{"metric": metric.name, "version": metric.version, **of} for metric in wanted]
        results = [Result(results_in, each) for each in inputs]
        missing = [result for result in results if not result.path.exists()]
        arguments = {**arguments, "results": [dataclasses.asdict(result) for result in missing]}
        outputs = tuple(str(result.path) for result in missing)
        job = Job(f"{JOBS}:{function}", arguments, tuple(reads), outputs) if missing else None
        return Measurement(cell, results, job)

    single = [metric for metric in metrics if metric.of_picture is not None]
    measurements = []
    for picture in pictures:
        files_of_one = {"photo": str(path), "picture": str(picture.path)}
        of = {"photo": photo.sha256, "picture": picture.key}
        measurements.append(plan("measure_picture", list(files_of_one.values()), files_of_one, single, **of))
    keys, paths = [picture.key for picture in pictures], [str(picture.path) for picture in pictures]
    measurements += [
        plan("measure_pairs", paths, {"pictures": paths}, [metric], pictures=keys)
        for metric in metrics
        if metric.of_pairs is not None
    ]
    return measurements

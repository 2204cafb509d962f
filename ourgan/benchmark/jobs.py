"""The benchmark's pictures and measurements: the jobs, what workers do for them, and the files of results.

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

from filelock import FileLock
from torch import Tensor

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan._core.strict_toml import from_dict
from ourgan.benchmark.config import Preflight
from ourgan.benchmark.samples import Model, Source, Upscaling, hash_inputs
from ourgan.benchmark.table import Cell
from ourgan.cluster import Job
from ourgan.config import SuperResolutionConfig, load_profile, steps_of
from ourgan.io.model_dir import STRUCTURE, fine_tuned_files, read_model
from ourgan.io.pixels import write_image
from ourgan.io.read import read_image
from ourgan.metrics.registry import Metric, find_metric
from ourgan.pipeline import OurGAN
from ourgan.training.train import train as train_model
from ourgan.upscale.upscaler import Upscaler

JOBS = __name__
TRAINED = "trained.json"  # the last file of a training that is complete


@dataclasses.dataclass(frozen=True)
class Result:
    """One number, or one for each picture, in a file of `directory` whose name is the hash of its inputs.

    Inputs are the "metric" and its "version", photo and pictures.
    """

    directory: str
    inputs: dict[str, Any]

    @property
    def path(self) -> Path:
        """Where it lies or will lie."""
        return Path(self.directory) / f"{hash_inputs(self.inputs)}.json"

    def write(self, value: float | list[float]) -> None:
        """Write it atomically. The same inputs give the same bytes: no time, no machine in it."""
        files.write_json(self.path, {"inputs": self.inputs, "value": value})

    def read(self) -> list[float]:
        """Return it. Raises OurganError for a file of another content."""
        path = self.path
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            value, inputs = content["value"], content["inputs"]
            values = [float(each) for each in (value if isinstance(value, list) else [value])]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OurganError(
                f"{path}: damaged ({type(error).__name__}); remove it, and it is made again"
            ) from None
        if inputs != self.inputs:
            raise OurganError(f"{path}: holds the result of other inputs; remove it, and it is made again")
        return values


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


def list_pictures(preflight: Preflight, source: Source, upscaling: Upscaling) -> list[Job]:
    """Return a job for each picture of one generator, photo and backbone; its file's name is its key."""
    plan, jobs = preflight.plan, []
    model, given = (source, ()) if isinstance(source, Model) else (None, source)
    for seed in range(plan.seeds if model else len(given)):
        picture = "" if model else str(given[seed])
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
        path = str(preflight.out / "pictures" / f"{key}.png")
        arguments = {
            "out": path,
            "model": str(model.directory) if model else "",
            "picture": picture,
            "seed": seed,
            "size": plan.size,
            "width": plan.width,
            "fine_tuned": upscaling.directory,
            "super_resolution": upscaling.settings,
        }
        reads = str(model.directory / STRUCTURE) if model else picture
        jobs.append(Job(f"{JOBS}:draw", arguments, (reads,), (path,)))
    return jobs


def list_measurements(
    preflight: Preflight, cell: Cell, pictures: Sequence[str], metrics: Sequence[Metric]
) -> list[Measurement]:
    """Return the measurements of one cell of the table: of each picture, then of the pairs.

    The cell gets the number of pictures now, and the results when they are read.
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

    keys = [Path(picture).stem for picture in pictures]
    single = [metric for metric in metrics if metric.of_picture is not None]
    measurements = []
    for key, picture in zip(keys, pictures, strict=True):
        both = {"photo": str(path), "picture": picture}
        of = {"photo": photo.sha256, "picture": key}
        measurements.append(plan("measure_picture", list(both.values()), both, single, **of))
    measurements += [
        plan("measure_pairs", pictures, {"pictures": list(pictures)}, [metric], pictures=keys)
        for metric in metrics
        if metric.of_pairs is not None
    ]
    return measurements


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
) -> None:
    """Write one picture, a PNG: step 1 by `model`, or the file `picture`; then steps 2 and on.

    `fine_tuned`: the model directory whose own weights of these steps are used, "" for released ones.
    """
    image = OurGAN.from_pretrained(model).sample(seed, width=width) if model else read_image(picture)
    upscaler = _upscaler(fine_tuned, json.dumps(super_resolution))
    write_image(out, upscaler.upscale(image, seed, steps_of(size)))


def measure_picture(photo: str, picture: str, results: Sequence[dict[str, Any]]) -> None:
    """Measure one picture of a photo; `results`: fields of each `Result`, whose "metric" says which."""
    original, image = _photo(photo), read_image(picture)
    for result in (Result(**fields) for fields in results):
        of_picture = find_metric(result.inputs["metric"]).of_picture
        assert of_picture is not None
        result.write(of_picture(original, image))


def measure_pairs(pictures: Sequence[str], results: Sequence[dict[str, Any]]) -> None:
    """Measure all pictures of one model against each other; `results`: as for `measure_picture`."""
    for result in (Result(**fields) for fields in results):
        of_pairs = find_metric(result.inputs["metric"]).of_pairs
        assert of_pairs is not None
        result.write(of_pairs([Path(picture) for picture in pictures]))


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


@functools.lru_cache(maxsize=1)
def _photo(path: str) -> Tensor:
    return read_image(path)

"""The benchmark's measurements: the jobs, what workers do for them, and the files of results."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan.benchmark.config import Preflight
from ourgan.benchmark.photo_sets import Photograph
from ourgan.benchmark.samples import hash_inputs
from ourgan.benchmark.table import Cell
from ourgan.benchmark.ways import NONE, Way
from ourgan.cluster import Job
from ourgan.io.pixels import from_uint8, to_uint8
from ourgan.io.read import read_image
from ourgan.metrics.registry import COPYING, Metric, by_measure, find_metric
from ourgan.projection.copying import CALIBRATION, calibration


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


def list_measurements(
    preflight: Preflight, cell: Cell, pictures: Sequence[str], metrics: Sequence[Metric]
) -> list[Measurement]:
    """Return the measurements of one cell of the table: of each picture, then of the pairs.

    The cell gets the number of pictures now, and the results when they are read.
    """
    photo, path = next(item for item in preflight.photos.items() if item[0].name == cell.photo)
    plan, keys = functools.partial(_plan, preflight, cell), [Path(picture).stem for picture in pictures]
    cell.count = len(pictures)
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


def calibrate_photo(preflight: Preflight, photo: Photograph) -> list[Measurement]:
    """Return the measurements of the pictures that calibrate the copy measure, each in a cell of its own."""
    path, measurements = str(preflight.photos[photo]), []
    for name in CALIBRATION:
        cell = Cell(photo.name, name, NONE, Way(NONE, NONE), count=1)
        arguments, of = {"photo": path, "picture": name}, {"photo": photo.sha256, "calibration": name}
        measurements.append(_plan(preflight, cell, "measure_calibration", [path], arguments, COPYING, **of))
    return measurements


def _plan(
    preflight: Preflight,
    cell: Cell,
    function: str,
    reads: Sequence[str],
    arguments: dict[str, Any],
    wanted: Sequence[Metric],
    **of: Any,
) -> Measurement:
    """Return the measurement of `wanted` metrics, whose results are named by what they are `of`."""
    inputs = [{"metric": metric.name, "version": metric.version, **of} for metric in wanted]
    results = [Result(str(preflight.out / "cells"), each) for each in inputs]
    missing = [result for result in results if not result.path.exists()]
    arguments = {**arguments, "results": [dataclasses.asdict(result) for result in missing]}
    outputs = tuple(str(result.path) for result in missing)
    job = Job(f"{__name__}:{function}", arguments, tuple(reads), outputs) if missing else None
    return Measurement(cell, results, job)


def measure_picture(photo: str, picture: str, results: Sequence[dict[str, Any]]) -> None:
    """Measure one picture of a photo; `results`: fields of each `Result`, whose "metric" says which."""
    _write_results(_photo(photo), read_image(picture), results)


def measure_calibration(photo: str, picture: str, results: Sequence[dict[str, Any]]) -> None:
    """Measure one of the pictures that calibrate the copy measure, by its name in `CALIBRATION`."""
    original = _photo(photo)
    _write_results(original, from_uint8(calibration(to_uint8(original))[picture]), results)


def _write_results(photo: Tensor, picture: Tensor, results: Sequence[dict[str, Any]]) -> None:
    wanted = {find_metric(result.inputs["metric"]): result for result in (Result(**f) for f in results)}
    for measure, metrics in by_measure(wanted).items():
        found = measure(photo, picture)
        for metric in metrics:
            wanted[metric].write(metric.read(found))


def measure_pairs(pictures: Sequence[str], results: Sequence[dict[str, Any]]) -> None:
    """Measure all pictures of one model against each other; `results`: as for `measure_picture`."""
    for result in (Result(**fields) for fields in results):
        of_pairs = find_metric(result.inputs["metric"]).of_pairs
        assert of_pairs is not None
        result.write(of_pairs([Path(picture) for picture in pictures]))


@functools.lru_cache(maxsize=1)
def _photo(path: str) -> Tensor:
    return read_image(path)

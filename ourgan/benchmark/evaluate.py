"""`ourgan evaluate`: all metrics of given pictures, and the reason for those that cannot be had."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm.auto import tqdm

from ourgan._core import files
from ourgan._core.errors import OurganError
from ourgan.io.formats import kind_of_file
from ourgan.io.pixels import from_uint8, to_uint8
from ourgan.io.read import read_image
from ourgan.metrics.layout import layout_size
from ourgan.metrics.registry import COPYING, METRICS, Metric, by_measure, copied
from ourgan.metrics.sifid import ImageTooSmall
from ourgan.projection.copying import calibration

DIGITS = 6


def evaluate(real: str | os.PathLike[str], samples: Sequence[str | os.PathLike[str]]) -> dict[str, Any]:
    """Compare samples with the photo they were learned from, and with each other.

    Args:
        real: the photo.
        samples: pictures of any size; LPIPS and ST-LPIPS need one size for all.

    Returns:
        A report in plain JSON values: the mean of each of `ourgan.metrics.registry.METRICS` (which says who
        is resized to what) over the samples or over their pairs; "samples" with the numbers of each sample.
        "calibration" has what the copy measure says of the photo itself, its mirror image, and its pixels
        shuffled. What cannot be had is None, and "absent" says why. Each image's file format is recorded: a
        SIFID that comes from PNG files elsewhere may be 1e-5 of this one (see `ourgan.metrics.sifid`).

    Raises:
        ImageError: A file is no picture; seen before anything is measured.
        OurganError: There are no samples.
    """
    if not samples:
        raise OurganError(f"no samples to compare with {real}: give at least one picture")
    photo, paths = read_image(real), [Path(sample) for sample in samples]
    for path in paths:
        read_image(path)
    absent = {metric.family: reason for metric in METRICS if (reason := metric.absent())}
    known = [metric for metric in METRICS if metric.family not in absent]
    measured = [
        _measure_sample(photo, path, known, absent) for path in tqdm(paths, desc="evaluate", unit="sample")
    ]
    means: dict[str, float | None] = {}
    for metric in METRICS:
        if metric.of_picture is not None:
            means[metric.key] = _mean([values[metric.key] for values in measured])
        else:
            means[metric.key] = _measure_pairs(metric, paths, absent)
    pictures = calibration(to_uint8(photo)).items()
    return {
        "real": str(real),
        "real_sha256": files.sha256(real),
        "real_format": kind_of_file(Path(real)),
        "size": list(layout_size(photo)),
        "unit": "8-bit levels",
        "samples": [
            {"sample": str(path), "format": kind_of_file(path), **values}
            for path, values in zip(paths, measured, strict=True)
        ],
        **means,
        "calibration": {
            name: _read(COPYING, copied(photo, from_uint8(picture)))
            for name, picture in tqdm(pictures, desc="calibrate", unit="picture")
        },
        "absent": absent,
    }


def _measure_sample(
    photo: Tensor, path: Path, known: Sequence[Metric], absent: dict[str, str]
) -> dict[str, float | None]:
    """Return the numbers of one sample, by `known` metrics; else None, and a reason in `absent`."""
    sample = read_image(path)
    values: dict[str, float | None] = {metric.key: None for metric in METRICS if metric.of_picture}
    for measure, metrics in by_measure(known).items():
        try:
            values |= _read(metrics, measure(photo, sample))
        except ImageTooSmall as error:
            absent |= {metric.key: f"{path}: {error}" for metric in metrics}
    return values


def _read(metrics: Sequence[Metric], found: Any) -> dict[str, float]:
    """Return the numbers of metrics that share a measure, which has returned `found`."""
    return {metric.key: round(metric.read(found), DIGITS) for metric in metrics}


def _measure_pairs(metric: Metric, samples: Sequence[Path], absent: dict[str, str]) -> float | None:
    """Return the mean over all pairs, or None and a reason."""
    if metric.of_pairs is None or metric.family in absent:
        return None
    try:
        return round(statistics.fmean(metric.of_pairs(samples)), DIGITS)
    except OurganError as error:  # a single sample, sizes that differ
        absent[metric.family] = str(error)
        return None


def _mean(values: Sequence[float | None]) -> float | None:
    """Return None if a value is missing: a mean over some samples would be another number."""
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), DIGITS) if len(known) == len(values) else None

"""One large picture made by many workers: each makes a range of its rows, and the ranges are put together.

The bands of `streaming` are exact from any row on, so the joined picture is the one that a single process
makes, pixel by pixel; above its first row every worker repeats the rows that the networks look at (349 of
the last step for RRDBNet), so ranges should be some hundred rows high. Workers with the same kind of
processor are assumed: others round differently.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ourgan._core import files
from ourgan._core.devices import dtype_name
from ourgan._core.errors import OurganError, check_choice
from ourgan.cluster import Job, run_jobs
from ourgan.config import SIZES
from ourgan.io.canvas import Canvas, check_output
from ourgan.io.model_dir import STRUCTURE
from ourgan.io.pixels import to_uint8
from ourgan.pipeline import OurGAN
from ourgan.upscale.schedule import Step, UpscalePlan, choose_plans, render_rows
from ourgan.upscale.upscaler import describe, identity

FUNCTION = "ourgan.upscale.parts:make_rows"


def synthesize_in_parts(
    model: str | os.PathLike[str],
    seed: int,
    size: str,
    out: str | os.PathLike[str],
    *,
    parts: int,
    width: int | None = None,
    cluster: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> Path:
    """`OurGAN.synthesize(seed, size, out, method="stream")` of a model directory, by `parts` jobs.

    Rows lie in a directory beside `out` until the picture is whole; a repeated call goes on from them.
    `cluster`, `workers`: see `ourgan.cluster.run_jobs`. Raises OurganError as `synthesize` does.
    """
    out, directory = Path(out).resolve(), Path(model).resolve()
    check_choice("size", size, SIZES)
    check_output(out, overwrite=overwrite)
    whole = OurGAN.from_pretrained(directory)
    scene = whole.sample(seed, width=width)
    factor = 4 ** SIZES[size]
    height, wide = scene.shape[1] * factor, scene.shape[2] * factor
    if not 1 <= parts <= height:
        raise OurganError(f"parts {parts}: use 1 to {height}, the picture's rows")
    plans = _plans(whole, size, scene.shape[1], scene.shape[2])
    dtype = dtype_name(plans[-1].step.dtype)
    record = whole.record(seed=seed, size=size, methods=[describe(plan) for plan in plans])
    made_of = identity(record, scene)
    known_by = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    rows = out.with_name(f".{out.name}.rows-{known_by}")
    rows.mkdir(exist_ok=True)
    if not (rows / "scene.npy").exists():
        _save(rows / "scene.npy", scene.numpy())
    arguments = {"model": str(directory), "seed": seed, "size": size, "dtype": dtype}
    jobs = _row_jobs(rows, directory, height, parts, arguments)
    run_jobs(jobs, cluster, workers=workers, title="rows")
    canvas = Canvas(out, height, wide, made_of, overwrite=overwrite)
    for job in jobs:
        canvas.append(np.load(job.outputs[0], mmap_mode="r"))
    canvas.finish(record | {"parts": parts})
    shutil.rmtree(rows)
    return out


def make_rows(
    scene: str, model: str, seed: int, size: str, dtype: str, first: int, last: int, out: str
) -> None:
    """Rows `first` to `last` of the picture of a scene, (n, W, 3) uint8, as .npy: one worker's part."""
    own = OurGAN.from_pretrained(model)
    own.super_resolution = dataclasses.replace(own.super_resolution, dtype=dtype)
    image = torch.from_numpy(np.load(scene))
    plans = _plans(own, size, image.shape[1], image.shape[2])
    pixels = np.empty((last - first, image.shape[2] * 4 ** SIZES[size], 3), np.uint8)
    done = 0
    for piece in render_rows(image, plans, seed)(first):
        piece = piece[:, : len(pixels) - done]
        pixels[done : done + piece.shape[1]] = to_uint8(piece)
        done += piece.shape[1]
        if done == len(pixels):
            break
    _save(Path(out), pixels)


def _plans(model: OurGAN, size: str, height: int, width: int) -> list[UpscalePlan]:
    steps = range(2, SIZES[size] + 2)
    return choose_plans(
        [Step(step, model.network(step)[0], model.super_resolution.noise_std) for step in steps],
        height,
        width,
        method="stream",
        overlap=model.super_resolution.overlap,
        budget_bytes=model.super_resolution.tile_memory_mb * 2**20,
    )[0]


def _row_jobs(rows: Path, directory: Path, height: int, parts: int, arguments: dict[str, Any]) -> list[Job]:
    edges = [height * part // parts for part in range(parts + 1)]
    scene = str(rows / "scene.npy")
    reads = (scene, str(directory / STRUCTURE))
    jobs = []
    for first, last in itertools.pairwise(edges):
        out = str(rows / f"{first:06d}-{last:06d}.npy")
        given = {**arguments, "scene": scene, "first": first, "last": last, "out": out}
        jobs.append(Job(FUNCTION, given, reads, (out,)))
    return jobs


def _save(path: Path, array: np.ndarray[Any, Any]) -> None:
    with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)

"""One large picture made by many workers: each makes a range of its rows.

Rows are the same wherever a run begins, so the joined picture is the one that a single process makes, pixel
by pixel. Above its first row every worker repeats the rows that the networks look at (349 of the last step
for RRDBNet), so ranges should be some hundred rows high. Workers with the same kind of processor are assumed:
others round differently.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ourgan._core.devices import dtype_name
from ourgan._core.errors import OurganError
from ourgan._core.files import atomic_path
from ourgan._core.strict_toml import from_dict, to_dict
from ourgan.cluster import Job, run_jobs
from ourgan.config import SuperResolutionConfig
from ourgan.io.pixels import to_uint8
from ourgan.upscale.bands import BandPlan
from ourgan.upscale.schedule import Layout, UpscalePlan
from ourgan.upscale.tiles import TilePlan
from ourgan.upscale.upscaler import Upscaler

FUNCTION = "ourgan.upscale.parts:make_rows"


@dataclass(frozen=True)
class Parts:
    """How many jobs share the rows of a picture, and who does them.

    Attributes:
        count: of the ranges into which the rows are cut.
        cluster: None for processes of this machine; else for Dask, see `ourgan.cluster.run_jobs`.
        workers: processes of this machine; None: one for each GPU, or for each core.
    """

    count: int
    cluster: str | None = None
    workers: int | None = None

    def rows(
        self,
        upscaler: Upscaler,
        scene: Float[Tensor, "3 h w"],
        seed: int,
        first: int = 0,
        *,
        plans: Sequence[UpscalePlan],
        directory: Path | None,
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield what `Upscaler.rows` yields, in 8 bits, made by jobs; those that are done are not done again.

        Args:
            upscaler: whose networks the workers load.
            scene: in [0, 1], what the first step upscales.
            seed: of the noise.
            first: the row of the picture to begin with: rows above it are safe elsewhere.
            plans: of all steps.
            directory: of the picture, which all workers must see; the scene and the rows lie below it.

        Yields:
            (n, W, 3) uint8.

        Raises:
            OurganError: without a directory, and for what a worker met.
        """
        if directory is None:
            raise OurganError("a picture in parts needs a file that its workers share: give out")
        height = scene.shape[1] * 4 ** len(plans)
        edges = [height * part // self.count for part in range(self.count + 1)]
        ranges = [(start, stop) for start, stop in itertools.pairwise(edges) if stop > first]
        if not ranges:
            return
        below = directory.resolve() / "rows"
        below.mkdir(exist_ok=True)
        if not (below / "scene.npy").exists():
            _save(below / "scene.npy", scene.numpy())
        jobs = [_job(upscaler, below, seed, plans, start, stop) for start, stop in ranges]
        run_jobs(jobs, self.cluster, workers=self.workers, title="rows")
        for (start, _), job in zip(ranges, jobs, strict=True):
            yield np.load(job.outputs[0], mmap_mode="r")[max(0, first - start) :]


@dataclass(frozen=True, eq=False)
class NetworkRows:
    """The rows of a picture that networks make of a scene, here or by workers.

    Attributes:
        upscaler: the networks.
        scene: in [0, 1], what the first step upscales.
        seed: of the noise.
        plans: of all steps.
        parts: None to make them here.
    """

    upscaler: Upscaler
    scene: Float[Tensor, "3 h w"]
    seed: int
    plans: Sequence[UpscalePlan]
    parts: Parts | None = None

    def describe(self) -> dict[str, Any]:
        """Return what decides the pixels beside scene and seed, see `Upscaler.describe`."""
        return self.upscaler.describe(self.plans)

    def rows(self, first: int, directory: Path | None, progress: bool) -> Iterator[NDArray[np.uint8]]:
        """Return the rows from `first` on, (n, W, 3) uint8; see `Upscaler.rows` and `Parts.rows`."""
        upscaler, scene, seed, plans = self.upscaler, self.scene, self.seed, self.plans
        if self.parts is None:
            return map(to_uint8, upscaler.rows(scene, seed, first, plans=plans, progress=progress))
        return self.parts.rows(upscaler, scene, seed, first, plans=plans, directory=directory)


def _job(
    upscaler: Upscaler, directory: Path, seed: int, plans: Sequence[UpscalePlan], first: int, last: int
) -> Job:
    scene, out = str(directory / "scene.npy"), str(directory / f"{first:06d}-{last:06d}.npy")
    fine_tuned = {str(step): str(path.resolve()) for step, path in upscaler.fine_tuned.items()}
    arguments: dict[str, Any] = {
        "scene": scene,
        # With the type that "auto" stands for here: workers with other processors would choose another.
        "super_resolution": to_dict(upscaler.settings) | {"dtype": dtype_name(plans[0].step.dtype)},
        "fine_tuned": fine_tuned,
        "seed": seed,
        "layouts": {str(plan.step.number): to_dict(plan.layout) for plan in plans},
        "first": first,
        "last": last,
        "out": out,
    }
    return Job(FUNCTION, arguments, (scene, *fine_tuned.values()), (out,))


def make_rows(
    scene: str,
    super_resolution: dict[str, Any],
    fine_tuned: dict[str, str],
    seed: int,
    layouts: dict[str, dict[str, int]],
    first: int,
    last: int,
    out: str,
) -> None:
    """Make the rows `first` to `last` of the picture of a scene: one worker's part.

    Args:
        scene: file of a NumPy array (3, h, w) in [0, 1].
        super_resolution: the settings of an upscaler.
        fine_tuned: files with the weights of fine-tuned steps.
        seed: of the noise.
        layouts: of each step by its number: the fields of its bands or tiles.
        first: row of the picture.
        last: the row after the last one.
        out: file for the rows, (n, W, 3) uint8 as a NumPy array.
    """
    settings = from_dict(SuperResolutionConfig, super_resolution, "the job")
    upscaler = Upscaler(settings, {int(step): Path(path) for step, path in fine_tuned.items()})
    image = torch.from_numpy(np.load(scene))
    plans = []
    for number, sizes in layouts.items():
        layout: Layout = BandPlan(**sizes) if "band" in sizes else TilePlan(**sizes)
        plans.append(UpscalePlan(upscaler.step(int(number)), layout))
    pixels = np.empty((last - first, image.shape[2] * 4 ** len(plans), 3), np.uint8)
    filled = 0
    for piece in upscaler.rows(image, seed, first, plans=plans):
        piece = piece[:, : len(pixels) - filled]
        pixels[filled : filled + piece.shape[1]] = to_uint8(piece)
        filled += piece.shape[1]
        if filled == len(pixels):
            break
    _save(Path(out), pixels)


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)

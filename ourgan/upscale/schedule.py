"""Steps of x4 chained row by row: each draws on the rows of the step before and keeps only what it needs.

No step's picture ever exists as a whole, so memory depends on the width alone, and a picture can be drawn
from any row on: what stopped goes on from there, with the rows above that the networks look at.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.bands import BANDS, StreamingError, band_bytes, upscale_in_bands
from ourgan.upscale.receptive_field import theoretical
from ourgan.upscale.tiles import MemoryLimit, TilePlan, add_noise, choose_tile_plan, upscale_tile

Network = RRDBNet | SwinIR

# Bytes for each output pixel on a CPU, an upper bound: three maps of 64 channels at full resolution, the
# enlarged, the convolved and one that a library reorders. Where none is reordered, as with channels_last,
# benchmarks/super_resolution.py measures about half of it. The tail is the same in both networks.
BYTES_PER_OUTPUT_PIXEL = {torch.bfloat16: 450, torch.float32: 900}

RowSource = Callable[[int], Iterator[Tensor]]
"""Rows of an image from a given one on, in pieces (3, n, W)."""


@dataclass(frozen=True)
class Step:
    """One step of x4: its network and the noise of Eq. 4; `number`: the paper's number, 2 to 4."""

    number: int
    network: Network
    noise_std: float

    @property
    def dtype(self) -> torch.dtype:
        """Of the computation."""
        return next(self.network.parameters()).dtype

    def noisy(self, source: RowSource, seed: int, first: int) -> Iterator[Tensor]:
        """The rows of `source` from `first` on, with their noise."""
        for piece in source(first):
            yield add_noise(piece, seed, self.number, self.noise_std, top=first)
            first += piece.shape[1]


@dataclass(frozen=True)
class BandPlan:
    """A step in exact bands of `band` LR rows, for an image of `height` x `width` LR pixels."""

    step: Step
    height: int
    width: int
    band: int

    def rows(self, source: RowSource, seed: int, first: int) -> Iterator[Tensor]:
        """Rows of the upscaled image from `first` on, in [0, 1]; bit for bit those of a run from the top."""
        # The rows that the network reaches, and one band more: the first band below a border, here a false
        # one, has another shape than later ones, and another shape may round differently.
        start = max(0, first // 4 - theoretical(self.step.network).reach)
        start = max(0, start - start % self.band - self.band)
        position = 4 * start
        noisy = self.step.noisy(source, seed, start)
        for piece in upscale_in_bands(
            self.step.network, noisy, self.height - start, self.width, band=self.band
        ):
            above = max(0, first - position)
            position += piece.shape[1]
            if position > first:
                yield piece[:, above:].clamp_(0, 1)


@dataclass(frozen=True)
class Tiles:
    """A step in subregions (Eq. 4 to 7), a row of them at a time."""

    step: Step
    plan: TilePlan

    def rows(self, source: RowSource, seed: int, first: int) -> Iterator[Tensor]:
        """Rows of the upscaled image from `first` on, in [0, 1]."""
        plan = self.plan
        tiles = [tile for tile in plan.tiles() if plan.scale * tile.bottom > first]
        base, limit = tiles[0].outer[0], MemoryLimit()
        noisy, held = self.step.noisy(source, seed, base), torch.empty(3, 0, plan.width)
        for top, row in itertools.groupby(tiles, key=lambda tile: tile.top):
            for index, tile in enumerate(row):
                outer_top, outer_left, outer_bottom, outer_right = tile.outer
                if index == 0:
                    held, base = held[:, outer_top - base :], outer_top
                    while base + held.shape[1] < outer_bottom:
                        held = torch.cat([held, next(noisy)], 1)
                    upscaled = torch.empty(3, plan.scale * (tile.bottom - top), plan.scale * plan.width)
                subregion = held[:, : outer_bottom - base, outer_left:outer_right]
                pixels = upscale_tile(self.step.network, subregion, tile, plan, limit=limit)
                upscaled[:, :, plan.scale * tile.left : plan.scale * tile.right] = pixels
            yield upscaled[:, max(0, first - plan.scale * top) :].clamp_(0, 1)


UpscalePlan = BandPlan | Tiles


def bytes_needed(plans: Sequence[UpscalePlan]) -> int:
    """What chained steps are expected to hold at once on a CPU, beside the networks."""
    # Bands keep their rows from one band to the next; of tiles there is one at a time.
    bands = [plan for plan in plans if isinstance(plan, BandPlan)]
    tiles = [
        max((bottom - top) * (right - left) for top, left, bottom, right in (t.outer for t in cut.tiles()))
        * cut.scale**2
        * BYTES_PER_OUTPUT_PIXEL[plan.step.dtype]
        for plan in plans
        if isinstance(plan, Tiles)
        for cut in (plan.plan,)
    ]
    held = sum(band_bytes(plan.step.network, plan.width, plan.band, plan.step.dtype) for plan in bands)
    return held + max(tiles, default=0)


def choose_plans(
    steps: Sequence[Step], height: int, width: int, *, method: str, overlap: int, budget_bytes: int
) -> tuple[list[UpscalePlan], str]:
    """How each step is computed for an image of `height` x `width` before the first, and why.

    `method`: "stream", "tile", or "auto"; `budget_bytes`: for what all steps hold at once, beside the
    networks. Raises StreamingError or TilingError if nothing of that method fits.
    """
    if method in ("auto", "stream"):
        try:
            band = _band(steps, width, budget_bytes)
        except StreamingError as error:
            if method == "stream":
                raise
            return _tiles(steps, height, width, overlap, budget_bytes), f"tiles, because {error}"
        plans = [BandPlan(s, height * 4**n, width * 4**n, band) for n, s in enumerate(steps)]
        return list(plans), f"bands of {band} rows: no seam, nothing computed twice"
    return _tiles(steps, height, width, overlap, budget_bytes), "tiles, as asked for"


def bytes_in_bands(steps: Sequence[Step], width: int, band: int) -> int:
    """What chained steps hold beside the networks, for an image of this width before the first."""
    return sum(band_bytes(s.network, width * 4**n, band, s.dtype) for n, s in enumerate(steps))


def _band(steps: Sequence[Step], width: int, budget_bytes: int) -> int:
    for band in BANDS:
        needed = bytes_in_bands(steps, width, band)
        if needed <= budget_bytes:
            return band
    wide = 4 ** (len(steps) - 1) * width
    raise StreamingError(
        f"bands of {BANDS[-1]} rows {wide} pixels wide need {needed / 2**20:,.0f} MiB in "
        f"{steps[-1].dtype}, {max(0, budget_bytes) / 2**20:,.0f} MiB are left of the budget"
    )


def _tiles(
    steps: Sequence[Step], height: int, width: int, overlap: int, budget_bytes: int
) -> list[UpscalePlan]:
    return [
        Tiles(step, tile_plan(step, height * 4**n, width * 4**n, overlap, budget_bytes))
        for n, step in enumerate(steps)
    ]


def tile_plan(step: Step, height: int, width: int, overlap: int, budget_bytes: int) -> TilePlan:
    """How a step's image of `height` x `width` LR pixels is cut."""
    multiple = step.network.size_multiple
    return choose_tile_plan(
        height,
        width,
        scale=step.network.scale,
        overlap=overlap + -overlap % multiple,
        budget_bytes=budget_bytes,
        bytes_per_output_pixel=BYTES_PER_OUTPUT_PIXEL[step.dtype],
        size_multiple=multiple,
    )


def render_rows(
    image: Tensor, plans: Sequence[UpscalePlan], seed: int, bar: tqdm[Any] | None = None
) -> RowSource:
    """The rows that `plans` make of `image` (3, H, W) in [0, 1]: 4^n as wide and high, in [0, 1].

    `bar`: told how many rows the last step has read.
    """

    def of_image(first: int) -> Iterator[Tensor]:
        yield image[:, first:]

    def counted(source: RowSource, first: int) -> Iterator[Tensor]:
        if bar is not None:
            bar.update(first - bar.n)
        for piece in source(first):
            yield piece
            if bar is not None:
                bar.update(piece.shape[1])

    source: RowSource = of_image
    for plan in plans[:-1]:
        source = functools.partial(plan.rows, source, seed)
    return functools.partial(plans[-1].rows, functools.partial(counted, source), seed)

"""How steps of x4 are computed: in bands or in tiles, within which memory, and chained row by row.

Each step draws on the rows of the step before and keeps only what it needs. No step's picture ever exists as
a whole, so memory depends on the width alone, and a picture can be drawn from any row on: what stopped goes
on from there, with the rows above that the networks look at.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.banded_network import StreamingError
from ourgan.upscale.bands import BandPlan, band_bytes, upscale_in_bands
from ourgan.upscale.line_buffers import RowSource
from ourgan.upscale.noise import add_noise
from ourgan.upscale.tiles import TilePlan, TilingError, choose_tile_plan
from ourgan.upscale.tiles_ops import upscale_in_tiles

Network = RRDBNet | SwinIR
Layout = BandPlan | TilePlan

BANDS = (64, 48, 32, 24, 16, 8)  # heights worth trying, where memory decides
# Bytes for each output pixel of a tile on a CPU, an upper bound: three maps of 64 channels at full resolution
# (enlarged, convolved, and reordered by a library). Where none is reordered, as with channels_last,
# benchmarks/super_resolution.py measures about half of it. The tail is the same in both networks.
BYTES_PER_OUTPUT_PIXEL = {torch.bfloat16: 450, torch.float32: 900}


def upscale_rows(
    network: torch.nn.Module, source: RowSource, layout: Layout, first: int = 0
) -> Iterator[Float[Tensor, "3 _ rw"]]:
    """Upscale the rows of `source` as `layout` says, from the upscaled row `first` on; not clamped.

    See `upscale_in_bands` and `upscale_in_tiles`, of which this is one.
    """
    if isinstance(layout, BandPlan):
        return upscale_in_bands(network, source, layout, first)
    return upscale_in_tiles(network, source, layout, first)


def upscale(
    network: torch.nn.Module, image: Float[Tensor, "3 h w"], layout: Layout
) -> Float[Tensor, "3 H W"]:
    """Upscale a whole image, without noise: Eq. 4 to 7 in tiles, Eq. 5 at once in bands.

    Args:
        network: runs on its own device and in its own type.
        image: low resolution, in [0, 1].
        layout: how the image is cut, for an image of this size.

    Returns:
        Float32 on the CPU, r times as high and wide, not clamped.

    Raises:
        TilingError: if the layout is for another size, or a tile goes wrong.
        StreamingError: if a band does.
    """
    if image.shape[1:] != (layout.height, layout.width):
        raise TilingError(
            f"the plan is for {layout.height}x{layout.width} pixels, the image {tuple(image.shape)}"
        )
    return torch.cat(list(upscale_rows(network, functools.partial(rows_of, image), layout)), 1)


def rows_of(image: Float[Tensor, "3 h w"], first: int) -> Iterator[Float[Tensor, "3 _ w"]]:
    """Yield the rows of an image from `first` on, in one piece: with an image, it is a `RowSource`."""
    yield image[:, first:]


@dataclass(frozen=True)
class Step:
    """One step of x4.

    Attributes:
        number: the paper's, 2 to 4.
        network: that upscales; runs on its own device and in its own type.
        noise_std: of z in Eq. 4, on images in [0, 1].
    """

    number: int
    network: Network
    noise_std: float

    @property
    def dtype(self) -> torch.dtype:
        """Type of the computation."""
        return next(self.network.parameters()).dtype


@dataclass(frozen=True)
class UpscalePlan:
    """How a step is computed for an image of one size: its network and noise, in bands or in tiles."""

    step: Step
    layout: Layout

    def rows(self, source: RowSource, seed: int, first: int) -> Iterator[Float[Tensor, "3 _ rw"]]:
        """Yield the rows of the upscaled image, in [0, 1], bit for bit those of a run from the top.

        Args:
            source: gives the rows of the low-resolution image, (3, n, w) in [0, 1], from a given one on.
            seed: of the noise z of Eq. 4, which is added to the whole image before it is cut.
            first: the row of the upscaled image to begin with.

        Yields:
            The rows from `first` on, (3, n, 4 w) float32 on the CPU.

        Raises:
            StreamingError: see `upscale_in_bands`.
            TilingError: see `upscale_in_tiles`.
        """

        def noisy(start: int) -> Iterator[Tensor]:
            for piece in source(start):
                yield add_noise(piece, seed, self.step.number, self.step.noise_std, top=start)
                start += piece.shape[1]

        for piece in upscale_rows(self.step.network, noisy, self.layout, first):
            yield piece.clamp_(0, 1)

    def describe(self) -> str:
        """Return how the step is computed, for the record of a picture."""
        layout, dtype = self.layout, self.step.dtype
        if isinstance(layout, BandPlan):
            return f"bands of {layout.band} rows in {dtype}"
        return f"tiles of {layout.tile_height}x{layout.tile_width}, overlap {layout.overlap}, in {dtype}"


def render_rows(
    image: Float[Tensor, "3 h w"],
    plans: Sequence[UpscalePlan],
    seed: int,
    first: int = 0,
    bar: tqdm[Any] | None = None,
) -> Iterator[Float[Tensor, "3 _ W"]]:
    """Chain steps of x4 and yield the rows of the last one's picture, in [0, 1].

    Args:
        image: in [0, 1], what the first step upscales.
        plans: how each step is computed; each is for the picture of the one before.
        seed: of the noise.
        first: the row of the last picture to begin with.
        bar: shows how many rows the last step has read: bands deliver theirs late.
    """

    def counted(source: RowSource, start: int) -> Iterator[Tensor]:
        if bar is not None:
            bar.update(start - bar.n)
        for piece in source(start):
            yield piece
            if bar is not None:
                bar.update(piece.shape[1])

    source: RowSource = functools.partial(rows_of, image)
    for plan in plans[:-1]:
        source = functools.partial(plan.rows, source, seed)
    return plans[-1].rows(functools.partial(counted, source), seed, first)


def choose_plans(
    steps: Sequence[Step], height: int, width: int, *, method: str, overlap: int, budget_bytes: int
) -> tuple[list[UpscalePlan], str]:
    """Return how each step is computed, and why.

    Args:
        steps: chained, in their order.
        height: of the image that the first one upscales.
        width: of the same.
        method: "stream", bands; "tile"; or "auto", bands if they fit.
        overlap: of tiles, LR pixels.
        budget_bytes: for what all steps hold at once, beside the networks.

    Raises:
        StreamingError: if no band fits.
        TilingError: if no tile fits.
    """
    if method in ("auto", "stream"):
        try:
            band = _choose_band(steps, width, budget_bytes)
        except StreamingError as error:
            if method == "stream":
                raise
            return _in_tiles(steps, height, width, overlap, budget_bytes), f"tiles, because {error}"
        plans = [
            UpscalePlan(step, BandPlan(height * 4**n, width * 4**n, band)) for n, step in enumerate(steps)
        ]
        return plans, f"bands of {band} rows: no seam, nothing computed twice"
    return _in_tiles(steps, height, width, overlap, budget_bytes), "tiles, as asked for"


def _choose_band(steps: Sequence[Step], width: int, budget_bytes: int) -> int:
    for band in BANDS:
        needed = bytes_in_bands(steps, width, band)
        if needed <= budget_bytes:
            return band
    wide = 4 ** (len(steps) - 1) * width
    raise StreamingError(
        f"bands of {BANDS[-1]} rows {wide} pixels wide need {needed / 2**20:,.0f} MiB in "
        f"{steps[-1].dtype}, {max(0, budget_bytes) / 2**20:,.0f} MiB are left of the budget"
    )


def _in_tiles(
    steps: Sequence[Step], height: int, width: int, overlap: int, budget_bytes: int
) -> list[UpscalePlan]:
    plans = []
    for n, step in enumerate(steps):
        multiple = step.network.size_multiple
        layout = choose_tile_plan(
            height * 4**n,
            width * 4**n,
            scale=step.network.scale,
            overlap=overlap + -overlap % multiple,
            budget_bytes=budget_bytes,
            bytes_per_output_pixel=BYTES_PER_OUTPUT_PIXEL[step.dtype],
            size_multiple=multiple,
        )
        plans.append(UpscalePlan(step, layout))
    return plans


def bytes_in_bands(steps: Sequence[Step], width: int, band: int) -> int:
    """Return what chained steps hold beside the networks in bands, for an image of this width at first."""
    return sum(band_bytes(step.network, width * 4**n, band) for n, step in enumerate(steps))


def bytes_needed(plans: Sequence[UpscalePlan]) -> int:
    """Return the bytes that chained steps are expected to hold at once on a CPU, beside the networks."""
    # Bands keep their rows from one band to the next; of tiles there is one at a time.
    bands, largest_tile = 0, 0
    for plan in plans:
        if isinstance(plan.layout, BandPlan):
            bands += band_bytes(plan.step.network, plan.layout.width, plan.layout.band)
        else:
            needed = plan.layout.largest_tile * BYTES_PER_OUTPUT_PIXEL[plan.step.dtype]
            largest_tile = max(largest_tile, needed)
    return bands + largest_tile

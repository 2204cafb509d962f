"""Subregion-wise super-resolution: split, upscale, trim, concatenate (Sec. 3.3, Eq. 4 to 8, Fig. 6).

The overlap is clipped at the true border of the image: there a convolution's zero padding is what the
whole image meets as well, and anything put in its place would change the result. So the shape of
Eq. 5 is that of inner subregions; those at the border are smaller.
"""

from __future__ import annotations

import logging
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ourgan._core.errors import OurganError
from ourgan.upscale.noise import noise_field

log = logging.getLogger(__name__)

SMALLEST = 16  # LR pixels: a side that is not halved any more


class TilingError(OurganError):
    """A plan that cannot work, or a subregion that went wrong."""


@dataclass
class MemoryLimit:
    """What a run has learnt: subregions of `too_large` LR pixels, overlap included, do not fit."""

    too_large: float = math.inf


@dataclass(frozen=True)
class Tile:
    """A subregion of the low-resolution image, `[top, bottom) x [left, right)` in pixels.

    `outer`: (top, left, bottom, right) with the overlap, as the network sees it.
    """

    top: int
    left: int
    bottom: int
    right: int
    outer: tuple[int, int, int, int]


@dataclass(frozen=True)
class TilePlan:
    """How an image of `height` x `width` LR pixels is cut; K = ceil(H / h) x ceil(W / w) subregions (Eq. 4).

    `tile_height`, `tile_width`: h and w; `overlap`: alpha, on every side that has a neighbour; `scale`: r;
    `size_multiple`: where a tile may begin and end within the image, 8 for SwinIR, whose windows would
    otherwise lie elsewhere than in the whole image. Raises TilingError for sizes that do not obey it.
    """

    height: int
    width: int
    tile_height: int
    tile_width: int
    overlap: int
    scale: int = 4
    size_multiple: int = 1

    def __post_init__(self) -> None:
        if (
            min(self.height, self.width, self.tile_height, self.tile_width, self.scale, self.size_multiple)
            < 1
        ):
            raise TilingError(f"{self}: every size has to be at least 1")
        if self.overlap < 0:
            raise TilingError(f"the overlap is {self.overlap}; it cannot be negative")
        for name in ("tile_height", "tile_width", "overlap"):
            value = getattr(self, name)
            if value % self.size_multiple:
                near = value + -value % self.size_multiple
                raise TilingError(f"{name} {value} is not a multiple of {self.size_multiple}; use {near}")

    @property
    def rows(self) -> int:
        """ceil(H / h)."""
        return math.ceil(self.height / self.tile_height)

    @property
    def columns(self) -> int:
        """ceil(W / w)."""
        return math.ceil(self.width / self.tile_width)

    def tiles(self) -> Iterator[Tile]:
        """The K subregions, row by row."""
        rows = _spans(self.height, self.tile_height, self.overlap)
        columns = _spans(self.width, self.tile_width, self.overlap)
        for top, bottom, outer_top, outer_bottom in rows:
            for left, right, outer_left, outer_right in columns:
                yield Tile(top, left, bottom, right, (outer_top, outer_left, outer_bottom, outer_right))


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """(start, stop, start with overlap, stop with overlap) of each tile along one axis."""
    spans = []
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        spans.append((start, stop, max(0, start - overlap), min(length, stop + overlap)))
    return spans


def add_noise(image: Tensor, seed: int, step: int, std: float, *, top: int = 0, left: int = 0) -> Tensor:
    """The image (3, H, W) in [0, 1] plus z of Eq. 4, before it is split; `std` on the same range.

    `top`, `left`: where in the whole image it lies, if it is a window of it. Without noise, the image itself.
    """
    if not std:
        return image
    height, width = image.shape[1:]
    noise = noise_field(seed, step, height, width, top=top, left=left, device=image.device)
    return image + std * noise.to(image.dtype)


def split(image: Tensor, plan: TilePlan) -> Iterator[tuple[Tile, Tensor]]:
    """The overlapping subregions s_i of Eq. 4, as views (3, up to h + 2 alpha, up to w + 2 alpha)."""
    if image.shape[1:] != (plan.height, plan.width):
        raise TilingError(
            f"the plan is for {plan.height}x{plan.width} pixels, the image {tuple(image.shape)}"
        )
    for tile in plan.tiles():
        top, left, bottom, right = tile.outer
        yield tile, image[:, top:bottom, left:right]


def trim(upscaled: Tensor, tile: Tile, scale: int) -> Tensor:
    """The upscaled subregion without its overlap, a view (3, rh, rw): Eq. 6."""
    top, left = (tile.top - tile.outer[0]) * scale, (tile.left - tile.outer[1]) * scale
    height, width = (tile.bottom - tile.top) * scale, (tile.right - tile.left) * scale
    return upscaled[:, top : top + height, left : left + width]


def concat(trimmed: Iterable[tuple[Tile, Tensor]], plan: TilePlan) -> Tensor:
    """Lay trimmed subregions into one image, (3, rH, rW) float32 on the CPU: Eq. 7."""
    r = plan.scale
    image = torch.empty(3, plan.height * r, plan.width * r)
    for tile, pixels in trimmed:
        image[:, tile.top * r : tile.bottom * r, tile.left * r : tile.right * r] = pixels
    return image


def upscale(
    network: nn.Module,
    image: Tensor,
    plan: TilePlan,
    *,
    progress: bool = True,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Upscale the image (3, H, W) in [0, 1] subregion by subregion: Eq. 4 to 7, without the noise.

    Each subregion runs on the network's device in `dtype` (default: the network's own). Returns
    (3, rH, rW) float32 on the CPU, not clamped. TilingError if a subregion comes out with another shape or
    with values that are not finite.
    """
    return concat(upscaled_tiles(network, image, plan, progress=progress, dtype=dtype), plan)


def upscaled_tiles(
    network: nn.Module,
    image: Tensor,
    plan: TilePlan,
    *,
    progress: bool = True,
    dtype: torch.dtype | None = None,
) -> Iterator[tuple[Tile, Tensor]]:
    """Each subregion of the plan, upscaled and trimmed, float32 on the CPU (Eq. 5 and 6); see `upscale`."""
    limit = MemoryLimit()
    subregions = tqdm(
        split(image, plan), total=plan.rows * plan.columns, desc="upscale", unit="tile", disable=not progress
    )
    for tile, subregion in subregions:
        yield tile, upscale_tile(network, subregion, tile, plan, dtype, limit=limit)


@torch.no_grad()
def upscale_tile(
    network: nn.Module,
    subregion: Tensor,
    tile: Tile,
    plan: TilePlan,
    dtype: torch.dtype | None = None,
    *,
    limit: MemoryLimit | None = None,
) -> Tensor:
    """One subregion (3, h + 2 alpha, w + 2 alpha), upscaled and trimmed: (3, rh, rw) float32 on the CPU.

    If the memory does not suffice, it is halved until it does, with the same overlap; TilingError if that
    does not help. Whatever else goes wrong is raised: a tile is never left out and never another's pixels.
    `limit`: shared by the tiles of a run, so that later ones begin with a size that fits.
    """
    limit = limit or MemoryLimit()
    halves, pixels = _halves(tile, plan), subregion.shape[1] * subregion.shape[2]
    if halves is None or pixels < limit.too_large:
        try:
            return _evaluate(network, subregion, tile, plan.scale, dtype)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            reason = str(error)
        # Not within the handler, whose traceback holds on to all that was computed.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if halves is None:
            raise _does_not_fit(tile, plan, reason)
        if limit.too_large == math.inf:
            log.warning("%s: out of memory, halved; so are later ones of that size", tile)
        limit.too_large = pixels
    image = torch.empty(3, *(plan.scale * n for n in (tile.bottom - tile.top, tile.right - tile.left)))
    for half in halves:
        (top, left, bottom, right), (y, x, _, _) = half.outer, tile.outer
        part = upscale_tile(
            network, subregion[:, top - y : bottom - y, left - x : right - x], half, plan, dtype, limit=limit
        )
        y, x = (half.top - tile.top) * plan.scale, (half.left - tile.left) * plan.scale
        image[:, y : y + part.shape[1], x : x + part.shape[2]] = part
    return image


def _evaluate(
    network: nn.Module, subregion: Tensor, tile: Tile, scale: int, dtype: torch.dtype | None
) -> Tensor:
    parameter = next(network.parameters())
    dtype = dtype or parameter.dtype
    upscaled: Tensor = network(subregion.to(parameter.device, dtype)[None])[0]
    came, expected = tuple(upscaled.shape[1:]), tuple(size * scale for size in subregion.shape[1:])
    if came != expected:
        raise TilingError(f"{tile} came out as {came}, not {expected}; check scale")
    if not upscaled.isfinite().all():
        # Pasting it would leave a black rectangle in a picture that took hours.
        raise TilingError(f"{tile} has values that are not finite in {dtype}; try bfloat16 or float32")
    return trim(upscaled, tile, scale).float().cpu()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _does_not_fit(tile: Tile, plan: TilePlan, reason: str) -> TilingError:
    found = re.search(r"tried to allocate ([\d.]+ \w+)", reason, re.IGNORECASE)
    asked = f" ({found[1]} were asked for)" if found else ""
    return TilingError(
        f"a subregion of {tile.bottom - tile.top}x{tile.right - tile.left} pixels with an overlap of "
        f"{plan.overlap} does not fit into memory{asked} and cannot be halved any more; use a smaller "
        "--memory-budget, a smaller overlap or another device"
    )


def _halves(tile: Tile, plan: TilePlan) -> tuple[Tile, Tile] | None:
    """The tile in two along its longer side, each with the plan's overlap as far as the tile's own goes."""
    top, left, bottom, right = tile.top, tile.left, tile.bottom, tile.right
    outer_top, outer_left, outer_bottom, outer_right = tile.outer
    tall = bottom - top >= right - left
    start, stop = (top, bottom) if tall else (left, right)
    middle = (start + stop) // 2
    middle -= middle % plan.size_multiple
    if middle <= start or stop - start < SMALLEST:
        return None
    before, after = middle + plan.overlap, middle - plan.overlap
    if tall:
        return (
            Tile(top, left, middle, right, (outer_top, outer_left, min(before, outer_bottom), outer_right)),
            Tile(middle, left, bottom, right, (max(after, outer_top), outer_left, outer_bottom, outer_right)),
        )
    return (
        Tile(top, left, bottom, middle, (outer_top, outer_left, outer_bottom, min(before, outer_right))),
        Tile(top, middle, bottom, right, (outer_top, max(after, outer_left), outer_bottom, outer_right)),
    )


def tile_cost(height: int, width: int, scale: int, overlap: int) -> int:
    """Output pixels computed for one inner tile: Eq. 8, r^2 (h + 2 alpha)(w + 2 alpha).

    Expanded: r^2 hw + 2 r^2 (h + w) alpha + 4 r^2 alpha^2. The paper prints 4 r^2 (h + w) alpha in the
    middle, and its numbers come from 1 r^2 (h + w) alpha. For h = 270, w = 512, r = 4:

        alpha = 324: 16 x 918 x 1,160 = 17,038,080   (printed: 12.98 M)
        alpha =  24: 16 x 318 x   560 =  2,849,280   (printed:  2.55 M)
        ratio:                           5.98        (printed:  5.09)
    """
    return scale**2 * (height + 2 * overlap) * (width + 2 * overlap)


@dataclass(frozen=True)
class _Cut:
    """One way to cut an axis: the tile, the longest span with overlap, their sum, and their number."""

    tile: int
    longest: int
    total: int
    count: int


def choose_tile_plan(
    height: int,
    width: int,
    *,
    scale: int = 4,
    overlap: int,
    budget_bytes: int,
    bytes_per_output_pixel: float,
    size_multiple: int = 1,
) -> TilePlan:
    """The plan that computes the fewest pixels twice, with every tile within the budget.

    A tile is taken to need `bytes_per_output_pixel` for each pixel of Eq. 8 (measured, it depends on the
    network, the data type and the device). Raises TilingError if even the smallest tile is too large.
    """
    rows, columns = _cuts(height, overlap, size_multiple), _cuts(width, overlap, size_multiple)
    allowed = budget_bytes / bytes_per_output_pixel / scale**2
    # The cuts are sorted, so the last column cut that fits beside a row cut is the best one for it.
    counts = [bisect_right(columns, allowed / row.longest, key=lambda cut: cut.longest) for row in rows]
    fitting = [(row, columns[count - 1]) for row, count in zip(rows, counts, strict=True) if count]
    if not fitting:
        needed = math.ceil(rows[0].longest * columns[0].longest * scale**2 * bytes_per_output_pixel)
        raise TilingError(
            f"the smallest tile with an overlap of {overlap} needs {needed:,} bytes, the budget is "
            f"{budget_bytes:,}; raise the budget or lower the overlap"
        )
    # Of equal areas the fewest tiles, because each call of the network costs something too.
    row, column = min(fitting, key=lambda cut: (cut[0].total * cut[1].total, cut[0].count * cut[1].count))
    return TilePlan(height, width, row.tile, column.tile, overlap, scale, size_multiple)


def _cuts(length: int, overlap: int, size_multiple: int) -> list[_Cut]:
    """The cuts of an axis worth considering: each longer one computes less, or the same in fewer tiles."""
    cuts = []
    for tile in range(size_multiple, length + size_multiple, size_multiple):
        spans = [stop - start for _, _, start, stop in _spans(length, tile, overlap)]
        cuts.append(_Cut(tile, max(spans), sum(spans), len(spans)))
    cuts.sort(key=lambda cut: (cut.longest, cut.total, cut.count, cut.tile))
    best: list[_Cut] = []
    for cut in cuts:
        if not best or (cut.total, cut.count) < (best[-1].total, best[-1].count):
            best.append(cut)
    return best

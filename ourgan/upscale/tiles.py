"""How an image is cut into tiles, and what that costs (Sec. 3.3, Eq. 4 and 6 to 8, Fig. 6).

A tile, the paper's subregion, is split off with an overlap, upscaled (`tiles_ops`), trimmed and concatenated.
The overlap is clipped at the true border of the image: there a convolution's zero padding is what the whole
image meets as well. So the shape of Eq. 5 is that of inner tiles; those at the border are smaller.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ourgan._core.errors import OurganError


class TilingError(OurganError):
    """A plan that cannot work, or a tile that went wrong."""


@dataclass(frozen=True)
class Tile:
    """A part of the low-resolution image, `[top, bottom) x [left, right)` in pixels.

    Attributes:
        outer: (top, left, bottom, right) with the overlap, as the network sees it.
    """

    top: int
    left: int
    bottom: int
    right: int
    outer: tuple[int, int, int, int]


@dataclass(frozen=True)
class TilePlan:
    """How an image is cut into K = ceil(H / h) x ceil(W / w) tiles (Eq. 4).

    Attributes:
        height: H, of the low-resolution image, in its pixels as all that follows.
        width: W.
        tile_height: h, without the overlap.
        tile_width: w.
        overlap: alpha, on every side that has a neighbour.
        scale: r, by which the network upscales.
        size_multiple: where a tile may begin and end within the image: 8 for SwinIR, whose windows would
            otherwise lie elsewhere than in the whole image.

    Raises:
        TilingError: for sizes that do not obey it.
    """

    height: int
    width: int
    tile_height: int
    tile_width: int
    overlap: int
    scale: int = 4
    size_multiple: int = 1

    def __post_init__(self) -> None:
        sizes = (self.height, self.width, self.tile_height, self.tile_width, self.scale, self.size_multiple)
        if min(sizes) < 1:
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
        """Number of rows of tiles, ceil(H / h)."""
        return math.ceil(self.height / self.tile_height)

    @property
    def columns(self) -> int:
        """Number of columns of tiles, ceil(W / w)."""
        return math.ceil(self.width / self.tile_width)

    @property
    def largest_tile(self) -> int:
        """Most output pixels that are computed for one tile, its overlap included (Eq. 8)."""
        outer = (tile.outer for tile in self.tiles())
        return self.scale**2 * max((bottom - top) * (right - left) for top, left, bottom, right in outer)

    def tiles(self) -> Iterator[Tile]:
        """Iterate over the K tiles, row by row."""
        for row in range(self.rows):
            yield from self.row_of_tiles(row)

    def row_of_tiles(self, row: int) -> Iterator[Tile]:
        """Iterate over the tiles of one row of them, from left to right."""
        top, bottom, outer_top, outer_bottom = _spans(self.height, self.tile_height, self.overlap)[row]
        for left, right, outer_left, outer_right in _spans(self.width, self.tile_width, self.overlap):
            yield Tile(top, left, bottom, right, (outer_top, outer_left, outer_bottom, outer_right))


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """(start, stop, start with overlap, stop with overlap) of each tile along one axis."""
    spans = []
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        spans.append((start, stop, max(0, start - overlap), min(length, stop + overlap)))
    return spans


def split(image: Float[Tensor, "3 h w"], plan: TilePlan) -> Iterator[tuple[Tile, Float[Tensor, "3 _ _"]]]:
    """Cut an image into the overlapping tiles s_i of Eq. 4.

    Args:
        image: low resolution, of the plan's size.
        plan: how it is cut.

    Yields:
        Each tile and its pixels, a view (3, up to h + 2 alpha, up to w + 2 alpha).

    Raises:
        TilingError: for an image of another size.
    """
    if image.shape[1:] != (plan.height, plan.width):
        raise TilingError(
            f"the plan is for {plan.height}x{plan.width} pixels, the image {tuple(image.shape)}"
        )
    for tile in plan.tiles():
        top, left, bottom, right = tile.outer
        yield tile, image[:, top:bottom, left:right]


def trim(upscaled: Float[Tensor, "3 _ _"], tile: Tile, scale: int) -> Float[Tensor, "3 _ _"]:
    """Return an upscaled tile without its overlap, a view (3, rh, rw): Eq. 6.

    Args:
        upscaled: what the network made of the tile with its overlap.
        tile: which one it is.
        scale: r.
    """
    top, left = (tile.top - tile.outer[0]) * scale, (tile.left - tile.outer[1]) * scale
    height, width = (tile.bottom - tile.top) * scale, (tile.right - tile.left) * scale
    return upscaled[:, top : top + height, left : left + width]


def concat(
    trimmed: Iterable[tuple[Tile, Float[Tensor, "3 _ _"]]],
    plan: TilePlan,
    rows: tuple[int, int] | None = None,
) -> Float[Tensor, "3 _ _"]:
    """Lay trimmed tiles into one image, (3, rH, rW) float32 on the CPU: Eq. 7.

    Args:
        trimmed: each tile with its upscaled pixels, without overlap.
        plan: how the image was cut.
        rows: (top, bottom) of the LR rows that the tiles cover, if not all of the image's.
    """
    r, (top, bottom) = plan.scale, rows or (0, plan.height)
    image = torch.empty(3, (bottom - top) * r, plan.width * r)
    for tile, pixels in trimmed:
        image[:, (tile.top - top) * r : (tile.bottom - top) * r, tile.left * r : tile.right * r] = pixels
    return image


def tile_cost(height: int, width: int, scale: int, overlap: int) -> int:
    """Return the output pixels computed for one inner tile: Eq. 8, r^2 (h + 2 alpha)(w + 2 alpha).

    Expanded: r^2 hw + 2 r^2 (h + w) alpha + 4 r^2 alpha^2. The paper prints 4 r^2 (h + w) alpha in the
    middle, and its numbers come from 1 r^2 (h + w) alpha. For h = 270, w = 512, r = 4:

        alpha = 324: 16 x 918 x 1,160 = 17,038,080   (printed: 12.98 M)
        alpha =  24: 16 x 318 x   560 =  2,849,280   (printed:  2.55 M)
        ratio:                           5.98        (printed:  5.09)

    Args:
        height: h, without the overlap.
        width: w.
        scale: r.
        overlap: alpha.
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
    """Return the plan that computes the fewest pixels twice, with every tile within the budget.

    Args:
        height: of the low-resolution image.
        width: of the same.
        scale: r, by which the network upscales.
        overlap: alpha.
        budget_bytes: what one tile may take.
        bytes_per_output_pixel: for each pixel of Eq. 8, measured for the network, data type and device.
        size_multiple: where tiles may begin and end.

    Raises:
        TilingError: if even the smallest tile is too large.
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
    """List the cuts of an axis worth a try: each longer one computes less, or as much in fewer tiles."""
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

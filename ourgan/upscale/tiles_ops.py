"""Tiles upscaled one by one (Eq. 4 to 7), a row of them at a time, halved where memory does not suffice."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ourgan.upscale.line_buffers import RowSource
from ourgan.upscale.tiles import Tile, TilePlan, TilingError, concat, trim

log = logging.getLogger(__name__)

SMALLEST = 16  # LR pixels: a side that is not halved any more


@dataclass
class MemoryLimit:
    """What a run has learnt: tiles of `too_large` LR pixels, overlap included, do not fit."""

    too_large: float = math.inf


def upscale_in_tiles(
    network: nn.Module, source: RowSource, plan: TilePlan, first: int = 0
) -> Iterator[Float[Tensor, "3 _ rw"]]:
    """Upscale an image of which only the rows of one row of tiles exist at a time.

    Args:
        network: runs on its own device and in its own type.
        source: gives the rows of the low-resolution image, noise included, from a given one on.
        plan: how the image is cut.
        first: the row of the upscaled image to begin with.

    Yields:
        The rows from `first` on, float32 on the CPU and not clamped, a row of tiles at a time.

    Raises:
        TilingError: see `upscale_tile`.
    """
    r, limit = plan.scale, MemoryLimit()
    begin = first // r // plan.tile_height
    top = next(plan.row_of_tiles(begin)).outer[0]
    pieces, strip = source(top), torch.empty(3, 0, plan.width)  # the rows from `top` on that are there
    for row in range(begin, plan.rows):
        tiles = list(plan.row_of_tiles(row))
        outer_top, _, outer_bottom, _ = tiles[0].outer
        strip, top = strip[:, outer_top - top :], outer_top
        while top + strip.shape[1] < outer_bottom:
            strip = torch.cat([strip, next(pieces)], 1)
        cut = ((tile, strip[:, : outer_bottom - top, tile.outer[1] : tile.outer[3]]) for tile in tiles)
        trimmed = ((tile, upscale_tile(network, pixels, tile, plan, limit=limit)) for tile, pixels in cut)
        # Without a name for it: it would live on while the next row of tiles is computed.
        yield concat(trimmed, plan, (tiles[0].top, tiles[0].bottom))[:, max(0, first - r * tiles[0].top) :]


@torch.no_grad()
def upscale_tile(
    network: nn.Module,
    pixels: Float[Tensor, "3 _ _"],
    tile: Tile,
    plan: TilePlan,
    *,
    limit: MemoryLimit | None = None,
) -> Float[Tensor, "3 rh rw"]:
    """Return one tile, upscaled and trimmed (Eq. 5 and 6), float32 on the CPU.

    If the memory does not suffice, the tile is halved until it does, with the same overlap. Whatever else
    goes wrong is raised: a tile is never left out and never another's pixels.

    Args:
        network: runs on its own device and in its own type.
        pixels: of the tile with its overlap, (3, h + 2 alpha, w + 2 alpha).
        tile: which one it is.
        plan: of which it is a part.
        limit: shared by the tiles of a run, so that later ones begin with a size that fits.

    Raises:
        TilingError: if halving does not help, if the tile comes out with another shape than the plan's, or
            with values that are not finite.
    """
    limit = limit or MemoryLimit()
    halves, size = _halves(tile, plan), pixels.shape[1] * pixels.shape[2]
    if halves is None or size < limit.too_large:
        try:
            return _evaluate(network, pixels, tile, plan.scale)
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
        limit.too_large = size
    image = torch.empty(3, *(plan.scale * n for n in (tile.bottom - tile.top, tile.right - tile.left)))
    for half in halves:
        (top, left, bottom, right), (y, x, _, _) = half.outer, tile.outer
        inner = pixels[:, top - y : bottom - y, left - x : right - x]
        part = upscale_tile(network, inner, half, plan, limit=limit)
        y, x = (half.top - tile.top) * plan.scale, (half.left - tile.left) * plan.scale
        image[:, y : y + part.shape[1], x : x + part.shape[2]] = part
    return image


def _evaluate(network: nn.Module, pixels: Tensor, tile: Tile, scale: int) -> Tensor:
    parameter = next(network.parameters())
    upscaled: Tensor = network(pixels.to(parameter.device, parameter.dtype)[None])[0]
    shape, expected = tuple(upscaled.shape[1:]), tuple(size * scale for size in pixels.shape[1:])
    if shape != expected:
        raise TilingError(f"{tile} came out as {shape}, not {expected}; check scale")
    if not upscaled.isfinite().all():
        # Pasting it would leave a black rectangle in a picture that took hours.
        raise TilingError(
            f"{tile} has values that are not finite in {parameter.dtype}; try bfloat16 or float32"
        )
    return trim(upscaled, tile, scale).float().cpu()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _does_not_fit(tile: Tile, plan: TilePlan, reason: str) -> TilingError:
    match = re.search(r"tried to allocate ([\d.]+ \w+)", reason, re.IGNORECASE)
    wanted = f" ({match[1]} were asked for)" if match else ""
    return TilingError(
        f"a subregion of {tile.bottom - tile.top}x{tile.right - tile.left} pixels with an overlap of "
        f"{plan.overlap} does not fit into memory{wanted} and cannot be halved any more; use a smaller "
        "--memory-budget, a smaller overlap or another device"
    )


def _halves(tile: Tile, plan: TilePlan) -> tuple[Tile, Tile] | None:
    """Halve a tile along its longer side, each half with the plan's overlap as far as the tile's own goes."""
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

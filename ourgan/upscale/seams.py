"""How visible the seams of tiles are: tiles against the whole image (Fig. 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ourgan.upscale.schedule import Network, upscale
from ourgan.upscale.tiles import TilePlan


@dataclass(frozen=True)
class SeamDifference:
    """Tiled against whole, in 8-bit levels (Fig. 8).

    Attributes:
        mean_in_band: mean absolute difference near the seams.
        largest: the largest difference anywhere.
        changed: share of all pixels that differ in a channel once rounded to 8 bits.
    """

    mean_in_band: float
    largest: float
    changed: float


def seam_difference(
    tiled: Float[Tensor, "3 rH rW"], whole: Float[Tensor, "3 rH rW"], plan: TilePlan, band: int = 32
) -> SeamDifference:
    """Compare an image made in tiles with the same image made at once.

    Args:
        tiled: clamped to [0, 1] like the other.
        whole: without seams.
        plan: of the tiles. Without seams (K = 1) the mean is 0.
        band: width of the strip around each seam in HR pixels, half of it on each side.

    Raises:
        ValueError: if the shapes differ from the plan's.
    """
    shape = (3, plan.height * plan.scale, plan.width * plan.scale)
    if tiled.shape != shape or whole.shape != shape:
        raise ValueError(f"images are {tuple(tiled.shape)} and {tuple(whole.shape)}, the plan's is {shape}")
    tiled, whole = tiled.clamp(0, 1) * 255, whole.clamp(0, 1) * 255
    difference = (tiled - whole).abs()
    near_rows = _near(plan.height, plan.tile_height, plan.scale, band)
    near_columns = _near(plan.width, plan.tile_width, plan.scale, band)
    near = near_rows[:, None] | near_columns[None, :]
    return SeamDifference(
        mean_in_band=float(difference[:, near].double().mean()) if near.any() else 0.0,
        largest=float(difference.max()),
        changed=float((tiled.round() != whole.round()).any(0).double().mean()),
    )


def level_difference(tiled: Float[Tensor, "3 H W"], whole: Float[Tensor, "3 H W"]) -> Float[Tensor, "H W"]:
    """Return the largest absolute difference over the channels in 8-bit levels.

    Args:
        tiled: clamped to [0, 1] like the other.
        whole: the same picture made at once.
    """
    return (tiled.clamp(0, 1) - whole.clamp(0, 1)).abs().amax(0) * 255


def smallest_overlap(differences: Mapping[int, SeamDifference], mean: float) -> int | None:
    """Return the smallest overlap from which on the mean at the seam stays under `mean` 8-bit levels.

    Args:
        differences: what was measured, by overlap.
        mean: how much is tolerated.

    Returns:
        One of the overlaps, or None if even the largest is not enough.
    """
    fitting = None
    for overlap in sorted(differences, reverse=True):
        if differences[overlap].mean_in_band >= mean:
            break
        fitting = overlap
    return fitting


def measure_seams(
    network: Network, image: Float[Tensor, "3 h w"], overlaps: Sequence[int]
) -> dict[int, SeamDifference]:
    """Upscale an image in two tiles side by side, for each overlap, and compare them with the whole.

    Args:
        network: that upscales.
        image: in [0, 1].
        overlaps: in LR pixels.

    Raises:
        ValueError: for an overlap that reaches the far end of a tile: there is no seam left.
    """
    height, width = image.shape[1:]
    half = width // 2 - width // 2 % network.size_multiple
    if max(overlaps) >= half:
        raise ValueError(f"overlap {max(overlaps)}: use less than {half}, the width of a piece")

    def plan(tile_width: int, overlap: int) -> TilePlan:
        return TilePlan(height, width, height, tile_width, overlap, network.scale, network.size_multiple)

    whole = upscale(network, image, plan(width, 0))
    plans = {overlap: plan(half, overlap) for overlap in overlaps}
    return {a: seam_difference(upscale(network, image, cut), whole, cut) for a, cut in plans.items()}


def _near(length: int, tile: int, scale: int, band: int) -> Tensor:
    positions = torch.arange(length * scale) + 0.5
    near = torch.zeros(length * scale, dtype=torch.bool)
    for seam in range(tile, length, tile):
        near |= (positions - seam * scale).abs() < band / 2
    return near

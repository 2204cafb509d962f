"""How visible the seams of subregions are: tiles against the whole image (Fig. 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ourgan.upscale.schedule import Network
from ourgan.upscale.tiles import TilePlan, upscale


@dataclass(frozen=True)
class SeamDifference:
    """Tiled against whole, in 8-bit levels (Fig. 8).

    `mean_in_band`: mean absolute difference near the seams; `largest`: the largest anywhere; `changed`:
    share of all pixels that differ in a channel once rounded to 8 bits.
    """

    mean_in_band: float
    largest: float
    changed: float


def seam_difference(tiled: Tensor, whole: Tensor, plan: TilePlan, band: int = 32) -> SeamDifference:
    """Compare two images (3, rH, rW) in [0, 1], clamped to it.

    `band`: width of the strip around each seam in HR pixels, half of it on each side. Without seams
    (K = 1) the mean is 0. ValueError if the shapes differ from the plan's.
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


def level_difference(tiled: Tensor, whole: Tensor) -> Tensor:
    """Return the largest absolute difference over the channels, (H, W), in 8-bit levels.

    Args:
        tiled: (3, H, W), clamped to [0, 1] like the other.
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


def measure_seams(network: Network, image: Tensor, overlaps: Sequence[int]) -> dict[int, SeamDifference]:
    """Enlarge an image (3, H, W) in [0, 1] in two pieces side by side, for each overlap, and as a whole.

    Overlaps in LR pixels. ValueError for one that reaches the far end of a piece: there is no seam left.
    """
    height, width = image.shape[1:]
    half = width // 2 - width // 2 % network.size_multiple
    if max(overlaps) >= half:
        raise ValueError(f"overlap {max(overlaps)}: use less than {half}, the width of a piece")

    def enlarged(plan: TilePlan) -> Tensor:
        return upscale(network, image, plan, progress=False)

    def cut(piece: int, overlap: int) -> TilePlan:
        return TilePlan(height, width, height, piece, overlap, network.scale, network.size_multiple)

    whole = enlarged(cut(width, 0))
    plans = {overlap: cut(half, overlap) for overlap in overlaps}
    return {overlap: seam_difference(enlarged(plan), whole, plan) for overlap, plan in plans.items()}


def _near(length: int, tile: int, scale: int, band: int) -> Tensor:
    positions = torch.arange(length * scale) + 0.5
    near = torch.zeros(length * scale, dtype=torch.bool)
    for seam in range(tile, length, tile):
        near |= (positions - seam * scale).abs() < band / 2
    return near

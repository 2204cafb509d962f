"""ST-LPIPS: the shift-tolerant LPIPS of Ghildyal and Liu (ECCV 2022), whose package carries its trunks.

It works wherever the project is installed; the trunk of LPIPS has to be had first. The two are different
metrics, with different values; a number of one is never shown under the other's name.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import torch
from torch import Tensor

TILE = 512  # pixels
SMALLEST = 32


def shift_tolerant(trunk: str) -> Any:
    """The network of ST-LPIPS with its trained trunk, "alex" or "vgg", frozen, in float32 on the CPU."""
    from stlpips_pytorch import stlpips

    network = stlpips.LPIPS(net=trunk, variant="shift_tolerant", verbose=False)
    return network.eval().requires_grad_(False)


@functools.cache
def st_lpips_network() -> Any:
    """The network that `st_lpips` compares with: `shift_tolerant("alex")`."""
    return shift_tolerant("alex")


def st_lpips(first: Tensor, second: Tensor, *, tile: int = TILE) -> float:
    """Distance of two images (3, H, W) in [0, 1] by the AlexNet of ST-LPIPS; 0 for equal ones.

    Larger images are compared in tiles of at most `tile` pixels a side, cut evenly, and averaged by area.
    ValueError if the shapes differ or a side is under 32.
    """
    return tiled_distance(st_lpips_network(), first, second, tile)


@torch.no_grad()
def tiled_distance(network: Any, first: Tensor, second: Tensor, tile: int) -> float:
    """The distance of LPIPS or ST-LPIPS with `network`; see `st_lpips` for the rest."""
    if first.shape != second.shape or min(first.shape[1:]) < SMALLEST:
        raise ValueError(
            f"images are {tuple(first.shape)} and {tuple(second.shape)}; give equal ones, {SMALLEST} px up"
        )
    total = 0.0
    for area, rows, columns in tiles(first.shape[1], first.shape[2], tile):
        pair = [image[None, :, rows, columns].float().cpu() for image in (first, second)]
        total += area * float(network(*pair, normalize=True))
    return total


def tiles(height: int, width: int, tile: int) -> list[tuple[float, slice, slice]]:
    """An image cut evenly into parts of at most `tile` pixels a side: share of its area, rows, columns."""
    return [
        ((rows.stop - rows.start) * (columns.stop - columns.start) / (height * width), rows, columns)
        for rows, columns in itertools.product(_spans(height, tile), _spans(width, tile))
    ]


def psnr(first: Tensor, second: Tensor) -> float:
    """Peak signal-to-noise ratio of two images in [0, 1], in dB, over all channels."""
    return float(-10 * (first.double() - second.double()).square().mean().log10())


def _spans(length: int, tile: int) -> list[slice]:
    count = -(-length // tile)
    edges = [length * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]

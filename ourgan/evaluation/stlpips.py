"""ST-LPIPS: the shift-tolerant LPIPS of Ghildyal and Liu (ECCV 2022), whose package carries its trunks.

It works without a network, which LPIPS does not: its trunk comes from a hub. The two are different
metrics, with different values; a number of one is never shown under the other's name.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import torch
from torch import Tensor


def shift_tolerant(trunk: str) -> Any:
    """The network of ST-LPIPS with its trained trunk, "alex" or "vgg", frozen, in float32 on the CPU."""
    from stlpips_pytorch import stlpips

    network = stlpips.LPIPS(net=trunk, variant="shift_tolerant", verbose=False)
    return network.eval().requires_grad_(False)


@functools.cache
def _metric() -> Any:
    return shift_tolerant("alex")


@torch.no_grad()
def st_lpips(first: Tensor, second: Tensor, *, tile: int = 512) -> float:
    """Distance of two images (3, H, W) in [0, 1] by the AlexNet of ST-LPIPS; 0 for equal ones.

    Larger images are compared in tiles of at most `tile` pixels a side, cut evenly, and averaged by area.
    ValueError if the shapes differ or a side is under 32.
    """
    if first.shape != second.shape or min(first.shape[1:]) < 32:
        raise ValueError(
            f"images are {tuple(first.shape)} and {tuple(second.shape)}; give equal ones, 32 px up"
        )
    network, height, width = _metric(), first.shape[1], first.shape[2]
    total = 0.0
    for top, bottom in _spans(height, tile):
        for left, right in _spans(width, tile):
            pair = [image[None, :, top:bottom, left:right].float().cpu() for image in (first, second)]
            area = (bottom - top) * (right - left) / (height * width)
            total += area * float(network(*pair, normalize=True))
    return total


def psnr(first: Tensor, second: Tensor) -> float:
    """Peak signal-to-noise ratio of two images in [0, 1], in dB, over all channels."""
    return float(-10 * (first.double() - second.double()).square().mean().log10())


def _spans(length: int, tile: int) -> list[tuple[int, int]]:
    count = -(-length // tile)
    edges = [length * i // count for i in range(count + 1)]
    return list(itertools.pairwise(edges))

"""Perceptual distances of two images: LPIPS, and ST-LPIPS, which needs nothing from the Hub.

LPIPS (Zhang et al., CVPR 2018) has its VGG16 from the Hub or a package, and is absent without it. ST-LPIPS,
the shift-tolerant LPIPS of Ghildyal and Liu (ECCV 2022), comes complete in its package. The two are different
metrics with different values; a number of one is never shown under the other's name.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ourgan import weights
from ourgan._core.errors import OurganError
from ourgan.models.feature_nets import shift_tolerant

TILE = 512  # pixels
SMALLEST = 32


class MetricUnavailable(OurganError):
    """A metric whose network cannot be had here; says which and why."""


@functools.cache
def lpips_network() -> Any:
    """Return LPIPS, version 0.1, on VGG16: frozen, float32. Raises MetricUnavailable without the trunk."""
    from lpips import LPIPS

    try:
        trunk = weights.load("vgg16")
    except weights.WeightsError as error:
        raise MetricUnavailable(f"LPIPS is absent: its VGG16 cannot be had ({error})") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the package asks torchvision in a deprecated way
        network = LPIPS(net="vgg", pnet_rand=True, verbose=False)  # random only until the next lines
    expected = network.net.state_dict()  # slice1.0.weight, ... under torchvision's numbers
    state = {name: trunk.state_dict[f"features.{name.split('.', 1)[1]}"] for name in expected}
    network.net.load_state_dict(state)
    return network.eval().requires_grad_(False)


@functools.cache
def st_lpips_network() -> Any:
    """Return the network that `st_lpips` compares with: `shift_tolerant("alex")`."""
    return shift_tolerant("alex")


def lpips(first: Float[Tensor, "3 h w"], second: Float[Tensor, "3 h2 w2"], *, tile: int = TILE) -> float:
    """Return the LPIPS of two images: 0 for equal ones, larger for what looks more different.

    Args:
        first: an image in [0, 1].
        second: another of the same size.
        tile: larger images are compared in tiles of at most this many pixels a side, cut evenly, and the
            distances averaged by area.

    Raises:
        MetricUnavailable: The true trunk cannot be had.
        ValueError: The shapes differ, or a side is under 32 pixels.
    """
    return tiled_distance(lpips_network(), first, second, tile)


def st_lpips(first: Float[Tensor, "3 h w"], second: Float[Tensor, "3 h2 w2"], *, tile: int = TILE) -> float:
    """Return the distance of two images by the AlexNet of ST-LPIPS: 0 for equal ones.

    Args:
        first: an image in [0, 1].
        second: another of the same size.
        tile: as for `lpips`.

    Raises:
        ValueError: The shapes differ, or a side is under 32 pixels.
    """
    return tiled_distance(st_lpips_network(), first, second, tile)


@torch.no_grad()
def tiled_distance(
    network: Any, first: Float[Tensor, "3 h w"], second: Float[Tensor, "3 h2 w2"], tile: int
) -> float:
    """Return the distance of two images by an LPIPS or ST-LPIPS `network`; the rest is as for `lpips`."""
    if first.shape != second.shape or min(first.shape[1:]) < SMALLEST:
        raise ValueError(
            f"images are {tuple(first.shape)} and {tuple(second.shape)}; give equal ones, {SMALLEST} px up"
        )
    total = 0.0
    for area, rows, columns in cut_tiles(first.shape[1], first.shape[2], tile):
        pair = [image[None, :, rows, columns].float().cpu() for image in (first, second)]
        total += area * float(network(*pair, normalize=True))
    return total


def cut_tiles(height: int, width: int, tile: int) -> list[tuple[float, slice, slice]]:
    """Return an image cut evenly into parts of at most `tile` pixels a side.

    Returns:
        Of each part its share of the area, its rows and its columns.
    """
    return [
        ((rows.stop - rows.start) * (columns.stop - columns.start) / (height * width), rows, columns)
        for rows, columns in itertools.product(_spans(height, tile), _spans(width, tile))
    ]


def psnr(first: Float[Tensor, "*shape"], second: Float[Tensor, "*shape"]) -> float:
    """Return the peak signal-to-noise ratio in dB: -10 log10 of the mean squared difference.

    Args:
        first: an image (3, H, W) or a batch, in [0, 1]; nothing is clamped.
        second: another of the same shape. The mean is over all pixels, channels and images.

    Returns:
        Higher is nearer; infinity for equal images.
    """
    return float(-10 * (first.double() - second.double()).square().mean().log10())


def _spans(length: int, tile: int) -> list[slice]:
    count = -(-length // tile)
    edges = [length * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]

"""Perceptual distances: LPIPS, and ST-LPIPS, which needs nothing from the Hub; of two images or of all pairs.

LPIPS (Zhang et al., CVPR 2018) has its VGG16 from the Hub or a package, and is absent without it. ST-LPIPS,
the shift-tolerant LPIPS of Ghildyal and Liu (ECCV 2022), comes complete in its package. The two are different
metrics with different values; a number of one is never shown under the other's name.

Diversity as in Table 4 is over all pairs: 50 samples have 1,225; plainly, every sample goes through the
network 49 times. Here each sample's features are computed once, and the distance of a pair is taken from
scalar products of the two samples' features, so that all pairs of a band of rows are one product of matrices.
Of all samples' features only such a band is in memory: those of 50 samples of 4K would be some 200 GB.
"""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ourgan import weights
from ourgan._core.errors import OurganError
from ourgan.io.pixels import from_uint8, to_uint8
from ourgan.io.read import read_image
from ourgan.metrics.streaming_features import Block, in_bands, perceptual_blocks
from ourgan.models.feature_nets import shift_tolerant

Sample = Tensor | str | os.PathLike[str] | Callable[[], Tensor]

TILE = 512  # pixels
SMALLEST = 32
BAND_BYTES = 256 * 2**20  # of the features of all samples, where they are largest
WIDEST = 64  # channels of either trunk at the size of the image
BLOCK = 1 << 16  # products that are added in float32 before float64 takes over
EPSILON = 1e-10  # of both packages, where features are divided by their norm


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


cached_shift_tolerant = functools.cache(shift_tolerant)
NETWORKS: dict[str, Callable[[], Any]] = {
    "lpips": lpips_network,
    "st_lpips": functools.partial(cached_shift_tolerant, "alex"),
}


def lpips(first: Float[Tensor, "3 h w"], second: Float[Tensor, "3 h2 w2"], *, tile: int = TILE) -> float:
    """Return the LPIPS of two images of one size in [0, 1]: 0 for equal ones, larger for less alike.

    Larger images are compared in tiles of at most `tile` pixels a side, cut evenly, and the distances
    averaged by area.

    Raises:
        MetricUnavailable: The true trunk cannot be had.
        ValueError: The shapes differ, or a side is under 32 pixels.
    """
    return tiled_distance(lpips_network(), first, second, tile)


def st_lpips(first: Float[Tensor, "3 h w"], second: Float[Tensor, "3 h2 w2"], *, tile: int = TILE) -> float:
    """Return the distance of two images by the AlexNet of ST-LPIPS, which is always there; see `lpips`."""
    return tiled_distance(NETWORKS["st_lpips"](), first, second, tile)


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
    """Cut an image evenly into parts of at most `tile` a side; return share of the area, rows and columns."""
    return [
        ((rows.stop - rows.start) * (columns.stop - columns.start) / (height * width), rows, columns)
        for rows, columns in itertools.product(_spans(height, tile), _spans(width, tile))
    ]


def psnr(first: Float[Tensor, "*shape"], second: Float[Tensor, "*shape"]) -> float:
    """Return the peak signal-to-noise ratio in dB: -10 log10 of the mean squared difference.

    It is of images or batches in [0, 1], of which nothing is clamped; infinity for equal ones.
    """
    return float(-10 * (first.double() - second.double()).square().mean().log10())


def mean_pairwise(samples: Sequence[Sample], metric: str = "st_lpips", *, tile: int = TILE) -> float:
    """Return the mean distance over all pairs of samples, larger for more diverse ones; see `pairwise`."""
    distances = pairwise(samples, metric, tile=tile)
    count = len(distances)
    return float(distances.sum()) / (count * (count - 1))


@torch.inference_mode()
def pairwise(
    samples: Sequence[Sample], metric: str = "st_lpips", *, tile: int = TILE
) -> Float64[Tensor, "n n"]:
    """Return the distances of all pairs of n samples: those of `lpips` or `st_lpips`, with the same tiles.

    Samples are images (3, H, W) of one size in [0, 1], files, or callables that return an image. What is no
    tensor is read once, one at a time, and kept in a temporary directory.

    Raises:
        OurganError: There are fewer than two samples, sizes that differ, or a side under 32 pixels.
        MetricUnavailable: The weights cannot be had.
    """
    if metric not in NETWORKS:
        raise ValueError(f"metric {metric!r}: use {' or '.join(NETWORKS)}")
    if len(samples) < 2:
        raise OurganError(f"{metric} over pairs of {len(samples)} sample: give two or more")
    network = NETWORKS[metric]()
    blocks, taps = perceptual_blocks(network)
    # The weights of the heads are not negative: half of each goes to either side of the product.
    roots = dict(zip(taps, (lin.model[-1].weight[0].sqrt().flatten(1) for lin in network.lins), strict=True))
    with tempfile.TemporaryDirectory(prefix="ourgan-pairs-") as scratch:
        images = [_spool(sample, Path(scratch) / f"{n}.npy") for n, sample in enumerate(samples)]
        height, width = _common_size(images, samples)
        total = torch.zeros(len(images), len(images), dtype=torch.float64)
        for area, rows, columns in cut_tiles(height, width, tile):
            crops = [image[:, rows, columns] for image in images]
            total += area * _distances(crops, blocks, roots)
    return total


def _spans(length: int, tile: int) -> list[slice]:
    count = -(-length // tile)
    edges = [length * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _distances(crops: Sequence[Tensor], blocks: Sequence[Block], roots: dict[int, Tensor]) -> Tensor:
    """Return the distances (n, n) in one tile; samples go through the trunk side by side, in bands."""
    height, width = crops[0].shape[1:]
    step = max(16, BAND_BYTES // (len(crops) * WIDEST * width * 4))
    products = {tap: torch.zeros(len(crops), len(crops), dtype=torch.float64) for tap in roots}
    positions = dict.fromkeys(roots, 0)
    # One band's features, allocated once: new memory costs more than the arithmetic.
    memory = torch.empty(0)
    streams = [in_bands(blocks, _pieces(crop, step), height, roots, 0) for crop in crops]
    for bands in zip(*streams, strict=True):
        tap, first = bands[0]
        if len(memory) < (needed := len(crops) * first.numel()):
            memory = torch.empty(needed)
        vectors = memory[:needed].view(len(crops), -1)
        for number, (_, rows) in enumerate(bands):
            features, vector = rows[0].flatten(1), vectors[number].view(first.shape[1], -1)
            torch.mul(features, features, out=vector)
            scale = vector.sum(0).sqrt_().add_(EPSILON).reciprocal_()
            torch.mul(features, scale, out=vector).mul_(roots[tap])
        for block in vectors.split(BLOCK, 1):
            products[tap] += (block @ block.T).double()
        positions[tap] += first.shape[2] * first.shape[3]
    total = torch.zeros_like(products[min(roots)])
    for tap, product in products.items():
        own = product.diagonal()
        total += (own[:, None] + own - 2 * product) / positions[tap]
    return total.fill_diagonal_(0).clamp_(min=0)


def _pieces(crop: Tensor, step: int) -> Iterator[Tensor]:
    for piece in crop.split(step, 1):
        eight_bit = piece.dtype == torch.uint8
        yield 2 * (from_uint8(piece.permute(1, 2, 0).numpy()) if eight_bit else piece.float().cpu())[None] - 1


def _spool(sample: Sample, path: Path) -> Tensor:
    """Return a sample (3, H, W): itself, or mapped from a file, in 8 bits where that loses nothing."""
    if isinstance(sample, Tensor):
        return sample
    image = sample() if callable(sample) else read_image(sample)
    pixels = to_uint8(image)
    exact = torch.equal(from_uint8(pixels), image)
    np.save(path, pixels.transpose(2, 0, 1) if exact else image.cpu().numpy())
    return torch.from_numpy(np.load(path, mmap_mode="c"))  # "c": torch warns of what cannot be written


def _common_size(images: Sequence[Tensor], samples: Sequence[Sample]) -> tuple[int, int]:
    height, width = images[0].shape[1:]
    for number, image in enumerate(images):
        if image.shape != images[0].shape:
            sample = samples[number]
            name = sample if isinstance(sample, str | os.PathLike) else f"sample {number + 1}"
            raise OurganError(
                f"{name}: {image.shape[2]}x{image.shape[1]} pixels, the first sample has {width}x{height}: "
                "give samples of one size"
            )
    if min(height, width) < SMALLEST:
        raise OurganError(f"samples of {width}x{height} pixels: pairs are compared from {SMALLEST} px up")
    return height, width

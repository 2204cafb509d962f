"""Diversity as in Table 4: LPIPS or ST-LPIPS over all pairs of samples, each sample's features computed once.

50 samples have 1,225 pairs; plainly, every sample goes through the network 49 times. Here the distance of a
pair is taken from scalar products of the two samples' features, so that all pairs of a band of rows are one
product of matrices. Of all samples' features only such a band is in memory: those of 50 samples of 4K would
be some 200 GB.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from ourgan._core.errors import OurganError
from ourgan.io.pixels import from_uint8, to_uint8
from ourgan.io.read import read_image
from ourgan.metrics.lpips import SMALLEST, TILE, cut_tiles, lpips_network, st_lpips_network
from ourgan.metrics.streaming_features import Block, in_bands, perceptual_blocks

Sample = Tensor | str | os.PathLike[str] | Callable[[], Tensor]

NETWORKS: dict[str, Callable[[], Any]] = {"lpips": lpips_network, "st_lpips": st_lpips_network}
BAND_BYTES = 256 * 2**20  # of the features of all samples, where they are largest
WIDEST = 64  # channels of either trunk at the size of the image
BLOCK = 1 << 16  # products that are added in float32 before float64 takes over
EPSILON = 1e-10  # of both packages, where features are divided by their norm


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

    Args:
        samples: images (3, H, W) of one size in [0, 1], files, or callables that return an image. What is no
            tensor is read once, one at a time, and kept in a temporary directory.
        metric: "lpips" or "st_lpips".
        tile: as for `lpips`.

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
        yield 2 * _floats(piece)[None] - 1


def _floats(pixels: Tensor) -> Tensor:
    return (
        from_uint8(pixels.permute(1, 2, 0).numpy()) if pixels.dtype == torch.uint8 else pixels.float().cpu()
    )


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
            name = (
                samples[number] if isinstance(samples[number], str | os.PathLike) else f"sample {number + 1}"
            )
            raise OurganError(
                f"{name}: {image.shape[2]}x{image.shape[1]} pixels, the first sample has {width}x{height}: "
                "give samples of one size"
            )
    if min(height, width) < SMALLEST:
        raise OurganError(f"samples of {width}x{height} pixels: pairs are compared from {SMALLEST} px up")
    return height, width

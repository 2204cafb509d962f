"""The Fréchet distance of two sets of feature vectors, and their statistics: summed in bands, remembered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from cachetools import LRUCache
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from ourgan._core.files import atomic_path, cache_directory

log = logging.getLogger(__name__)

PIECE = 2048  # vectors at a time, which stay in a processor's cache in float64: twice as fast as whole bands
REMEMBERED = 8  # statistics in memory; 5 MB each for 768 channels


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance (divided by count - 1) of `count` vectors, float64."""

    mean: Float[Tensor, " c"]
    covariance: Float[Tensor, "c c"]
    count: int


_remembered: LRUCache[str, Statistics] = LRUCache(REMEMBERED)


def accumulate_statistics(bands: Iterable[Tensor]) -> Statistics:
    """Return the statistics of all positions of a feature map that arrives in bands.

    Sums are float64 and of differences from the first vectors' mean: what is large and equal in all vectors
    would cost digits.

    Args:
        bands: (1, C, n, W) each, from top to bottom; every position is one vector of C numbers.

    Raises:
        ValueError: There are fewer than two vectors.
    """
    shift = total = products = torch.empty(0)
    count = 0
    for vectors in (piece for band in bands for piece in band[0].flatten(1).split(PIECE, 1)):
        vectors = vectors.double()
        if not count:
            shift = vectors.mean(1, keepdim=True)
            total, products = torch.zeros_like(shift), shift.new_zeros(len(shift), len(shift))
        vectors -= shift
        total += vectors.sum(1, keepdim=True)
        products.addmm_(vectors, vectors.T)
        count += vectors.shape[1]
    if count < 2:
        raise ValueError(f"{count} vectors have no covariance")
    covariance = (products - total @ total.T / count) / (count - 1)
    return Statistics((shift + total / count)[:, 0], covariance, count)


def frechet_distance(first: Statistics, second: Statistics) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), which is symmetric, and 0 for equal statistics.

    The trace of the root is that of (S1^(1/2) S2 S1^(1/2))^(1/2), which is symmetric: two decompositions of
    symmetric matrices, no complex numbers, and nothing to add to the diagonal if one is singular.
    """
    values, vectors = torch.linalg.eigh(first.covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    product = torch.linalg.eigvalsh(root @ second.covariance @ root)
    traces = first.covariance.trace() + second.covariance.trace()
    difference = (first.mean - second.mean).square().sum()
    # Rounding can leave equal statistics a hair below 0.
    return max(0.0, float(difference + traces - 2 * product.clamp(min=0).sqrt().sum()))


def remember(key: str, channels: int, compute: Callable[[], Statistics]) -> Statistics:
    """Return what `compute` does, or did for the same key: kept in memory and in the user's cache directory.

    Args:
        key: the hash of all that the statistics depend on.
        channels: numbers of a vector; what is kept of another size is computed again.
        compute: called where nothing is kept.
    """
    path = cache_directory() / "statistics" / f"{key}.safetensors"
    statistics = _remembered.get(key) or _read(path, channels)
    if statistics is None:
        statistics = compute()
        _write(path, statistics)
    _remembered[key] = statistics
    return statistics


def _write(path: Path, statistics: Statistics) -> None:
    tensors = {**vars(statistics), "count": torch.tensor(statistics.count)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            save_file(tensors, temporary)
    except OSError as error:
        log.info("%s: cannot be written (%s); it will be computed again", path, error.strerror)


def _read(path: Path, channels: int) -> Statistics | None:
    """Return what `_write` left; None where there is nothing, or something else."""
    try:
        tensors = load_file(path)
        statistics = Statistics(tensors["mean"], tensors["covariance"], int(tensors["count"]))
    except (OSError, KeyError, ValueError, safetensors.SafetensorError):
        return None
    whole = statistics.covariance.shape == (channels, channels) and statistics.mean.shape == (channels,)
    return statistics if whole and statistics.covariance.isfinite().all() else None

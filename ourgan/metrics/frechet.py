"""The Fréchet distance of two sets of feature vectors, and their statistics, summed band by band."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

PIECE = 2048  # vectors at a time, which stay in a processor's cache in float64: twice as fast as whole bands


@dataclass(frozen=True)
class Statistics:
    """Mean and covariance (divided by count - 1) of `count` vectors, float64."""

    mean: Float[Tensor, " c"]
    covariance: Float[Tensor, "c c"]
    count: int


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

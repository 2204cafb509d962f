"""The Fréchet distance against scipy's root of a matrix, and sums in bands against the whole array."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from ourgan.metrics.sifid import Statistics, accumulate_statistics, frechet_distance


def drawn(seed: int, channels: int, count: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    mixed = torch.randn(channels, channels, generator=random, dtype=torch.float64)
    return mixed @ torch.randn(channels, count, generator=random, dtype=torch.float64).relu() + seed % 7


def of(vectors: torch.Tensor) -> Statistics:
    return Statistics(vectors.mean(1), torch.cov(vectors), vectors.shape[1])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1001, 2000), st.integers(2, 24))
def test_it_is_the_distance_by_the_root_of_the_product(first: int, second: int, channels: int) -> None:
    a, b = (of(drawn(seed, channels, 10 * channels)) for seed in (first, second))
    root = sqrtm(a.covariance.numpy() @ b.covariance.numpy()).real
    expected = float((a.mean - b.mean).square().sum() + (a.covariance + b.covariance).trace()) - 2 * np.trace(
        root
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-7 * float(a.covariance.trace()))


def test_a_channel_that_is_constant_does_no_harm() -> None:
    # Diagonal: the distance is that of the standard deviations, and scipy's root would warn of the singular.
    a = Statistics(torch.zeros(3).double(), torch.tensor([4.0, 0.0, 1.0]).double().diag(), 9)
    b = Statistics(torch.tensor([0.0, 2.0, 0.0]).double(), torch.tensor([1.0, 9.0, 0.0]).double().diag(), 9)
    assert frechet_distance(a, b) == pytest.approx(2**2 + (2 - 1) ** 2 + 3**2 + 1**2, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(1, 30), max_size=6), st.sampled_from([0.0, 1e4]))
def test_bands_sum_to_the_whole(seed: int, heights: list[int], offset: float) -> None:
    image = (drawn(seed, 5, 30 * 11) + offset).reshape(1, 5, 30, 11).float()
    edges = sorted(set(heights) | {0, 30})
    found = accumulate_statistics(image[:, :, a:b] for a, b in itertools.pairwise(edges))
    whole = image[0].flatten(1).double().numpy()
    assert found.count == 330
    np.testing.assert_allclose(found.mean, whole.mean(1), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(whole), rtol=1e-9, atol=1e-9)


def test_one_vector_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="1 vectors"):
        accumulate_statistics([torch.zeros(1, 4, 1, 1)])

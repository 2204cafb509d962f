"""The operations of degradation against direct sums in float64 on small photos."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ourgan.io.pixels import to_uint8
from ourgan.training.degradation import (
    bicubic_downscale,
    gaussian_blur,
    gaussian_kernel,
    gaussian_noise,
    jpeg,
    resize,
    shifted_gaussian_downscale,
)

Photo = Callable[..., Tensor]


def imresize(image: Tensor, scale: int) -> np.ndarray:
    """MATLAB's imresize to 1/scale, tap by tap: (3, H, W) to float64 (3, H / scale, W / scale)."""

    def keys(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x <= 1, near, np.where(x <= 2, far, 0))

    def matrix(length: int) -> np.ndarray:
        weights = np.zeros((length // scale, length))
        for row in range(length // scale):
            centre = scale * row + (scale - 1) / 2
            for tap in range(int(centre) - 2 * scale, int(centre) + 2 * scale + 2):
                source = tap % (2 * length)  # symmetric: the edge pixel comes twice
                weights[row, min(source, 2 * length - 1 - source)] += keys(np.array((tap - centre) / scale))
        return weights / weights.sum(1, keepdims=True)

    pixels = image.double().numpy()
    return matrix(pixels.shape[1]) @ pixels @ matrix(pixels.shape[2]).T


def convolved(image: Tensor, kernel: Tensor) -> np.ndarray:
    radius = kernel.shape[0] // 2
    padded = np.pad(image.double().numpy(), ((0, 0), (radius, radius), (radius, radius)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape, axis=(1, 2))
    return (windows * kernel.double().numpy()[::-1, ::-1]).sum((3, 4))


def largest_error(ours: Tensor, theirs: np.ndarray) -> float:
    assert ours.dtype == torch.float32
    return float(np.abs(ours.numpy() - theirs).max())


@pytest.mark.parametrize("scale", [2, 4])
def test_bicubic_downscale_is_imresize_up_to_the_border(photo: Photo, scale: int) -> None:
    image = photo(width=48)[:, :28]
    small = bicubic_downscale(image, scale)
    assert largest_error(small, imresize(image, scale)) < 2e-6
    tiny = image[:, :4, :8]  # smaller than the kernel: mirrored more than once
    assert largest_error(bicubic_downscale(tiny, scale), imresize(tiny, scale)) < 2e-6


def test_bicubic_downscale_keeps_leading_dimensions_and_overshoots(photo: Photo) -> None:
    image = (photo(width=48)[:, :24] > 0.5).float()
    small = bicubic_downscale(image.expand(2, 5, 3, 24, 48))
    assert small.shape == (2, 5, 3, 6, 12)
    assert torch.equal(small[1, 4], bicubic_downscale(image))
    assert small.min() < 0 and small.max() > 1
    with pytest.raises(ValueError, match="48 x 22 pixels cannot be shrunk by 4"):
        bicubic_downscale(image[:, :22])


@pytest.mark.parametrize(
    ("size", "sigmas", "angle"), [(7, (1.3, 1.3), 0.0), (25, (2.8, 0.4), 0.6), (11, (0.0, 2.0), 1.0)]
)
@pytest.mark.parametrize("rows", [30, 5])  # 5: mirrored more than once
def test_blur_is_the_direct_sum(
    photo: Photo, size: int, sigmas: tuple[float, float], angle: float, rows: int
) -> None:
    image = photo(width=40)[:, :rows]
    kernel = gaussian_kernel(size, sigmas, angle)
    assert largest_error(gaussian_blur(image, size, sigmas, angle), convolved(image, kernel)) < 1e-6


def test_kernel_has_the_variances_and_the_angle_asked_for() -> None:
    kernel = gaussian_kernel(25, (2.5, 1.2), angle=0.5).double()
    y, x = torch.meshgrid(torch.arange(25.0) - 12, torch.arange(25.0) - 12, indexing="ij")
    moments = [(kernel * moment).sum().item() for moment in (x * x, x * y, y * y)]
    cos, sin, first, second = math.cos(0.5), math.sin(0.5), 2.5**2, 1.2**2
    expected = [first * cos**2 + second * sin**2, (first - second) * sin * cos]
    expected.append(first * sin**2 + second * cos**2)
    assert moments == pytest.approx(expected, abs=0.01)


def test_area_averages_what_a_pixel_covers(photo: Photo) -> None:
    image = photo(width=30)[:, :12]
    direct = image.double().reshape(3, 4, 3, 10, 3).mean((2, 4)).numpy()
    assert largest_error(resize(image, (4, 10), "area"), direct) < 1e-6
    # 12 -> 8 rows and 30 -> 20 columns: each covers one and a half, counted in sixths of a pixel
    fine = image.double().repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert (
        largest_error(resize(image, (8, 20), "area"), fine.reshape(3, 8, 3, 20, 3).mean((2, 4)).numpy())
        < 1e-6
    )
    assert torch.equal(resize(image, (24, 60), "area"), image.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_bilinear_and_bicubic_do_not_average(photo: Photo) -> None:
    image = photo(width=40)[:, :20]
    centres = image.reshape(3, 5, 4, 10, 4)[:, :, 1:3, :, 1:3].double().mean((2, 4)).numpy()
    assert largest_error(resize(image, (5, 10), "bilinear"), centres) < 1e-6
    taps = np.array([-0.09375, 0.59375, 0.59375, -0.09375])  # a = -0.75, half way
    blocks = image.reshape(3, 5, 4, 10, 4).double().numpy()
    expected = np.einsum("chiwj,i,j->chw", blocks, taps, taps).clip(0, 1)
    assert largest_error(resize(image, (5, 10), "bicubic"), expected) < 1e-6


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("sigma", [0.1, 1.2])
def test_shifted_gaussian_is_upstreams_kernel(photo: Photo, scale: int, sigma: float) -> None:
    image = photo(width=48)[:, :28]
    kernel = gaussian_kernel(25, (sigma, sigma))
    for axis in (0, 1):  # by (scale - 1) / 2, half way between two pixels
        low, high = (kernel.roll(-shift, axis) for shift in (scale // 2 - 1, scale // 2))
        kernel = (low + high) / 2
    expected = convolved(image, kernel)[:, ::scale, ::scale]
    assert largest_error(shifted_gaussian_downscale(image, sigma, scale), expected) < 1e-6


def test_noise_has_the_covariance_of_its_factor() -> None:
    grey = torch.full((3, 200, 200), 0.5)
    factor = torch.tensor([[0.05, 0.0], [0.03, 0.04], [0.0, -0.02]])
    noisy = gaussian_noise(grey, factor, seed=1)
    assert torch.equal(noisy, gaussian_noise(grey, factor, seed=1))
    assert not torch.equal(noisy, gaussian_noise(grey, factor, seed=2))
    torch.testing.assert_close((noisy - grey).flatten(1).cov(), factor @ factor.T, atol=5e-5, rtol=0)
    loud = gaussian_noise(grey, torch.eye(3), seed=1)
    assert loud.min() == 0 and loud.max() == 1


def test_jpeg_loses_more_at_lower_quality_and_halves_the_colours(photo: Photo) -> None:
    image = photo(width=64)[:, :40]
    errors = [(jpeg(image, quality) - image).square().mean().item() for quality in (95, 60, 30)]
    assert 0 < errors[0] < errors[1] < errors[2] < 0.01
    pixels = jpeg(image, 60)
    assert torch.equal(torch.tensor(to_uint8(pixels)).permute(2, 0, 1).float() / 255, pixels)
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    blue = torch.tensor([0.0, 0.19, 1.0])[:, None, None]  # of about the same luma
    board = torch.where((torch.arange(16)[:, None] + torch.arange(16)) % 2 == 0, red, blue)
    assert jpeg(board, 95)[0].std() < 0.1 * board[0].std()  # 4:4:4 would keep the board

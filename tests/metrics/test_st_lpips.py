"""ST-LPIPS against its own package, and what it must be: zero for equal images, larger for worse ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from ourgan.metrics.st_lpips import psnr, shift_tolerant, st_lpips

Photo = Callable[..., Tensor]


def blurred(image: Tensor, factor: int) -> Tensor:
    return interpolate(avg_pool2d(image[None], factor), image.shape[1:], mode="bilinear")[0].clamp(0, 1)


def test_it_is_zero_for_equal_images_and_grows_with_blur(photo: Photo) -> None:
    image = photo(width=128)
    assert st_lpips(image, image) == 0
    distances = [st_lpips(image, blurred(image, factor)) for factor in (2, 4, 8)]
    assert 0.01 < distances[0] < distances[1] < distances[2] < 1
    # The order of the two does not matter.
    assert st_lpips(blurred(image, 4), image) == pytest.approx(distances[1], rel=1e-5)


def test_a_shift_by_a_pixel_costs_less_than_a_blur_of_two(photo: Photo) -> None:
    image = photo(width=128)
    shifted = st_lpips(image[:, :, 1:], image[:, :, :-1])
    assert shifted < st_lpips(image, blurred(image, 2))
    assert psnr(image[:, :, 1:], image[:, :, :-1]) < psnr(image, blurred(image, 2))


def test_one_tile_is_what_the_package_says(photo: Photo) -> None:
    image = photo(width=96)
    other = blurred(image, 3)
    with torch.no_grad():
        expected = shift_tolerant("alex")(image[None] * 2 - 1, other[None] * 2 - 1)
    assert st_lpips(image, other) == pytest.approx(float(expected), rel=1e-5)


def test_tiles_are_averaged_by_their_area(photo: Photo) -> None:
    image = photo(width=101)[:, :64]
    other = blurred(image, 4)
    left = st_lpips(image[:, :, :50], other[:, :, :50])
    right = st_lpips(image[:, :, 50:], other[:, :, 50:])
    assert st_lpips(image, other, tile=64) == pytest.approx((50 * left + 51 * right) / 101, rel=1e-5)


def test_what_cannot_be_compared_is_refused() -> None:
    for first, second in ((torch.zeros(3, 64, 64), torch.zeros(3, 64, 65)), (torch.zeros(3, 31, 64),) * 2):
        with pytest.raises(ValueError, match="32 px"):
            st_lpips(first, second)


def test_psnr_of_a_known_error() -> None:
    assert psnr(torch.zeros(3, 4, 4), torch.full((3, 4, 4), 0.1)) == pytest.approx(20)
    assert math.isinf(psnr(torch.ones(3, 4, 4), torch.ones(3, 4, 4)))

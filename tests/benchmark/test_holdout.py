"""How fine-tuning is evaluated: on what was not learned, by pairs that belong together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ourgan.benchmark.holdout import (
    bicubic_upscaler,
    evaluate_upscaler,
    holdout_pairs,
    network_upscaler,
    split_photo,
)
from ourgan.models.rrdbnet import RRDBNet
from ourgan.training.degradation import bicubic_downscale

Photo = Callable[..., Tensor]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")


def test_two_thirds_are_learned_and_the_rest_is_held_out(photo: Photo) -> None:
    image = photo(width=1200)
    learned, held_out = split_photo(image, step=3)
    assert torch.equal(torch.cat([learned, held_out], dim=2), image)  # smaller than 4,096: as it is
    assert learned.shape[2] == 800
    learned, held_out = split_photo(image, step=2)
    assert learned.shape[2] + held_out.shape[2] == 1024 and learned.shape[1] == 768


def test_pairs_are_crops_of_one_image_and_its_quarter(photo: Photo) -> None:
    image = photo(width=300)[:, :221, :150]
    pairs = holdout_pairs(image, side=64)
    low = bicubic_downscale(image[:, :220, :148])
    places = [(52 * number, left) for number, left in enumerate((0, 84, 40, 84))]
    for (small, high), (top, left) in zip(pairs, places, strict=True):
        assert torch.equal(high, image[:, top : top + 64, left : left + 64])
        assert torch.equal(small, low[:, top // 4 : top // 4 + 16, left // 4 : left // 4 + 16])


def test_a_better_upscaler_has_better_scores(photo: Photo) -> None:
    pairs = holdout_pairs(photo(width=256), side=128)

    def nearest(low: Tensor) -> Tensor:
        return F.interpolate(low[None], scale_factor=4, mode="nearest")[0]

    def blurred(low: Tensor) -> Tensor:
        return bicubic_upscaler(F.avg_pool2d(low[None], 2).repeat_interleave(2, 2).repeat_interleave(2, 3)[0])

    good, middling, bad = (
        evaluate_upscaler(method, pairs) for method in (bicubic_upscaler, nearest, blurred)
    )
    assert good.psnr > middling.psnr > bad.psnr
    assert good.st_lpips < bad.st_lpips
    assert good.sample_difference == 0  # no noise
    assert good.lpips is not None and bad.lpips is not None and good.lpips < bad.lpips
    truth = evaluate_upscaler(
        lambda low: next(high for small, high in pairs if torch.equal(small, low)), pairs
    )
    assert truth.st_lpips == 0


def test_without_the_trunk_there_is_no_lpips(photo: Photo, no_trunk: None) -> None:
    found = evaluate_upscaler(bicubic_upscaler, holdout_pairs(photo(width=256), side=64))
    assert found.lpips is None and found.st_lpips > 0


def test_noise_is_what_differences_come_from(photo: Photo) -> None:
    pairs = holdout_pairs(photo(width=256), side=64)
    weak, strong = (evaluate_upscaler(bicubic_upscaler, pairs, noise) for noise in (0.02, 0.1))
    assert 0 < weak.sample_difference < strong.sample_difference / 3
    assert strong.psnr < weak.psnr
    assert evaluate_upscaler(bicubic_upscaler, pairs, 0.1) == strong


def test_a_network_is_run_in_the_precision_asked_for() -> None:
    torch.manual_seed(0)
    network = RRDBNet(channels=8, blocks=1, growth=4).eval()
    torch.nn.init.constant_(network.conv_last.bias, 0.5)  # in the middle of what is not clamped
    low = torch.rand(3, 16, 12)
    with torch.no_grad():
        expected = network(low[None])[0].clamp(0, 1)
    full, half = (network_upscaler(network, dtype)(low) for dtype in (torch.float32, torch.bfloat16))
    torch.testing.assert_close(full, expected)
    assert 0 < (half - expected).abs().max() < 0.05 and half.dtype == torch.float32

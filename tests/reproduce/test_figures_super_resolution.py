"""What notebook 04 draws: the right pixels, the right numbers, and no warning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import Tensor

from ourgan.io.pixels import to_uint8
from ourgan.reproduce import figures
from ourgan.training.degradation import bsrgan
from ourgan.training.seeds import stream
from ourgan.upscale.receptive_field import EffectiveReceptiveField

Photo = Callable[..., Tensor]


def holds(sheet: np.ndarray, picture: np.ndarray) -> bool:
    """Whether a sheet shows exactly this picture somewhere."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :, 0], picture.shape[:2])
    places = np.argwhere((windows == picture[:, :, 0]).all(axis=(2, 3)))
    height, width = picture.shape[:2]
    return any((sheet[y : y + height, x : x + width] == picture).all() for y, x in places)


def test_degradations_are_shown_as_pixels_one_can_see(photo: Photo) -> None:
    patch = photo(width=96)[:, :32, 20:52]
    lr = {f"draw {number}": bsrgan(patch, stream(3, number))[0] for number in range(2)}
    pixels = np.asarray(figures.degradation_sheet(patch, lr))
    assert holds(pixels, to_uint8(patch))
    for picture in lr.values():
        assert holds(pixels, to_uint8(picture.repeat_interleave(4, 1).repeat_interleave(4, 2)))


def test_the_comparison_shows_the_middle_of_every_picture(photo: Photo) -> None:
    picture = photo(width=100)
    rows = {"a": [picture, 1 - picture], "b": [picture / 2, picture]}
    sheet = np.asarray(figures.comparison_sheet(rows, ["x", "y"], side=32))
    middle = picture[:, 21:53, 34:66]
    for shown in (middle, 1 - middle, middle / 2):
        assert holds(sheet, to_uint8(shown))


def test_curves_are_those_of_the_logs() -> None:
    lines = [
        {"iteration": 0, "st_lpips": 0.3, "psnr": 20.0},
        {"iteration": 10, "l1": 0.1, "perceptual": 1.0, "adversarial": 0.7, "discriminator": 0.6},
        {"iteration": 10, "st_lpips": 0.2, "psnr": 21.0},
        {"iteration": 20, "l1": 0.08, "perceptual": 0.9, "adversarial": 0.8, "discriminator": 0.5},
        {"iteration": 20, "st_lpips": 0.25, "psnr": 22.0},
    ]
    figure = figures.draw_training({"step 2": lines})
    l1, _, adversarial, validation = figure.axes
    assert list(l1.lines[0].get_ydata()) == [0.1, 0.08]
    assert [list(line.get_ydata()) for line in adversarial.lines] == [[0.7, 0.8], [0.6, 0.5]]
    assert list(validation.lines[0].get_xdata()) == [0, 10, 20]
    assert list(validation.lines[1].get_xdata()) == [10]  # the ring around what is kept
    plt.close(figure)


def test_fields_are_named_with_their_radius() -> None:
    values = torch.zeros(15, 15, dtype=torch.float64)
    values[7, 7], values[7, 10] = 0.5, 0.5
    field = EffectiveReceptiveField(values, values.square(), (7.0, 7.0), 8, 1)
    figure = figures.draw_network_shares({"step 2, pre-trained": field})
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["step 2, pre-trained: 3.0 px"] == [f"step 2, pre-trained: {field.radius():.1f} px"]
    plt.close(figure)


def test_noise_is_sorted_by_its_strength() -> None:
    def cell(noise: float) -> dict[str, object]:
        method = {"st_lpips": noise, "sample_difference": 10 * noise}
        return {"step": 3, "noise_std": noise, "pre-trained": method, "fine-tuned": method}

    figure = figures.draw_noise([cell(0.1), cell(0.0), cell(0.05)])
    left, right = figure.axes
    assert list(left.lines[1].get_xdata()) == [0.0, 0.05, 0.1]
    assert list(right.lines[1].get_ydata()) == pytest.approx([0.0, 0.5, 1.0])
    plt.close(figure)

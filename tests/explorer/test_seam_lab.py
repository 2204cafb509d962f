"""The seam lab: what it measures, what it refuses, and its pictures."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ourgan.explorer.state.edits import Edit
from ourgan.explorer.state.seam_lab import HEIGHT, WIDTH, SeamError, SeamLab
from ourgan.io.pixels import to_uint8
from ourgan.pipeline import OurGAN
from ourgan.reproduce.figures import edit_sheet, paint_landscape


@pytest.fixture(scope="module")
def lab(toy: OurGAN) -> SeamLab:
    return SeamLab(toy.upscaler)


def test_enough_overlap_leaves_no_difference(lab: SeamLab, photo: Callable[..., Tensor]) -> None:
    image = photo(width=160)
    strip = lab.strip(image, 20, 60)
    assert torch.equal(strip, image[:, 60 : 60 + HEIGHT, 20 : 20 + WIDTH])
    without, with_some = lab.measure(strip, 32, 0), lab.measure(strip, 32, 32)
    assert without.tiled.shape == without.banded.shape == (3, 4 * HEIGHT, 4 * WIDTH)
    assert without.plan.columns == 4 and without.plan.rows == 1
    assert without.difference.mean_in_band > 0.1 > 0.01 > with_some.difference.largest
    assert with_some.banded is without.banded  # computed once for all choices


def test_a_strip_lies_within_the_scene(lab: SeamLab, photo: Callable[..., Tensor]) -> None:
    image = photo(width=160)
    assert torch.equal(lab.strip(image, 999, 999), image[:, -HEIGHT:, -WIDTH:])
    assert torch.equal(lab.strip(image, -5, -5), image[:, :HEIGHT, :WIDTH])
    small = photo(width=20)
    assert lab.strip(small, 5, 5).shape == (3, small.shape[1], 20)


@pytest.mark.parametrize(
    ("tile", "overlap", "words"),
    [(48, 0, "use one of 16, 32, 64"), (16, 17, "0 to 16"), (64, 49, "0 to 48"), (64, -1, "0 to 48")],
)
def test_a_choice_that_takes_too_long_is_refused(lab: SeamLab, tile: int, overlap: int, words: str) -> None:
    with pytest.raises(SeamError, match=words):
        lab.measure(torch.rand(3, HEIGHT, WIDTH), tile, overlap)


def test_the_network_runs_in_float32_whatever_the_model_does(
    toy: OurGAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, source = toy.upscaler.network(2)
    monkeypatch.setattr(
        "ourgan.upscale.upscaler.starting_network", lambda _: (copy.deepcopy(network), source)
    )
    half = toy.upscaler.using(dtype="bfloat16")
    assert next(half.network(2)[0].parameters()).dtype == torch.bfloat16
    measured = SeamLab(half).measure(torch.rand(3, HEIGHT, 40), 64, 0)
    assert measured.difference.largest < 0.01  # one tile: nothing but rounding


def test_pictures_of_the_panels(lab: SeamLab, photo: Callable[..., Tensor]) -> None:
    image = photo(width=160)
    seams = lab.measure(lab.strip(image, 20, 60), 64, 10)
    sheet = seams.sheet()
    assert sheet.width > 4 * WIDTH and sheet.height > 3 * 4 * HEIGHT
    edit = Edit("mirror", (10, 20, 50, 40))
    shown = edit_sheet(image, edit, image)
    assert shown.getpixel((6 + 10, 6 + 20)) == (255, 255, 255)  # the rectangle's corner
    left = 6 + 160 + 6
    inner = to_uint8(edit.apply(image))[30, 20]
    assert shown.getpixel((left + 20, 6 + 30)) == tuple(inner)
    rough = paint_landscape(60, 80)
    assert rough.shape == (3, 60, 80) and rough[2, 2, 40] > rough[2, 55, 40]  # blue above, green below

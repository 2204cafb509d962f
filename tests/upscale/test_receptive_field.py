"""Receptive fields: the theoretical one against real gradients, the effective one against a known one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import Tensor, nn
from torch.nn import functional as F

from ourgan import weights
from ourgan.io.pixels import resize
from ourgan.io.read import read_image
from ourgan.models.rrdbnet import RRDBNet
from ourgan.models.swinir import SwinIR
from ourgan.upscale.reach import theoretical
from ourgan.upscale.receptive_field import (
    EffectiveReceptiveField,
    circle_share,
    effective,
    mean_field,
)

PHOTOS = Path(__file__).parents[2] / "data" / "photos"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")


def low_resolution(name: str) -> Tensor:
    photo = read_image(PHOTOS / f"{name}.jpg")
    return resize(photo, (256 * photo.shape[1] // photo.shape[2], 256))


# The theoretical receptive field


def test_paper_configuration() -> None:
    with torch.device("meta"):
        field = theoretical(RRDBNet())
    assert field.extents == ((349, 348), (348, 348), (348, 348), (348, 349))
    assert field.widths == (698, 697, 697, 698)
    assert field.reach == 349


def positive_network(blocks: int) -> RRDBNet:
    """Every path adds to the gradient, none cancels another."""
    torch.manual_seed(0)
    network = RRDBNet(channels=2, blocks=blocks, growth=1).double()
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.2, 0.4)
    return network


@pytest.mark.parametrize("blocks", [1, 2])
def test_theory_is_the_extent_of_the_gradient_in_all_sixteen_phases(blocks: int) -> None:
    network = positive_network(blocks)
    field = theoretical(network)
    assert field.reach == 15 * blocks + 4
    middle = field.reach + 1
    image = torch.rand(1, 3, 2 * middle + 1, 2 * middle + 1, dtype=torch.float64, requires_grad=True)
    output = network(image)
    for row_phase in range(4):
        for column_phase in range(4):
            pixel = output[0, :, 4 * middle + row_phase, 4 * middle + column_phase].sum()
            (gradient,) = torch.autograd.grad(pixel, image, retain_graph=True)
            touched = gradient[0].abs().sum(0) > 0
            rows, columns = touched.any(1).nonzero().flatten(), touched.any(0).nonzero().flatten()
            for places, phase in ((rows, row_phase), (columns, column_phase)):
                before, after = field.extents[phase]
                assert (int(places[0]), int(places[-1])) == (middle - before, middle + after)


def test_paper_configuration_of_swinir() -> None:
    with torch.device("meta"):
        field = theoretical(SwinIR())
    assert len(field.extents) == 4 * 8
    assert field.widths == (306, *[298] * 30, 306)  # the wider one in 1 phase of 16
    assert field.reach == 153


@pytest.mark.parametrize(("window", "depths"), [(4, (2, 1)), (8, (2,))])
def test_theory_is_the_extent_of_the_gradient_at_every_place_in_a_window(
    window: int, depths: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    network = SwinIR(channels=4, depths=depths, heads=1, window=window).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    field = theoretical(network)
    assert len(field.extents) == 4 * window and len(set(field.extents)) > 4
    start = window * (field.reach // window + 1)
    side = 2 * start + window
    image = torch.rand(1, 3, side, side, requires_grad=True)
    output = network(image)
    for row_phase in range(2 * window):  # half of the phases along one axis, half along the other
        column_phase = 4 * window - 1 - row_phase
        pixel = output[0, :, 4 * start + row_phase, 4 * start + column_phase].sum()
        (gradient,) = torch.autograd.grad(pixel, image, retain_graph=True)
        touched = gradient[0].abs().sum(0) > 0
        rows, columns = touched.any(1).nonzero().flatten(), touched.any(0).nonzero().flatten()
        for places, phase in ((rows, row_phase), (columns, column_phase)):
            before, after = field.extents[phase]
            middle = start + phase // 4
            assert (int(places[0]), int(places[-1])) == (middle - before, middle + after)


def test_unknown_networks_are_not_guessed() -> None:
    with pytest.raises(TypeError, match="Conv2d"):
        theoretical(nn.Conv2d(3, 3, 3))


# The effective receptive field


class Blur(nn.Module):
    """Nearest x2 of a fixed 7x7 blur: its gradient is the kernel, whatever the photo."""

    def __init__(self) -> None:
        super().__init__()
        distance = torch.arange(-3.0, 4)
        kernel = torch.exp(-(distance[:, None] ** 2 + distance[None] ** 2) / 4)
        self.kernel = nn.Parameter(kernel)

    def forward(self, image: Tensor) -> Tensor:
        kernel = self.kernel.expand(3, 1, 7, 7)
        return F.interpolate(F.conv2d(image, kernel, padding=3, groups=3), scale_factor=2.0)


def test_effective_field_of_a_blur_is_its_kernel() -> None:
    network = Blur().double()
    images = [torch.rand(3, 40, 50, dtype=torch.float64) for _ in range(2)]
    field = effective(network, images, positions=5, crop=32, seed=1, progress=False)
    assert field.samples == 10
    middle = tuple(round(value) for value in field.centre)
    kernel = network.kernel.detach() / network.kernel.sum()
    expected = torch.zeros_like(field.magnitude)
    expected[middle[0] - 3 : middle[0] + 4, middle[1] - 3 : middle[1] + 4] = kernel
    torch.testing.assert_close(field.magnitude, expected)
    torch.testing.assert_close(
        field.energy[middle] / field.energy.sum(), (kernel**2).max() / (kernel**2).sum()
    )
    # exp(-d^2 / 4) is over 4.55 % of the centre within this distance.
    within = sum(y * y + x * x < 4 * -math.log(1 - 0.9545) for y in range(-3, 4) for x in range(-3, 4))
    assert field.luo_size() == pytest.approx(math.sqrt(within))
    assert network.kernel.requires_grad and network.training
    again = effective(network, images, positions=5, crop=32, seed=1, progress=False)
    other = effective(network, images, positions=5, crop=32, seed=2, progress=False)
    assert again.centre == field.centre != other.centre


def test_radius_holds_the_share_that_the_circle_says() -> None:
    values = torch.zeros(9, 9)
    values[4, 4], values[4, 6], values[8, 4] = 6, 3, 1
    radii, shares = circle_share(values, (4.0, 4.0))
    assert shares[radii < 2].max() == pytest.approx(0.6)
    assert shares[radii < 4].max() == pytest.approx(0.9)
    assert (shares.diff() >= 0).all() and shares[-1] == 1
    radii, shares = circle_share(values, (4.0, 5.0))  # as seen from between the two large values
    assert radii[shares >= 0.9 - 1e-9].min() == 1


@pytest.mark.slow
def test_released_weights_see_farther_in_magnitude_than_in_energy() -> None:
    network, _ = weights.network()
    image = low_resolution("picos-de-europa")
    field = effective(network, [image], positions=2, crop=40, seed=2, progress=False)
    assert field.magnitude.sum() == pytest.approx(1) and field.energy.sum() == pytest.approx(1)
    assert field.radius(0.5) < field.radius(0.98)
    assert field.radius(0.98, "energy") < field.radius(0.98, "magnitude")
    # The paper's 10 px do not hold 98 % of these weights' gradient, whichever way it is measured.
    assert field.radius(0.98) > 15
    with pytest.raises((ValueError, TypeCheckError), match="'l1'"):  # with types checked, as here, the latter
        field.radius(norm="l1")  # type: ignore[arg-type]


def test_unfit_images_are_refused() -> None:
    with pytest.raises(ValueError, match="no crop of 64x64"):
        effective(Blur(), [torch.rand(3, 63, 200)], crop=64)
    with pytest.raises(ValueError, match="zero or not finite"):
        network = Blur()
        nn.init.zeros_(network.kernel)
        effective(network, [torch.rand(3, 64, 64)], crop=32, positions=1, progress=False)


def random_field(seed: int, samples: int, crop: int = 8) -> EffectiveReceptiveField:
    maps = torch.rand(2, 15, 15, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    maps /= maps.sum((1, 2), keepdim=True)
    return EffectiveReceptiveField(maps[0], maps[1], (7.0 + seed / 10, 7.0), crop, samples)


def test_mean_counts_samples_alike() -> None:
    one, three = random_field(1, samples=1), random_field(2, samples=3)
    mean = mean_field([one, three])
    torch.testing.assert_close(mean.energy, (one.energy + 3 * three.energy) / 4)
    torch.testing.assert_close(mean.magnitude, (one.magnitude + 3 * three.magnitude) / 4)
    assert mean.centre == pytest.approx((7.175, 7.0))
    assert mean.samples == 4
    with pytest.raises(ValueError, match="crops"):
        mean_field([one, random_field(1, samples=1, crop=16)])


@given(share=st.floats(0.01, 0.99), seed=st.integers(0, 20))
def test_share_within_is_the_inverse_of_radius(share: float, seed: int) -> None:
    field = random_field(seed, samples=1)
    radius = field.radius(share, "energy")
    assert field.share_within(radius, "energy") >= share
    assert field.share_within(radius - 1e-6, "energy") < share

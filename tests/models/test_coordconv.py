"""The cheap form of the vertical coordinate convolution against the literal concatenation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ourgan.models.coordconv import (
    VerticalCoordConv2d,
    columns_gradient,
    coordinate_columns,
)

Photo = Callable[..., Tensor]


def concatenated(x: Tensor, padding: str) -> Tensor:
    """[x; y] with its border of one cell, written down row by row: (N, C + 1, H + 2, W + 2)."""
    n, _, height, width = x.shape
    step = 2 / (height - 1) if height > 1 else 0.0
    y = torch.zeros(n, 1, height + 2, width + 2, dtype=x.dtype)
    for row in range(height):
        y[:, :, row + 1, 1:-1] = -1 + row * step if height > 1 else 0.0
    if padding == "extrapolate":
        for row in range(-1, height + 1):
            y[:, :, row + 1] = -1 + row * step if height > 1 else 0.0
    return torch.cat((F.pad(x, (1, 1, 1, 1)), y), dim=1)


def literal(x: Tensor, weight: Tensor, bias: Tensor, padding: str) -> Tensor:
    return F.conv2d(concatenated(x, padding), weight, bias)


@settings(deadline=None, max_examples=60)
@example(height=1, width=1, padding="zeros", normalised=False, batch=1, seed=0)
@example(height=17, width=9, padding="extrapolate", normalised=True, batch=2, seed=0)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    padding=st.sampled_from(["zeros", "extrapolate"]),
    normalised=st.booleans(),
    batch=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_cheap_form_equals_the_literal_concatenation(
    height: int, width: int, padding: str, normalised: bool, batch: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = VerticalCoordConv2d(5, 4, coordinate_padding=padding, spectral_norm=normalised).double()
    x = torch.randn(batch, 5, height, width, dtype=torch.float64, requires_grad=True)
    towards = torch.randn(batch, 4, height, width, dtype=torch.float64)
    ours = layer(x)
    found = torch.autograd.grad(ours, (x, layer.weight, layer.bias), towards)
    layer.eval()  # the power iteration of the forward pass above stays as it is
    theirs = literal(x, layer.effective_weight(), layer.bias, padding)
    expected = torch.autograd.grad(theirs, (x, layer.weight, layer.bias), towards)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    for mine, oracle in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, oracle, atol=1e-11, rtol=1e-11)


def test_the_paper_layer_on_a_photo_equals_65_channels(photo: Photo) -> None:
    torch.manual_seed(0)
    first = VerticalCoordConv2d(3, 64).double()
    second = VerticalCoordConv2d(64, 64).double()
    assert second.weight.shape == (64, 65, 3, 3)
    x = photo(width=48).double()[None] * 2 - 1
    theirs = literal(literal(x, first.weight, first.bias, "zeros"), second.weight, second.bias, "zeros")
    torch.testing.assert_close(second(first(x)), theirs, atol=1e-12, rtol=1e-12)


def test_the_coordinate_runs_from_minus_one_at_the_top_to_one_at_the_bottom() -> None:
    centre = torch.zeros(1, 1, 3, 3)
    centre[0, 0, 1, 1] = 1
    columns = coordinate_columns(centre, 5, 7, "zeros")
    assert columns.shape == (1, 1, 5, 3)
    for column in range(3):
        torch.testing.assert_close(columns[0, 0, :, column], torch.tensor([-1, -0.5, 0, 0.5, 1]))


def test_zero_padding_shows_the_side_borders_and_extrapolation_hides_them() -> None:
    weight = torch.ones(1, 1, 3, 3)
    zeros = coordinate_columns(weight, 5, 7, "zeros")[0, 0]
    assert zeros[1, 0] == pytest.approx(float(zeros[1, 1]) * 2 / 3)
    extrapolated = coordinate_columns(weight, 5, 7, "extrapolate")[0, 0]
    assert torch.equal(extrapolated[:, 0], extrapolated[:, 1])
    assert torch.equal(extrapolated[:, 2], extrapolated[:, 1])
    torch.testing.assert_close(extrapolated.diff(dim=0), torch.full((4, 3), 9 * 0.5))  # one slope everywhere


def test_without_the_coordinate_it_is_a_plain_convolution_with_its_default_initialisation() -> None:
    torch.manual_seed(4)
    plain = torch.nn.Conv2d(6, 8, 3, padding=1)
    torch.manual_seed(4)
    ours = VerticalCoordConv2d(6, 8, coordinate=False)
    assert torch.equal(ours.weight, plain.weight)
    assert torch.equal(ours.bias, plain.bias)
    x = torch.randn(2, 6, 5, 7)
    # Kernels of another layout may round otherwise, as on processors without AVX-512.
    plain = plain.to(memory_format=torch.channels_last)
    assert torch.equal(ours(x), plain(x))


def test_the_coordinate_counts_in_the_fan() -> None:
    torch.manual_seed(5)
    weight = VerticalCoordConv2d(64, 512).weight
    bound = (65 * 9) ** -0.5
    assert 0.99 * bound < weight.abs().max().item() <= bound
    assert 0.99 * bound < weight[:, 64].abs().max().item() <= bound


def test_every_step_of_the_spectral_norm_equals_that_of_torch() -> None:
    torch.manual_seed(6)
    ours = VerticalCoordConv2d(4, 6, spectral_norm=True).double()
    theirs = torch.nn.Conv2d(5, 6, 3).double()
    theirs.weight.data.copy_(ours.weight)
    theirs.bias.data.copy_(ours.bias)
    theirs = torch.nn.utils.spectral_norm(theirs)
    theirs.weight_u.copy_(ours.u)
    theirs.weight_v.copy_(ours.v)
    x = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(concatenated(x, "zeros")), atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(ours.u, theirs.weight_u)
    ours.zero_grad()
    theirs.zero_grad()
    ours(x).square().sum().backward()
    theirs(concatenated(x, "zeros")).square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight_orig.grad, atol=1e-10, rtol=1e-10)


def test_after_many_power_iterations_the_weight_has_norm_one() -> None:
    torch.manual_seed(7)
    layer = VerticalCoordConv2d(7, 9, spectral_norm=True).double()
    assert torch.linalg.matrix_norm(layer.effective_weight().flatten(1), 2).item() > 1.01
    for _ in range(500):
        layer.effective_weight()
    matrix = layer.effective_weight().detach().flatten(1)
    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-9)
    conv = torch.nn.Conv2d(8, 9, 3).double()
    conv.weight.data.copy_(layer.weight)
    conv = torch.nn.utils.parametrizations.spectral_norm(conv, n_power_iterations=500)
    conv(torch.zeros(1, 8, 3, 3, dtype=torch.float64))
    torch.testing.assert_close(conv.eval().weight.detach().flatten(1), matrix, atol=1e-9, rtol=0)


def test_the_power_iteration_rests_in_evaluation_mode() -> None:
    torch.manual_seed(8)
    layer = VerticalCoordConv2d(3, 5, spectral_norm=True)
    u = layer.u.clone()
    layer.eval().effective_weight()
    assert torch.equal(layer.u, u)
    layer.train().effective_weight()
    assert not torch.equal(layer.u, u)


def test_two_passes_before_one_backward_keep_their_own_norm() -> None:
    # The buffers change in the second pass; the first one's graph must not see that.
    torch.manual_seed(9)
    layer = VerticalCoordConv2d(3, 5, spectral_norm=True).double()
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    u, v = layer.u.clone(), layer.v.clone()
    alone = torch.autograd.grad(layer(x).square().sum(), layer.weight)[0]
    layer.u.copy_(u)
    layer.v.copy_(v)
    first = layer(x)
    layer(x)
    torch.testing.assert_close(torch.autograd.grad(first.square().sum(), layer.weight)[0], alone)


def test_bfloat16_stays_close_to_float32(photo: Photo) -> None:
    torch.manual_seed(10)
    first, second = VerticalCoordConv2d(3, 64), VerticalCoordConv2d(64, 64)
    x = photo("stream", width=48)[None] * 2 - 1

    def run(dtype: torch.dtype) -> list[Tensor]:
        y = second(F.leaky_relu(first(x.to(dtype)), 0.2))
        assert y.dtype == dtype
        # The gradient of its square: one with random signs would mostly cancel, and leave the rounding.
        gradients = torch.autograd.grad(y, (first.weight, second.weight, second.bias), y.detach())
        assert all(g.dtype == torch.float32 for g in gradients)
        return [y.detach().float(), *gradients]

    for exact, fast in zip(run(torch.float32), run(torch.bfloat16), strict=True):
        assert 0 < (fast - exact).norm() < 0.01 * exact.norm()


@pytest.mark.parametrize("width", [1, 2, 3, 4, 11])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_columns_gradient_is_the_sum_over_batch_and_interior(width: int, dtype: torch.dtype) -> None:
    torch.manual_seed(width)
    grad = torch.randn(2, 3, 5, width, dtype=torch.float64).to(dtype)
    exact = grad.double().sum(0)
    expected = exact
    if width >= 3:
        expected = torch.stack((exact[..., 0], exact[..., 1:-1].sum(-1), exact[..., -1]), dim=-1)
    found = columns_gradient(grad, min(width, 3))
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    tolerance = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    torch.testing.assert_close(found[0].double(), expected, atol=tolerance, rtol=tolerance)

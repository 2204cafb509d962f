"""The explicit gradients of the discriminator against plain automatic differentiation, twice over."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ourgan.models.pyramid import SLOPE, ConvBlock
from ourgan.training.gradient_penalty import discriminator_step, score_gradient

Photo = Callable[..., Tensor]


class Literal(nn.Module):
    """The discriminator spelt out: concatenated coordinate, and the spectral norm of torch."""

    def __init__(self, ours: ConvBlock) -> None:
        super().__init__()
        self.padding = ours.convolutions[0].coordinate_padding
        self.coordinate = ours.convolutions[0].coordinate
        self.layers = nn.ModuleList()
        for layer in ours.convolutions:
            conv = nn.Conv2d(layer.weight.shape[1], layer.weight.shape[0], 3).double()
            conv.weight.data.copy_(layer.weight)
            conv.bias.data.copy_(layer.bias)
            if layer.spectral_norm:
                conv = nn.utils.spectral_norm(conv)
                conv.weight_u.copy_(layer.u)
                conv.weight_v.copy_(layer.v)
            self.layers.append(conv)

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(self.padded(x))
            if i < len(self.layers) - 1:
                x = F.leaky_relu(x, SLOPE)
        return x

    def padded(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        x = F.pad(x, (1, 1, 1, 1))
        if not self.coordinate:
            return x
        y = torch.linspace(-1, 1, h, dtype=x.dtype).view(1, 1, h, 1).expand(n, 1, h, w)
        if self.padding == "zeros":
            y = F.pad(y, (1, 1, 1, 1))
        else:
            step = 2 / (h - 1)
            y = torch.linspace(-1 - step, 1 + step, h + 2, dtype=x.dtype).view(1, 1, -1, 1)
            y = y.expand(n, 1, h + 2, w + 2)
        return torch.cat((x, y), dim=1)

    def gradients(self) -> list[Tensor]:
        """In the order of `discriminator.parameters`: weight and bias of each layer."""
        return [
            gradient
            for layer in self.layers
            for gradient in (getattr(layer, "weight_orig", layer.weight).grad, layer.bias.grad)
        ]


def tiny(coordinate: bool = True, padding: str = "zeros", channels: int = 6) -> ConvBlock:
    torch.manual_seed(0)
    return ConvBlock(3, 1, channels, 3, coordinate=coordinate, coordinate_padding=padding, spectral_norm=True)


def pictures(photo: Photo, width: int, reals: int = 1) -> tuple[Tensor, Tensor]:
    """Crops of two photos in [-1, 1], float64: `reals` real ones, and two as if they were generated."""

    def crops(name: str, count: int) -> Tensor:
        scene = photo(name).double() * 2 - 1
        return torch.stack([scene[:, 20 + 3 * k : 27 + 3 * k, 11 * k : 11 * k + width] for k in range(count)])

    return crops("picos-de-europa", reals), crops("stream", 2)


def by_autograd(oracle: Literal, real: Tensor, fake: Tensor, mix: float, weight: float) -> list[Tensor]:
    """Losses of WGAN-GP, and their gradients by double backward. One power iteration, as in ours."""
    real_loss = -oracle(real).mean()
    for layer in oracle.layers:
        layer.eval()  # the other two passes use the same normalised weight
    fake_loss = oracle(fake).mean()
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    gradient = torch.autograd.grad(oracle(between).sum(), between, create_graph=True)[0]
    penalty = weight * ((gradient.norm(dim=1) - 1) ** 2).mean()
    (real_loss + fake_loss + penalty).backward()
    return [real_loss, fake_loss, penalty]


def assert_close(ours: list[Tensor], theirs: list[Tensor], relative: float) -> None:
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine.shape == expected.shape
        # The last bias's gradient is -1 + 1, so a few roundings of 1 are allowed for.
        assert (mine - expected).norm() <= relative * expected.norm() + 1e-14


@pytest.mark.parametrize("width", [1, 2, 3, 9])
@pytest.mark.parametrize("padding", ["zeros", "extrapolate", "no coordinate"])
@pytest.mark.parametrize("reals", [1, 2])
def test_every_gradient_equals_that_of_double_backward(
    photo: Photo, width: int, padding: str, reals: int
) -> None:
    coordinate = padding != "no coordinate"
    ours = tiny(coordinate, padding if coordinate else "zeros").double()
    oracle = Literal(ours)
    real, fake = pictures(photo, width, reals)
    # A weight of 30 makes the penalty's share of the gradients as large as that of the plain losses.
    losses = discriminator_step(ours, real, fake, mix=0.3, penalty_weight=30.0, dtype=torch.float64)
    expected = by_autograd(oracle, real, fake, 0.3, 30.0)
    assert_close(list(losses), expected, 1e-10)
    found = [parameter.grad for parameter in ours.parameters()]
    assert len(found) == 10
    assert_close(found, oracle.gradients(), 1e-10)
    for mine, theirs in zip(ours.convolutions, oracle.layers, strict=True):
        if mine.spectral_norm:
            torch.testing.assert_close(mine.u, theirs.weight_u)
        if coordinate:
            expected_slice = getattr(theirs, "weight_orig", theirs.weight).grad[:, -1]
            assert_close([mine.weight.grad[:, -1]], [expected_slice], 1e-10)


def test_the_penalty_alone_reaches_the_weights(photo: Photo) -> None:
    # With equal pictures the plain losses cancel, up to the rounding.
    ours = tiny().double()
    oracle = Literal(ours)
    real, _ = pictures(photo, 9)
    discriminator_step(ours, real, real.clone(), mix=0.5, penalty_weight=0.1, dtype=torch.float64)
    by_autograd(oracle, real, real.clone(), 0.5, 0.1)
    weights = [layer.weight.grad for layer in ours.convolutions]
    assert all(gradient.norm() > 1e-4 for gradient in weights)
    assert_close(weights, oracle.gradients()[::2], 1e-10)
    assert all(layer.bias.grad.norm() < 1e-12 for layer in ours.convolutions)


def test_one_real_row_serves_for_a_batch_of_equal_ones(photo: Photo) -> None:
    one = tiny().double()
    two = copy.deepcopy(one)
    real, fake = pictures(photo, 9)
    for network, rows in ((one, real), (two, real.expand(2, -1, -1, -1))):
        discriminator_step(network, rows, fake, mix=0.7, penalty_weight=0.1, dtype=torch.float64)
    assert_close([p.grad for p in one.parameters()], [p.grad for p in two.parameters()], 1e-12)


def test_gradients_are_added_to_those_already_there(photo: Photo) -> None:
    network = tiny().double().eval()  # no power iteration between the two
    real, fake = pictures(photo, 9)
    discriminator_step(network, real, fake, mix=0.7, penalty_weight=0.1, dtype=torch.float64)
    once = [p.grad.clone() for p in network.parameters()]
    discriminator_step(network, real, fake, mix=0.7, penalty_weight=0.1, dtype=torch.float64)
    assert_close([p.grad for p in network.parameters()], [2 * g for g in once], 1e-12)


def test_the_pictures_are_left_as_they_were(photo: Photo) -> None:
    real, fake = pictures(photo, 9)
    copies = real.clone(), fake.clone()
    discriminator_step(tiny().double(), real, fake, mix=0.7, penalty_weight=0.1, dtype=torch.float64)
    score_gradient(tiny().double(), fake, dtype=torch.float64)
    assert torch.equal(real, copies[0])
    assert torch.equal(fake, copies[1])


@pytest.mark.parametrize("width", [1, 2, 3, 9])
@pytest.mark.parametrize("coordinate", [True, False])
def test_score_gradient_equals_that_of_autograd(photo: Photo, width: int, coordinate: bool) -> None:
    ours = tiny(coordinate).double()
    oracle = Literal(ours)
    _, fake = pictures(photo, width)
    score, gradient = score_gradient(ours, fake, dtype=torch.float64)
    leaf = fake.clone().requires_grad_()
    expected = oracle(leaf).mean()
    expected.backward()
    assert_close([score, gradient], [expected, leaf.grad], 1e-10)
    assert all(parameter.grad is None for parameter in ours.parameters())


def test_bfloat16_stays_close_to_float32_on_a_photo(photo: Photo) -> None:
    exact = tiny(channels=64)
    fast = copy.deepcopy(exact)
    real = photo("picos-de-europa")[None, :, 8:40, 8:56] * 2 - 1
    fake = photo("stream")[None, :, 8:40, 8:56] * 2 - 1
    exactly, quickly = [
        discriminator_step(network, real, fake, mix=0.4, penalty_weight=0.1, dtype=dtype)
        for network, dtype in ((exact, torch.float32), (fast, torch.bfloat16))
    ]
    assert quickly[2].dtype == torch.float32
    assert_close([quickly[2]], [exactly[2]], 0.005)
    for score, expected in zip(quickly[:2], exactly[:2], strict=True):  # untrained scores are near 0
        assert (score - expected).abs() < 1e-3
    pairs = zip(fast.parameters(), exact.parameters(), strict=True)
    for mine, expected in [(m.grad, e.grad) for m, e in pairs][:-1]:  # the last bias's is 0
        assert mine.dtype == torch.float32
        assert 0 < (mine - expected).norm() < 0.05 * expected.norm()


def test_score_gradient_in_bfloat16_is_as_good_as_that_of_autograd(photo: Photo) -> None:
    network = tiny(channels=64).eval()
    fake = photo("stream")[None, :, 8:40, 8:56] * 2 - 1
    leaf = fake.clone().requires_grad_()
    network(leaf.bfloat16()).float().mean().backward(inputs=[leaf])
    exact = score_gradient(network, fake, dtype=torch.float32)[1]
    fast = score_gradient(network, fake, dtype=torch.bfloat16)[1]
    assert fast.dtype == torch.float32
    # Signs of features near 0 change with the rounding, whoever differentiates.
    assert 0 < (fast - exact).norm() < min(0.15 * exact.norm(), 1.1 * (leaf.grad - exact).norm())

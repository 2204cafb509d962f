"""The discriminators against networks put together independently from torch's own parts."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ourgan.models.discriminators import SpectralConv2d, UNetDiscriminator, VGGDiscriminator


def vgg_of_parts(channels: int, size: int) -> nn.Sequential:
    """BasicSR's VGG discriminator as a plain chain, the parameters in the same order."""
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, 1, 1), nn.LeakyReLU(0.2)]
    inputs = channels
    for i, width in enumerate([1, 2, 4, 8, 8]):
        if i:
            layers += [nn.Conv2d(inputs, width * channels, 3, 1, 1, bias=False)]
            layers += [nn.BatchNorm2d(width * channels), nn.LeakyReLU(0.2)]
        inputs = width * channels
        layers += [nn.Conv2d(inputs, inputs, 4, 2, 1, bias=False), nn.BatchNorm2d(inputs), nn.LeakyReLU(0.2)]
    head = [nn.Flatten(), nn.Linear(inputs * (size // 32) ** 2, 100), nn.LeakyReLU(0.2), nn.Linear(100, 1)]
    return nn.Sequential(*layers, *head)


class UNetOfParts(nn.Module):
    """BasicSR's U-Net discriminator with torch's own spectral normalisation, the same names."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        plan = [(1, 2, 4, 2), (2, 4, 4, 2), (4, 8, 4, 2), (8, 4, 3, 1), (4, 2, 3, 1), (2, 1, 3, 1)]
        self.conv0 = nn.Conv2d(3, channels, 3, 1, 1)
        for i, (inputs, outputs, kernel, stride) in enumerate([*plan, (1, 1, 3, 1), (1, 1, 3, 1)], start=1):
            conv = nn.Conv2d(channels * inputs, channels * outputs, kernel, stride, 1, bias=False)
            self.add_module(f"conv{i}", nn.utils.spectral_norm(conv))
        self.conv9 = nn.Conv2d(channels, 1, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        maps = [image]
        for i in range(9):
            if 4 <= i <= 6:
                doubled = nn.Upsample(scale_factor=2, mode="bilinear")(maps[-1])
                maps.append(F.leaky_relu(self.get_submodule(f"conv{i}")(doubled), 0.2) + maps[7 - i])
            else:
                maps.append(F.leaky_relu(self.get_submodule(f"conv{i}")(maps[-1]), 0.2))
        return self.conv9(maps[-1])


def batch(photo: Callable[..., Tensor], size: int) -> Tensor:
    image = photo(width=2 * size)
    return torch.stack([image[:, :size, :size], image[:, -size:, -size:], image[:, :size, -size:]])


def scrambled(network: nn.Module) -> nn.Module:
    """Large random parameters, so that every layer matters."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1).add_(0.02)
    return network


def largest(conv: SpectralConv2d) -> float:
    """The largest singular value of the kernel that the convolution uses in eval mode."""
    copied = copy.deepcopy(conv).eval()
    delta = torch.eye(27).unflatten(1, (3, 3, 3))  # one image for each element of the kernel
    with torch.no_grad():
        kernel = copied(delta)[:, :, 1, 1].T
    return torch.linalg.svdvals(kernel)[0].item()


def test_the_released_sizes_and_names() -> None:
    with torch.device("meta"):
        vgg = VGGDiscriminator()
    unet = UNetDiscriminator()
    assert sum(p.numel() for p in vgg.parameters()) == 14_499_401
    assert sum(p.numel() for p in unet.parameters()) == 4_376_897
    names = list(vgg.state_dict())
    assert names[:4] == ["conv0_0.weight", "conv0_0.bias", "conv0_1.weight", "bn0_1.weight"]
    assert {"conv4_0.weight", "bn4_1.running_var"} <= set(names)
    assert names[-4:] == ["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]
    assert vgg.linear1.weight.shape == (100, 512 * 4 * 4)


@pytest.mark.parametrize("size", [32, 96])
def test_vgg_equals_a_chain_of_parts(photo: Callable[..., Tensor], size: int) -> None:
    torch.manual_seed(0)
    network = scrambled(VGGDiscriminator(channels=4, size=size))
    parts = vgg_of_parts(4, size)
    own = network.state_dict()
    parts.load_state_dict(dict(zip(parts.state_dict(), own.values(), strict=True)))
    images = batch(photo, size)
    logits = network(images)
    assert logits.shape == (3, 1)
    assert logits.std() > 0.01
    torch.testing.assert_close(logits, parts(images))
    torch.testing.assert_close(network.eval()(images), parts.eval()(images))  # the running statistics as well


def test_unet_equals_torchs_spectral_norm_over_steps(photo: Callable[..., Tensor]) -> None:
    torch.manual_seed(0)
    network, parts = scrambled(UNetDiscriminator(channels=4)), UNetOfParts(4)
    parts.load_state_dict(network.state_dict())  # strict: the names are the official ones
    images = batch(photo, 40)
    for _ in range(3):
        network.zero_grad()
        ours, theirs = network(images), parts(images)
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)
    assert ours.shape == (3, 1, 40, 40)
    assert ours.std() > 0.01
    parts.zero_grad()
    ours.square().mean().backward()
    theirs.square().mean().backward()
    gradients = dict(parts.named_parameters())
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, atol=1e-6, rtol=1e-3, msg=name)
    state = parts.state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, state[name], msg=name)
    torch.testing.assert_close(network.eval()(images), parts.eval()(images), atol=1e-6, rtol=1e-4)


def test_spectral_norm_finds_the_largest_singular_value() -> None:
    torch.manual_seed(0)
    conv = SpectralConv2d(3, 5, 3)
    features = torch.rand(1, 3, 6, 6)
    assert largest(conv) == pytest.approx(1, abs=1e-5)
    scrambled(conv)
    assert largest(conv) > 1.01  # of other parameters
    for _ in range(60):
        conv(features)
    assert largest(conv) == pytest.approx(1, abs=1e-3)


def test_resumed_from_the_state_dict_it_goes_on_exactly(photo: Callable[..., Tensor]) -> None:
    images = batch(photo, 32)
    network = scrambled(UNetDiscriminator(channels=4))
    network(images)
    state = copy.deepcopy(network.state_dict())
    expected = [network(images) for _ in range(2)]
    resumed = UNetDiscriminator(channels=4)
    resumed.load_state_dict(state)
    for logits in expected:
        assert torch.equal(resumed(images), logits)
    assert not torch.equal(expected[0], expected[1])  # the vectors are still on their way


@pytest.mark.parametrize("network", [VGGDiscriminator(4, 32), UNetDiscriminator(4)], ids=["vgg", "unet"])
def test_bfloat16_channels_last_and_two_passes_before_backward(
    network: nn.Module, photo: Callable[..., Tensor]
) -> None:
    torch.manual_seed(0)
    network = scrambled(copy.deepcopy(network))
    images = batch(photo, 32)
    exact_network = copy.deepcopy(network)
    exact = exact_network(images)
    exact_network(images)
    network = network.to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        real, fake = network(images), network(images.flip(3))
        (F.softplus(-real) + F.softplus(fake)).mean().backward()
    assert real.dtype == torch.bfloat16
    assert (real.float() - exact).norm() < 0.03 * exact.norm()
    for name, value in exact_network.state_dict().items():
        if "weight_" in name:  # the power iteration goes on in float32
            torch.testing.assert_close(network.state_dict()[name], value, atol=1e-5, rtol=0, msg=name)
    for parameter in network.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any()


@pytest.mark.parametrize("network", [VGGDiscriminator(4, 32), UNetDiscriminator(4)], ids=["vgg", "unet"])
def test_frozen_it_still_leads_the_gradient_to_the_image(
    network: nn.Module, photo: Callable[..., Tensor]
) -> None:
    network = scrambled(copy.deepcopy(network)).requires_grad_(False)
    images = batch(photo, 32).requires_grad_()
    F.softplus(-network(images)).mean().backward()
    assert images.grad is not None and (images.grad.abs().amax((1, 2, 3)) > 0).all()
    assert all(parameter.grad is None for parameter in network.parameters())


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="size 48 is no multiple of 32"):
        VGGDiscriminator(size=48)
    with pytest.raises(ValueError, match=r"built for images \(N, 3, 64, 64\), not \(1, 3, 32, 32\)"):
        VGGDiscriminator(4, 64)(torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match="36 x 40 pixels are no multiples of 8"):
        UNetDiscriminator(4)(torch.rand(1, 3, 36, 40))


def test_unet_starts_orthogonal() -> None:
    network = UNetDiscriminator(4)
    for weight in (network.conv0.weight, network.conv4.weight_orig, network.conv9.weight):
        values = torch.linalg.svdvals(weight.flatten(1))
        torch.testing.assert_close(values, torch.full_like(values, 0.2))
    assert not network.conv0.bias.any() and not network.conv9.bias.any()

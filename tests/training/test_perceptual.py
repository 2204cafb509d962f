"""The perceptual loss: which layers, before their activations, and by which trunk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torchvision.models import vgg19

from ourgan import weights
from ourgan.config.profile import PERCEPTUAL_LAYERS
from ourgan.training.losses import WEIGHTS, PerceptualLoss, load_trunk

Photo = Callable[..., Tensor]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURGAN_WEIGHTS", "package")


@pytest.fixture(scope="module")
def torchvision_vgg() -> torch.nn.Module:
    torch.manual_seed(0)
    return vgg19(weights=None).features.eval()


@pytest.fixture
def hub_vgg(monkeypatch: pytest.MonkeyPatch, torchvision_vgg: torch.nn.Module) -> None:
    """weights.load("vgg19") finds random weights under the names of the Hub's file."""
    state = {f"features.{name}": value for name, value in torchvision_vgg.state_dict().items()}
    found = SimpleNamespace(state_dict=state | {"head.fc.weight": torch.zeros(3)}, source="hub: vgg")
    monkeypatch.setattr(weights, "load", lambda name: found if name == "vgg19" else None)


def images(photo: Photo) -> tuple[Tensor, Tensor]:
    real = torch.stack([photo(name, width=72)[:, :48, :48] for name in ("picos-de-europa", "sunset")])
    torch.manual_seed(1)
    return (real + 0.1 * torch.randn(real.shape)).clamp(0, 1), real


@pytest.mark.slow
def test_without_the_hub_a_stand_in_is_used_and_named(photo: Photo, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        loss = PerceptualLoss(["conv5_4"])
    assert loss.trunk_name == "VGG16 of ST-LPIPS (stand-in for VGG19)"
    assert "stands in for VGG19" in caplog.text and "hf download timm/vgg19" in caplog.text
    made, real = images(photo)
    assert loss(real, real) == 0
    assert 0 < loss(0.9 * real + 0.1 * made, real) < loss(made, real)


def test_the_stand_ins_features_are_of_size_one(photo: Photo) -> None:
    """Divided by what the table says, each layer's features have a standard deviation near 1 on photos."""
    trunk = load_trunk()
    for name in PERCEPTUAL_LAYERS:
        loss = PerceptualLoss([name], trunk)
        with torch.no_grad():
            (features,) = loss.features(photo(width=128)[None, :, :96, :96])
        _, divisor = trunk.layer_index[name]
        assert 0.5 < features.std() / divisor < 2, name
        assert (features < 0).any()  # before the activation


@pytest.mark.usefixtures("hub_vgg")
def test_vgg19_is_compared_before_the_activation_of_conv5_4(
    photo: Photo, torchvision_vgg: torch.nn.Module
) -> None:
    loss = PerceptualLoss(["conv5_4"])
    assert loss.trunk_name == "VGG19 (hub: vgg)"
    assert len(loss.layers) == 35 and isinstance(loss.layers[-1], torch.nn.Conv2d)
    made, real = images(photo)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

    def features(image: Tensor) -> Tensor:
        return torchvision_vgg[:35]((image - mean[:, None, None]) / std[:, None, None])

    with torch.no_grad():
        expected = (features(made) - features(real)).abs().mean()
        torch.testing.assert_close(loss(made, real), expected)


@pytest.mark.usefixtures("hub_vgg")
def test_several_layers_add_up_with_their_weights(photo: Photo, torchvision_vgg: torch.nn.Module) -> None:
    made, real = images(photo)
    # In any order of naming, and an activation that works in place must not reach what is compared.
    together = PerceptualLoss(PERCEPTUAL_LAYERS[::-1])(made, real)
    alone = [PerceptualLoss([name])(made, real) for name in PERCEPTUAL_LAYERS]
    torch.testing.assert_close(together, torch.stack(alone).sum())
    assert [WEIGHTS[name] for name in PERCEPTUAL_LAYERS] == [0.1, 0.1, 1, 1, 1]
    assert torchvision_vgg[1].inplace  # as torchvision builds it


@pytest.mark.slow
def test_gradients_reach_the_image_made_and_nothing_else(photo: Photo) -> None:
    loss = PerceptualLoss(PERCEPTUAL_LAYERS)
    made, real = images(photo)
    made.requires_grad_()
    real.requires_grad_()
    loss(made, real).backward()
    assert made.grad.abs().sum() > 0 and real.grad is None
    assert all(parameter.grad is None for parameter in loss.parameters())
    loss.layers.to(torch.bfloat16)
    assert loss(made, real).dtype == torch.float32

"""Perceptual loss: L1 between a classifier's features, before their activations (Alg. F.2 to F.5)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ourgan import weights
from ourgan.models.feature_nets import shift_tolerant

log = logging.getLogger(__name__)

# Weights of the layers in the public training code of SwinIR, and of ESRGAN's one. The paper names neither.
WEIGHTS = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0}
# Place of each layer, and what its features are divided by.
VGG19 = {
    "conv1_2": (2, 1.0),
    "conv2_2": (7, 1.0),
    "conv3_4": (16, 1.0),
    "conv4_4": (25, 1.0),
    "conv5_4": (34, 1.0),
}
# VGG16 has a convolution less in its last three blocks, so the last of each stands for VGG19's, and ST-LPIPS
# adds a blur after each pooling. The divisors are standard deviations over the photos in data/photos:
# undivided, conv5_4 would be a hundred times the other terms of the loss.
VGG16 = {
    "conv1_2": (2, 0.22),
    "conv2_2": (8, 0.28),
    "conv3_4": (16, 0.37),
    "conv4_4": (24, 3.9),
    "conv5_4": (32, 71.0),
}

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Trunk:
    """Convolutions of a classifier.

    `name` goes into logs, cards and figures; `places`: of each named layer, its index and what its features
    are divided by.
    """

    name: str
    layers: nn.Sequential
    places: Mapping[str, tuple[int, float]]


def load_trunk() -> Trunk:
    """VGG19 from the Hub or its cache; where it cannot be had, the VGG16 of ST-LPIPS, named as a stand-in."""
    try:
        found = weights.load("vgg19")
    except weights.WeightsError as error:
        log.warning("perceptual loss: VGG16 of ST-LPIPS stands in for VGG19 (%s)", error)
        net = shift_tolerant("vgg").net
        layers = nn.Sequential(*(layer for block in net.children() for layer in block))
        return Trunk("VGG16 of ST-LPIPS (stand-in for VGG19)", layers, VGG16)
    from torchvision.models import vgg19

    with torch.device("meta"):
        features = vgg19(weights=None).features
    state = {
        name.removeprefix("features."): value
        for name, value in found.state_dict.items()
        if name.startswith("features.")
    }
    features.load_state_dict(state, assign=True)
    return Trunk(f"VGG19 ({found.source})", features, VGG19)


class PerceptualLoss(nn.Module):
    """Weighted L1 distance of features, each layer's a mean over all its elements.

    Args:
        names: of the layers to compare, such as "conv5_4".
        trunk: default `load_trunk()`.

    The trunk is frozen; only layers up to the last one compared are kept.
    """

    def __init__(self, names: Sequence[str], trunk: Trunk | None = None) -> None:
        super().__init__()
        trunk = trunk or load_trunk()
        self.trunk_name = trunk.name
        places: dict[int, float] = {}
        for name in names:
            place, divisor = trunk.places[name]
            places[place] = WEIGHTS[name] / divisor
        self.weights = dict(sorted(places.items()))
        self.layers = trunk.layers[: max(self.weights) + 1].eval().requires_grad_(False)
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # it would overwrite the features that are compared
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def features(self, images: Tensor) -> list[Tensor]:
        """Of images (N, 3, H, W) in [0, 1], the layers compared, shallow to deep."""
        parameter = next(self.layers.parameters())
        x = ((images - self.mean) / self.std).to(parameter.dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        found = []
        for place, layer in enumerate(self.layers):
            x = layer(x)
            if place in self.weights:
                found.append(x)
        return found

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Distance of (N, 3, H, W) images in [0, 1], float32; gradients flow to `made`."""
        with torch.no_grad():
            target = self.features(real)
        pairs = zip(self.weights.values(), self.features(made), target, strict=True)
        losses = [weight * (a - b).abs().float().mean() for weight, a, b in pairs]
        return torch.stack(losses).sum()

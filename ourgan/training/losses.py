"""Losses: of step 1 (Alg. F.1), and of super-resolution (Alg. F.2 to F.5): adversarial and perceptual."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ourgan import weights
from ourgan.config.profile import PERCEPTUAL_LAYERS
from ourgan.models.feature_nets import shift_tolerant

log = logging.getLogger(__name__)

Scalar = Float[Tensor, ""]


def kl_loss(mean: Float[Tensor, "n c h w"], log_variance: Float[Tensor, "n c h w"]) -> Scalar:
    """Return the KL divergence of N(mean, exp(log_variance)) from N(0, 1), the mean over all latent elements.

    The second term of Eq. 1; there a sum, here a mean, as in the public code of HP-VAE-GAN.
    """
    return (-0.5 * (1 + log_variance - mean.square() - log_variance.exp())).mean()


def reconstruction_loss(image: Float[Tensor, "n 3 h w"], photo: Float[Tensor, "_ 3 h w"]) -> Scalar:
    """Return the mean squared error against the photo (Eq. 1 to 3); one row of it serves all images."""
    return (image - photo).square().mean()


# ESRGAN: the relativistic average GAN of Jolicoeur-Martineau, "The relativistic discriminator: a key element
# missing from standard GAN" (ICLR 2019), as Wang et al., "ESRGAN" (2018), have it in their Eq. 1 and 2:
#     L_D = -E_r[log s(C(r) - E_f[C(f)])] - E_f[log(1 - s(C(f) - E_r[C(r)]))],     s: the logistic function.


def relativistic_discriminator_loss(real: Float[Tensor, "n 1"], fake: Float[Tensor, "n 1"]) -> Scalar:
    """Return L_D: is a real image more real than the average fake one, and the other way round?

    It has BasicSR's factor 1/2, and its gradients: each mean is a constant.
    """
    of_real = _cross_entropy(real - fake.mean().detach(), 1.0)
    of_fake = _cross_entropy(fake - real.mean().detach(), 0.0)
    return (of_real + of_fake) / 2


def relativistic_generator_loss(real: Float[Tensor, "n 1"], fake: Float[Tensor, "n 1"]) -> Scalar:
    """Return L_G: L_D with the answers exchanged. `real` is a constant; `fake` is not, also in its mean."""
    real = real.detach()
    return (_cross_entropy(real - fake.mean(), 0.0) + _cross_entropy(fake - real.mean(), 1.0)) / 2


# SwinIR: the GAN of Goodfellow et al., "Generative adversarial nets" (2014), the generator's loss in the
# non-saturating form of their Sec. 3:
#     L_D = -E_r[log s(C(r))] - E_f[log(1 - s(C(f)))],     L_G = -E_f[log s(C(f))].


def vanilla_discriminator_loss(real: Float[Tensor, "*logits"], fake: Float[Tensor, "*logits"]) -> Scalar:
    """Return L_D: cross entropy of the logits, a mean over images and pixels, without a factor 1/2."""
    return _cross_entropy(real, 1.0) + _cross_entropy(fake, 0.0)


def vanilla_generator_loss(
    real: Tensor,  # noqa: ARG001
    fake: Float[Tensor, "*logits"],
) -> Scalar:
    """Return L_G, non-saturating; `real` is not used."""
    return _cross_entropy(fake, 1.0)


ADVERSARIAL = {  # of each backbone: losses of generator and discriminator
    "esrgan": (relativistic_generator_loss, relativistic_discriminator_loss),
    "swinir": (vanilla_generator_loss, vanilla_discriminator_loss),
}


def _cross_entropy(logits: Tensor, answer: float) -> Scalar:
    logits = logits.float()
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))


# Perceptual: L1 between a classifier's features, before their activations.

# Weights of the layers in the public training codes of SwinIR and ESRGAN. The paper names neither.
WEIGHTS = dict(zip(PERCEPTUAL_LAYERS, (0.1, 0.1, 1.0, 1.0, 1.0), strict=True))
# Of each layer, its index and what its features are divided by.
VGG19 = {name: (i, 1.0) for name, i in zip(PERCEPTUAL_LAYERS, (2, 7, 16, 25, 34), strict=True)}
# VGG16 has a convolution less in its last three blocks, so the last of each serves for VGG19's, and ST-LPIPS
# adds a blur after each pooling. The divisors are standard deviations over the photos in data/photos:
# undivided, conv5_4 would be a hundred times the other terms of the loss.
VGG16 = dict(zip(PERCEPTUAL_LAYERS, ((2, 0.22), (8, 0.28), (16, 0.37), (24, 3.9), (32, 71.0)), strict=True))

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Trunk:
    """Convolutions of a classifier, whose features are compared.

    `name` goes into logs, cards and figures; `layer_index`: of each named layer, its index and what its
    features are divided by.
    """

    name: str
    layers: nn.Sequential
    layer_index: Mapping[str, tuple[int, float]]


def load_trunk() -> Trunk:
    """Load VGG19 from the Hub or its cache; without it, the VGG16 of ST-LPIPS, named as a stand-in."""
    try:
        released = weights.load("vgg19")
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
        for name, value in released.state_dict.items()
        if name.startswith("features.")
    }
    features.load_state_dict(state, assign=True)
    return Trunk(f"VGG19 ({released.source})", features, VGG19)


class PerceptualLoss(nn.Module):
    """Weighted L1 distance of features at named layers, such as "conv5_4", each a mean over all its elements.

    The trunk, by default `load_trunk()`, is frozen; only layers up to the last one compared are kept.
    """

    def __init__(self, names: Sequence[str], trunk: Trunk | None = None) -> None:
        super().__init__()
        trunk = trunk or load_trunk()
        self.trunk_name = trunk.name
        compared = sorted((*trunk.layer_index[name], WEIGHTS[name]) for name in names)
        self.weights = {index: weight / divisor for index, divisor, weight in compared}
        self.layers = trunk.layers[: max(self.weights) + 1].eval().requires_grad_(False)
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # it would overwrite the features that are compared
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def features(self, images: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """Return the features of images in [0, 1] at the layers compared, shallow to deep."""
        parameter = next(self.layers.parameters())
        x = ((images - self.mean) / self.std).to(parameter.dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        features = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.weights:
                features.append(x)
        return features

    def forward(self, sr: Float[Tensor, "n 3 h w"], hr: Float[Tensor, "n 3 h w"]) -> Scalar:
        """Return the distance of images in [0, 1], float32; gradients flow to `sr`."""
        with torch.no_grad():
            target = self.features(hr)
        pairs = zip(self.weights.values(), self.features(sr), target, strict=True)
        losses = [weight * (a - b).abs().float().mean() for weight, a, b in pairs]
        return torch.stack(losses).sum()

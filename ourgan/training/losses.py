"""Losses: of step 1 (Alg. F.1), and the adversarial ones of super-resolution (Alg. F.2 to F.5)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def kl_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1), the mean over all latent elements."""
    return (-0.5 * (1 + log_variance - mean.square() - log_variance.exp())).mean()


def reconstruction_loss(made: Tensor, photo: Tensor) -> Tensor:
    """Mean squared error of images (N, 3, H, W) against the photo, (1 or N, 3, H, W)."""
    return (made - photo).square().mean()


def relativistic_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_D^Ra of ESRGAN: is a real image more real than the average fake one, and the other way round.

    `real`, `fake`: logits. With BasicSR's factor 1/2, and its gradients: each mean is a constant.
    """
    of_real = _cross_entropy(real - fake.mean().detach(), 1)
    of_fake = _cross_entropy(fake - real.mean().detach(), 0)
    return (of_real + of_fake) / 2


def relativistic_generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_G^Ra: the same with the answers exchanged; `real` is a constant, `fake` is not, also in its mean."""
    real = real.detach()
    return (_cross_entropy(real - fake.mean(), 0) + _cross_entropy(fake - real.mean(), 1)) / 2


def vanilla_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_D of SwinIR: cross entropy of the logits, a mean over images and pixels, without a factor 1/2."""
    return _cross_entropy(real, 1) + _cross_entropy(fake, 0)


def vanilla_generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_G of SwinIR, non-saturating; `real` is not used."""
    return _cross_entropy(fake, 1)


def _cross_entropy(logits: Tensor, answer: float) -> Tensor:
    logits = logits.float()
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))

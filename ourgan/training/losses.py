"""Losses: of step 1 (Alg. F.1), and the adversarial ones of super-resolution (Alg. F.2 to F.5)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

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

    Args:
        real: C(r), logits of real images.
        fake: C(f), logits of generated images.

    The result has BasicSR's factor 1/2, and its gradients: each mean is a constant.
    """
    of_real = _cross_entropy(real - fake.mean().detach(), 1)
    of_fake = _cross_entropy(fake - real.mean().detach(), 0)
    return (of_real + of_fake) / 2


def relativistic_generator_loss(real: Float[Tensor, "n 1"], fake: Float[Tensor, "n 1"]) -> Scalar:
    """Return L_G: L_D with the answers exchanged. `real` is a constant; `fake` is not, also in its mean."""
    real = real.detach()
    return (_cross_entropy(real - fake.mean(), 0) + _cross_entropy(fake - real.mean(), 1)) / 2


# SwinIR: the GAN of Goodfellow et al., "Generative adversarial nets" (2014), the generator's loss in the
# non-saturating form of their Sec. 3:
#     L_D = -E_r[log s(C(r))] - E_f[log(1 - s(C(f)))],     L_G = -E_f[log s(C(f))].


def vanilla_discriminator_loss(real: Float[Tensor, "n 1 h w"], fake: Float[Tensor, "n 1 h w"]) -> Scalar:
    """Return L_D: cross entropy of the logits, a mean over images and pixels, without a factor 1/2."""
    return _cross_entropy(real, 1) + _cross_entropy(fake, 0)


def vanilla_generator_loss(
    real: Float[Tensor, "n _ h w"],  # noqa: ARG001
    fake: Float[Tensor, "n 1 h w"],
) -> Scalar:
    """Return L_G, non-saturating; `real` is not used."""
    return _cross_entropy(fake, 1)


ADVERSARIAL = {  # of each backbone: losses of generator and discriminator
    "esrgan": (relativistic_generator_loss, relativistic_discriminator_loss),
    "swinir": (vanilla_generator_loss, vanilla_discriminator_loss),
}


def _cross_entropy(logits: Tensor, answer: float) -> Scalar:
    logits = logits.float()
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, answer))

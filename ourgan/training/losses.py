"""Losses of step 1 (Alg. F.1)."""

from __future__ import annotations

from torch import Tensor


def kl_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)) from N(0, 1), the mean over all latent elements."""
    return (-0.5 * (1 + log_variance - mean.square() - log_variance.exp())).mean()


def reconstruction_loss(made: Tensor, photo: Tensor) -> Tensor:
    """Mean squared error of images (N, 3, H, W) against the photo, (1 or N, 3, H, W)."""
    return (made - photo).square().mean()

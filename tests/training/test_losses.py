"""Losses of step 1 against independent values."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from ourgan.training.losses import kl_loss, reconstruction_loss


def test_kl_is_that_of_torch_distributions() -> None:
    torch.manual_seed(0)
    mean, log_variance = 3 * torch.randn(2, 5, 4, 6).double(), 2 * torch.randn(2, 5, 4, 6).double()
    expected = kl_divergence(
        Normal(mean, (0.5 * log_variance).exp()), Normal(torch.zeros_like(mean), torch.ones_like(mean))
    )
    torch.testing.assert_close(kl_loss(mean, log_variance), expected.mean())  # over all elements, no sum


def test_kl_of_the_standard_normal_is_zero() -> None:
    zeros = torch.zeros(1, 3, 2, 2)
    assert kl_loss(zeros, zeros).item() == 0
    assert kl_loss(zeros + 0.1, zeros).item() > 0
    assert kl_loss(zeros, zeros - 0.1).item() > 0


def test_reconstruction_is_the_mean_squared_error_of_every_row() -> None:
    torch.manual_seed(1)
    made, photo = torch.randn(3, 3, 4, 5), torch.randn(1, 3, 4, 5)
    expected = sum(torch.nn.functional.mse_loss(row, photo[0]) for row in made) / 3
    torch.testing.assert_close(reconstruction_loss(made, photo), expected)

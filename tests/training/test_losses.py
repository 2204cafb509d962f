"""Losses against independent values."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from ourgan.training.losses import (
    kl_loss,
    reconstruction_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
    vanilla_discriminator_loss,
    vanilla_generator_loss,
)


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


def logits() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    return torch.randn(5, 1, requires_grad=True), torch.randn(5, 1, requires_grad=True)


def test_relativistic_discriminator_has_the_gradients_of_two_passes() -> None:
    """BasicSR runs backward twice, with the other side's logits cut off from the graph each time."""
    real, fake = logits()
    relativistic_discriminator_loss(real, fake).backward()
    mine = real.grad, fake.grad
    real, fake = logits()
    (bce(real - fake.detach().mean(), torch.ones_like(real)) / 2).backward()
    (bce(fake - real.detach().mean(), torch.zeros_like(real)) / 2).backward()
    torch.testing.assert_close(mine, (real.grad, fake.grad))


def test_relativistic_generator_wants_the_opposite_and_reaches_fakes_through_both_terms() -> None:
    real, fake = logits()
    loss = relativistic_generator_loss(real, fake)
    loss.backward()
    assert real.grad is None
    expected = bce(real.detach() - fake.mean(), torch.zeros_like(real))
    expected = (expected + bce(fake - real.detach().mean(), torch.ones_like(real))) / 2
    torch.testing.assert_close(loss, expected)
    (gradient,) = torch.autograd.grad(expected, fake)
    torch.testing.assert_close(fake.grad, gradient)
    assert (fake.grad < 0).all()  # every fake is to look more real


def test_vanilla_losses_are_plain_cross_entropies_without_a_half() -> None:
    real, fake = logits()
    expected = -real.sigmoid().log().mean() - (1 - fake.sigmoid()).log().mean()
    torch.testing.assert_close(vanilla_discriminator_loss(real, fake), expected)
    torch.testing.assert_close(vanilla_generator_loss(real, fake), -fake.sigmoid().log().mean())
    assert vanilla_generator_loss(real, fake.bfloat16()).dtype == torch.float32
